"""Checks of an update `update(x, parameter)`, elementwise over the last axis, and of its arguments."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.checks import real_array
from surefoot.errors import InvalidInput, InvalidType, NotFinite

__all__ = ["Real", "Update", "check_states", "ignore_overflow", "prepare"]

Update = Callable[[Any, Any], Any]
Real = NDArray[np.float64]


def prepare(update: Update, parameters: ArrayLike, x0: ArrayLike) -> tuple[Real, Real]:
    """The parameters as an array (p,) and a start for each: (p,) for a scalar map, (d, p) for a vector map.

    Raises
    ------
    InvalidInput
        If shapes do not fit, something is empty, or the update does not keep the shape of what it is given.
    """
    values = np.atleast_1d(_finite(parameters, "parameters"))
    if values.ndim != 1 or values.size == 0:
        raise InvalidInput(f"parameters must be a number or of shape (p,), p >= 1; got shape {np.shape(parameters)}")
    start = _finite(x0, "x0")
    if start.ndim == 1:
        start = start[:, None]
    if start.ndim > 2 or start.size == 0 or (start.ndim == 2 and start.shape[1] not in (1, values.size)):
        raise InvalidInput(
            f"x0 must be a number, a state of shape (d,), or one start per parameter, (d, {values.size}); "
            f"got shape {np.shape(x0)}"
        )
    states = np.broadcast_to(start, (*start.shape[:-1], values.size) if start.ndim else values.shape).copy()
    with ignore_overflow():
        check_states(update(states.copy(), values), states.shape)
    return values, states


def check_states(result: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """The states that an update returned; refused unless they are numbers of the shape that it was given.

    Raises
    ------
    InvalidInput
        If the shape changed.
    InvalidType
        If it is not an array of numbers.
    """
    after = np.asarray(result)
    if after.dtype.kind not in "buifc":
        raise InvalidType(f"update must return numbers; got {type(result).__name__} of dtype {after.dtype}")
    if after.shape != shape:
        raise InvalidInput(
            f"update must return the next states in the shape it was given, {shape}; got {after.shape}: write it with "
            "NumPy operations, the coordinates of a state along the first axis and the parameters along the last"
        )
    return after


def ignore_overflow() -> np.errstate:
    """A context without warnings of overflow: an orbit that diverges is a valid result."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")


def _finite(value: ArrayLike, name: str) -> Real:
    array = real_array(value, name)
    if not np.isfinite(array).all():
        raise NotFinite(f"{name} must be finite; {int(np.count_nonzero(~np.isfinite(array)))} entries are not")
    return array
