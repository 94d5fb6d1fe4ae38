"""Penalties and constraints given by their proximal maps, for problems that are smooth plus something simple.

Any object that returns its value when called and has `prox(x, step)` works, including PyProximal's operators.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from surefoot import checks
from surefoot.checks import checked, real_array
from surefoot.errors import InvalidInput
from surefoot.operators import Array


class Proximal(Protocol):
    """A convex function h, given by its value and its proximal map.

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.solvers import L1
    >>> penalty = L1(weight=1.0)
    >>> penalty(np.array([2.0, -0.5])), penalty.prox(np.array([2.0, -0.5]), 1.0)
    (2.5, array([ 1., -0.]))
    """

    def __call__(self, x: Array) -> Any:
        """h(x); for a constraint inf or False outside."""
        ...

    def prox(self, x: Array, tau: float) -> Array:
        """The minimiser of h(z) + |z - x|^2/(2 tau)."""
        ...


@checked
@dataclass(frozen=True, slots=True)
class L1:
    """The lasso's penalty.

        h(x) = weight |x|_1,    prox(x) = sign(x) max(|x| - tau weight, 0)

    Parameters
    ----------
    weight : float
        >= 0, unit loss/x.

    Raises
    ------
    InvalidInput
        If the weight is negative or not finite.
    """

    weight: checks.Nonnegative = 1.0  # the class of that name below is the constraint

    def __call__(self, x: Array) -> float:
        return self.weight * float(np.abs(x).sum())

    def prox(self, x: Array, tau: float) -> Array:
        """Soft thresholding at tau * weight."""
        # entries within tau * weight of 0 become exactly 0, which makes solutions sparse
        return np.sign(x) * np.maximum(np.abs(x) - tau * self.weight, 0.0)


@checked
@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """Bounds on each entry; the proximal map is the projection, whatever the step.

    Parameters
    ----------
    lower, upper : float or array, shape (size,)
        lower <= upper; infinite where there is no bound.

    Raises
    ------
    InvalidInput
        If a lower bound exceeds its upper bound, or one is NaN.
    """

    lower: float | Array = -np.inf
    upper: float | Array = np.inf

    def __post_init__(self) -> None:
        if not np.all(real_array(self.lower, "lower") <= real_array(self.upper, "upper")):
            raise InvalidInput(f"a box needs lower <= upper; got {self.lower!r} and {self.upper!r}")

    def __call__(self, x: Array) -> float:
        return 0.0 if bool(np.all((x >= self.lower) & (x <= self.upper))) else float("inf")

    def prox(self, x: Array, tau: float) -> Array:  # noqa: ARG002 - the contract
        """The nearest point of the box."""
        return np.clip(x, self.lower, self.upper)


class Nonnegative(Box):
    """x >= 0 in every entry."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(0.0, np.inf)


def penalty_value(penalty: Proximal, x: Array) -> float:
    """h(x) as a float, since some libraries return a truth value for a constraint."""
    value = penalty(x)
    if isinstance(value, bool | np.bool_):
        return 0.0 if value else float("inf")
    return float(value)
