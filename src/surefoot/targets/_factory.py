"""A user's own target: ``module:factory``, a function without arguments in an importable module."""

from typing import Any

from surefoot.errors import InvalidType, NotSymmetric, SurefootError
from surefoot.targets._as_target import as_target
from surefoot.targets._maps import Map
from surefoot.targets._odes import ODE
from surefoot.trials.factories import make


def load_factory(name: str, rng: int = 0) -> Any:
    """What a user's factory makes: a target, an `ODE` or a `Map`.

    Parameters
    ----------
    name : str
        ``module:factory``, as `surefoot.trials.factories.make` takes it.
    rng : int
        Seed of whatever the target itself draws.

    Returns
    -------
    Target, ODE or Map
        A target of what the factory returns: see `surefoot.targets.as_target`. An equation and a map stay what they
        are.

    Raises
    ------
    UnknownTarget, InvalidInput
        As `make` does.
    InvalidType
        If what it returns cannot be advised on.
    """
    made = make(name)
    if isinstance(made, ODE | Map):
        return made
    # a name would be resolved as a target, which may be the very factory that returned it
    if isinstance(made, str):
        raise InvalidType(f"{name}() returned a str; return a problem, a matrix, or (model, loss, data)")
    try:
        return as_target(made, rng=rng, name=name)
    except NotSymmetric as error:
        raise NotSymmetric(
            f"{name}() returned a matrix that is not symmetric; if it is the Jacobian of y' = J y, return "
            "surefoot.targets.ODE.linear(J); if it is a quadratic, (Q + Q.T)/2, which has the same x'Qx"
        ) from error
    except SurefootError as error:
        raise type(error)(f"{name}() returned a {type(made).__name__}: {error}") from error
