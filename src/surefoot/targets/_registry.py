"""The one table of what can be named, and the one place where a name becomes a target."""

from difflib import get_close_matches
from typing import Any

from surefoot.checks import checked
from surefoot.errors import InvalidInput, UnknownTarget
from surefoot.targets._entry import Entry
from surefoot.targets._formats import SUFFIXES
from surefoot.targets._maps import MAPS
from surefoot.targets._networks import NETWORKS
from surefoot.targets._odes import ODES
from surefoot.targets._own import OWN
from surefoot.targets._problems import PROBLEMS

# A name is of the first row that recognises it: built-ins come before files, whose row takes any name that is a path.
_ENTRIES: tuple[Entry, ...] = (NETWORKS[0], *PROBLEMS, *NETWORKS[1:], *ODES, *MAPS, *OWN)


def registry() -> tuple[Entry, ...]:
    """Every row, in the order in which they are listed.

    Examples
    --------
    >>> from surefoot.targets import registry
    >>> [entry.name for entry in registry() if entry.kind == "map"]
    ['rnn', 'torch-rnn', 'cubic']
    """
    return _ENTRIES


def entry_of(name: str) -> Entry:
    """Row of a name.

    Raises
    ------
    UnknownTarget
        If there is none; the message names the nearest.

    Examples
    --------
    >>> from surefoot.targets import entry_of
    >>> entry_of("ode:lorenz").kind
    'ode'
    """
    for entry in _ENTRIES:
        if entry.keywords(name) is not None:
            return entry
    near = get_close_matches(name.lower(), [entry.name for entry in _ENTRIES if entry not in OWN], n=1)
    raise UnknownTarget(
        f"unknown target {name!r}; did you mean {near[0]}?"
        if near
        else f"unknown target {name!r}; give a built-in name (surefoot list), a {', '.join(SUFFIXES)} file, or "
        "module:factory"
    )


@checked
def resolve(name: str, *, rng: int = 0, **options: Any) -> tuple[Any, ...]:
    """Targets that a name stands for.

    Parameters
    ----------
    name : str
        A built-in name, a .npy, .npz, .mtx or .csv file, or ``module:factory``.
    rng : int
        Seed of whatever the target draws.
    **options
        Options of the row that the name is of, such as ``condition=`` of ``quadratic`` and ``loss=`` of a file; None
        stands for one that was not given.

    Returns
    -------
    tuple
        Usually one; a built-in may stand for several that are worth comparing. A `Target` can be advised on; an `ODE`,
        a `Map` is what it is.

    Raises
    ------
    UnknownTarget
        If nothing answers to the name; the message names the nearest.
    InvalidInput
        If the file or factory behind it is not usable, or an option is given that the target does not have.
    MissingExtra
        If the target needs a package that is not installed.

    Examples
    --------
    >>> from surefoot.targets import resolve
    >>> resolve("quadratic", size=5)[0].name
    'quadratic, 5 unknowns, condition 10000, linear spectrum'
    >>> resolve("digit")
    Traceback (most recent call last):
    surefoot.errors.UnknownTarget: unknown target 'digit'; did you mean digits?
    """
    entry = entry_of(name)
    given = {option: value for option, value in options.items() if value is not None}
    for option in given:
        if option not in {own.name for own in entry.options}:
            raise _foreign(option, name)
    return entry.build(rng, **{**(entry.keywords(name) or {}), **given})


def _foreign(option: str, name: str) -> InvalidInput:
    """The error for an option of another row, or of none."""
    owners = [entry.owner for entry in _ENTRIES if option in {own.name for own in entry.options}]
    flag = f"--{option.replace('_', '-')}"
    if not owners:
        return InvalidInput(f"no target has an option {flag}; leave it out")
    return InvalidInput(f"{flag} is an option of {' and '.join(owners)}, and {name!r} is not that; leave it out")
