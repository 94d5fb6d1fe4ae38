"""Any object that can be advised on, as a target."""

from collections.abc import Callable
from typing import Any

import numpy as np

from surefoot.checks import checked
from surefoot.errors import InvalidInput, InvalidType
from surefoot.operators import Array, as_operator
from surefoot.problems import Function, Problem, Quadratic
from surefoot.targets._base import Target
from surefoot.targets._entry import KINDS, kind_of
from surefoot.targets._problem import ProblemTarget

# What an error says can be given.
ADVISABLE = (
    "a surefoot.problems problem, a symmetric matrix or operator, a surefoot.training.Task, a (model, loss, data) "
    "tuple, a function with its start, (f, x0) or (f, gradient, x0), or an object with the interface of "
    "surefoot.targets.Target"
)


@checked
def as_target(source: Any, rng: int = 0, *, name: str = "") -> Target:
    """The target that an object stands for.

    Parameters
    ----------
    source : str, Target, Problem, matrix, operator or tuple
        A name stands for what `surefoot.targets.resolve` makes of it, if that is one target. A target is returned as it
        is; a square symmetric matrix or operator stands for its quadratic; (model, loss, data) of a
        torch model for their training task; (f, x0) and (f, gradient, x0) for the function of a vector, whose gradient
        is taken by central differences where none is given.
    rng : int
        Seed of whatever the target draws: a random start, the order of the samples.
    name : str
        What to call what a tuple stands for; default the model's class, or "function". Anything else has a name.

    Returns
    -------
    Target

    Raises
    ------
    InvalidType
        If the object is none of these.
    InvalidInput
        If a matrix is not square, or a name stands for several targets.
    NotSymmetric
        If a square matrix is not symmetric.

    Examples
    --------
    >>> from surefoot.targets._as_target import as_target
    >>> as_target([[2.0, 1.0], [1.0, 3.0]]).name
    'quadratic, 2 unknowns'
    """
    if isinstance(source, Target):
        return source
    if isinstance(source, Problem):
        return ProblemTarget(source, rng=rng)
    if _is_function_tuple(source):
        return ProblemTarget(_function(source, name), rng=rng)
    # a model, or a function that makes one, with a loss and data
    if isinstance(source, tuple) and len(source) == 3 and callable(source[0]) and callable(source[1]):
        from surefoot.training import Task

        model, loss, data = source
        return Task(model, loss, data, rng=rng, name=name)
    if isinstance(source, str):
        return _by_name(source, rng)
    # a torch module, recognised without importing torch
    if callable(getattr(source, "named_parameters", None)):
        raise InvalidType(f"a {type(source).__name__} alone has no loss; give the tuple (model, loss, data)")
    try:
        operator = as_operator(source, kind="curvature")
    except InvalidType as error:
        raise InvalidType(f"cannot advise on a {type(source).__name__}; give {ADVISABLE}") from error
    if operator.shape[0] != operator.shape[1]:
        raise InvalidInput(
            f"a matrix stands for a quadratic and must be square; got shape {operator.shape}. "
            "For least squares give surefoot.problems.LeastSquares(A, b)"
        )
    return ProblemTarget(Quadratic(operator), rng=rng)


def _by_name(name: str, rng: int) -> Target:
    from surefoot.targets._registry import resolve

    made = resolve(name, rng=rng)
    if len(made) > 1:
        raise InvalidInput(
            f"{name!r} stands for {len(made)} targets; "
            f"take them one by one: for target in surefoot.targets.resolve({name!r})"
        )
    target = next(iter(made))
    if not isinstance(target, Target):
        what, _ = KINDS[kind_of(target)]
        instead = f"use surefoot.targets.resolve({name!r})[0].diagnose()"
        if not name.startswith("ode:"):
            instead = f"see what it is with surefoot.targets.resolve({name!r})"
        raise InvalidType(f"{name!r} is {what}, and a step is advised for problems and networks; {instead}")
    return target


def _is_function_tuple(source: Any) -> bool:
    """A function of a vector with where to start; a training task's third is a batch or a list of them, no vector."""
    if not isinstance(source, tuple) or len(source) not in (2, 3) or not all(map(callable, source[:-1])):
        return False
    start = source[-1]
    numbers = isinstance(start, list) and all(isinstance(v, int | float) for v in start)
    return numbers or (isinstance(start, np.ndarray) and start.ndim == 1)


def _function(source: tuple[Any, ...], name: str) -> Function:
    value, *gradients, start = source
    gradient = gradients[0] if gradients else _differences(value)
    return Function(value, gradient, start=start, name=name or "function")


def _differences(value: Callable[[Array], Any]) -> Callable[[Array], Array]:
    """The gradient of a function by central differences: two values for each unknown, good to about 1e-10."""

    def gradient(x: Array) -> Array:
        # eps^(1/3) balances the error of the formula, h^2, with that of the values, eps/h
        steps = np.finfo(np.float64).eps ** (1 / 3) * np.maximum(1.0, np.abs(x))
        moves = np.diag(steps)
        return np.asarray([(value(x + h) - value(x - h)) / (2 * s) for h, s in zip(moves, steps, strict=True)], float)

    return gradient
