"""A single periodic orbit by Newton's method, at a parameter or with a given multiplier."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.checks import checked, real_array
from surefoot.dynamics._closing import ClosedOrbit, around, at_multiplier, at_parameter, close
from surefoot.dynamics._linearised import Linearised
from surefoot.dynamics.maps import Real, Update, ignore_overflow, prepare
from surefoot.errors import InvalidInput
from surefoot.records import Record

# A multiplier this close to the unit circle counts as neutral: at a fold Newton's method has half the digits.
NEUTRAL = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class Cycle(Record):
    """A periodic orbit.

    Parameters
    ----------
    parameter : float
    points : array, shape (q,) or (d, q)
        Points of the orbit, in order.
    multipliers : complex array, shape (1,) or (d,)
        Eigenvalues of the derivative around the orbit, in order of decreasing modulus.
    """

    parameter: float
    points: Real
    multipliers: NDArray[np.complex128] = field(repr=False)

    @property
    def period(self) -> int:
        """The number of points."""
        return self.points.shape[-1]

    @property
    def stable(self) -> bool:
        """Whether nearby orbits approach it: all multipliers inside the unit circle."""
        return bool(np.abs(self.multipliers[0]) < 1)

    def __str__(self) -> str:
        size = abs(complex(self.multipliers[0]))
        stability = "neutral" if abs(size - 1) < NEUTRAL else "stable" if self.stable else "unstable"
        return f"{stability} orbit of period {self.period} at {self.parameter:.12g}, largest multiplier {size:.6g}"


@checked
def cycle(update: Update, parameter: float, points: ArrayLike, *, multiplier: float | None = None) -> Cycle | None:
    """A periodic orbit near a guess, stable or not, to rounding.

        f(x_i, p) = x_{i+1},  i = 1..q,  x_{q+1} = x_1;    p given, or solved for: det(Df^q - multiplier I) = 0

    Parameters
    ----------
    update : callable
        Smooth map, as for `orbit`.
    parameter : float
        Parameter of the orbit, or an initial guess if `multiplier` is given.
    points : array, shape (q,) or (d, q)
        Initial guess of all points, in order.
    multiplier : float, optional
        Multiplier of the orbit, at a parameter to be solved for: -1 at a period doubling, 1 at a fold (where the orbit
        appears together with an unstable one), 0 for a superstable orbit.

    Returns
    -------
    Cycle or None
        None if Newton's method does not converge: the guess is too far, or there is no such orbit.

    Raises
    ------
    InvalidInput
        If the guess has the wrong shape.

    Examples
    --------
    The window of period 3 of the logistic map opens at 1 + 2 sqrt(2):

    >>> from surefoot.dynamics import cycle
    >>> print(cycle(lambda x, r: r * x * (1 - x), 3.83, [0.16, 0.51, 0.95], multiplier=1.0))
    neutral orbit of period 3 at 3.82842712475, largest multiplier 1
    """
    guess = real_array(points, "points")
    if guess.ndim not in (1, 2) or guess.size == 0:
        raise InvalidInput(f"points must have shape (q,) for a scalar map, (d, q) for a vector map; got {guess.shape}")
    scalar = guess.ndim == 1
    values, states = prepare(update, [parameter], guess[0] if scalar else guess[:, 0])
    linearised = Linearised.of(update, states, values, scale=float(np.abs(guess).max()), span=abs(float(parameter)))
    condition = at_parameter(float(parameter)) if multiplier is None else at_multiplier(linearised, multiplier)
    with ignore_overflow():
        closed = close(linearised, ClosedOrbit(guess.reshape(-1, guess.shape[-1]), float(parameter)), condition)
        if closed is None:
            return None
        matrix = around(linearised, closed)
    if not np.isfinite(matrix).all():  # the growth around the orbit overflows
        return None
    eigenvalues = np.linalg.eigvals(matrix)
    order = np.argsort(-np.abs(eigenvalues), kind="stable")
    shaped = closed.points[0] if scalar else closed.points
    return Cycle(closed.parameter, shaped, eigenvalues[order].astype(np.complex128))
