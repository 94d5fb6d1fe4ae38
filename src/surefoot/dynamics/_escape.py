"""The steps at which gradient descent leaves a sharp minimum: instability is necessary but not sufficient."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from surefoot.checks import Nonnegative, Positive, checked, random_generator, real_array
from surefoot.dynamics._landscape import Landscape
from surefoot.dynamics.maps import Real, ignore_overflow
from surefoot.errors import InvalidInput
from surefoot.records import Record

# Points at which the well is searched for extremes of the map, which are then refined: two extremes closer than 1/2000
# of the well are missed.
GRID = 2001
# The step that opens the well is searched for up to this multiple of the necessary step, at this many steps 1% apart: a
# well that opens and closes within 1% is missed.
FURTHEST, SEARCHED = 64.0, 400
# The search begins this far above the necessary step: beyond the rounding of 2/f''.
EDGE = 1e-9
# Most times that the interval is widened because a second maximum reaches further than the first. By convention.
WIDENINGS = 8


@dataclass(frozen=True, slots=True)
class Escape(Record):
    """The steps at which a minimum no longer holds gradient descent.

    Parameters
    ----------
    minimum, barrier : float
        The minimum, and the maximum of the loss to be crossed.
    necessary : float
        Step 2/f'' at the minimum, up to which it is stable.
    trapped : float
        Step up to which an orbit may oscillate, even chaotically, but does not leave, since each step maps the well
        into itself. Beyond it the well has a hole.
    """

    minimum: float
    barrier: float
    necessary: float
    trapped: float

    def __str__(self) -> str:
        return (
            f"minimum at {self.minimum:.6g}: stable up to the step {self.necessary:.6g}, "
            f"unstable but trapped up to {self.trapped:.6g}, open beyond"
        )


@checked
def escape_steps(landscape: Landscape, minimum: float, barrier: float) -> Escape:
    """The steps from which gradient descent leaves a minimum over a barrier.

        g(x) = x - eta f'(x),    I = [b, M],  M = max of g over the well:    g(I) inside I  <=>  min over I of g >= b

    Below the step at which that minimum equals b the interval is mapped into itself, so no orbit leaves it: *proved*,
    up to the grid on which the extremes are searched. Above it the image of the farthest point leaves (a boundary
    crisis: Grebogi, Ott, Yorke 1983), and, as *observed*, nearly every orbit with it.

    Parameters
    ----------
    landscape : Landscape
    minimum, barrier : float
        Points near them, which are refined. The barrier is the maximum of f next to the minimum, on the side of escape.

    Returns
    -------
    Escape
        `trapped` is inf if no step up to 64 times `necessary` opens the well.

    Raises
    ------
    InvalidInput
        If there is no minimum, or no maximum, near the given points.

    Examples
    --------
    >>> from surefoot.dynamics import TwoMinima, escape_steps
    >>> print(escape_steps(TwoMinima(), minimum=0.97, barrier=0.92))
    minimum at 0.971398: stable up to the step 0.0838598, unstable but trapped up to 0.13132, open beyond
    """
    from scipy.optimize import brentq

    bottom = landscape.minimum(minimum)
    top = _barrier(landscape, bottom, barrier)
    necessary = 2 / float(landscape.curvature(bottom))

    def room(step: float) -> float:
        return _room(landscape, step, bottom, top)

    # from the smallest step upwards, so that the first opening is found and not a later one
    before = necessary
    for step in np.geomspace((1 + EDGE) * necessary, FURTHEST * necessary, SEARCHED).tolist():
        if room(step) < 0:
            trapped = necessary if before == necessary else float(brentq(room, before, step, xtol=1e-15, rtol=1e-14))
            return Escape(bottom, top, necessary, trapped)
        before = step
    return Escape(bottom, top, necessary, math.inf)


@checked
def escape_step(curvature: Positive, half_width: Positive, offset: Positive, step: Positive) -> float:
    """The number of steps after which gradient descent leaves a quadratic well, from an offset to its minimum.

        ceil(ln(w/d) / ln|1 - eta a|)

    *Exact*: inside the well the distance grows by |1 - eta a| per step.

    Parameters
    ----------
    curvature, half_width, offset, step : float
        a, w, d, eta; positive, offset < half_width.

    Returns
    -------
    float
        A whole number; inf for step <= 2/curvature.

    Raises
    ------
    InvalidInput
        If an argument is out of range.
    """
    if offset >= half_width:
        raise InvalidInput(f"offset must be below half_width={half_width!r}: inside the well; got {offset!r}")
    growth = abs(1 - step * curvature)
    # a difference of logarithms, since the quotient may overflow
    return math.inf if growth <= 1 else float(math.ceil((math.log(half_width) - math.log(offset)) / math.log(growth)))


@checked
def wander(
    landscape: Landscape,
    schedules: ArrayLike,
    starts: ArrayLike,
    *,
    noise: Nonnegative = 0.0,
    rng: int | np.random.Generator = 0,
) -> Real:
    """The last iterates of noisy gradient descent, for many schedules and starts at once.

        x_{t+1} = x_t - eta_t (f'(x_t) + noise xi_t),    xi_t standard normal, the same for every schedule

    Parameters
    ----------
    landscape : Landscape
    schedules : array, shape (k, T)
        The step at each time; a row may be ``np.full(T, rate)``.
    starts : array, shape (n,)
    noise : float
        Standard deviation of the gradient's noise.
    rng : int or numpy.random.Generator

    Returns
    -------
    array, shape (k, n)
        The last states; not finite if the run diverged.

    Raises
    ------
    InvalidInput
        If the shapes are wrong, or the noise is negative.
    """
    rates = real_array(schedules, "schedules")
    begin = real_array(starts, "starts")
    if rates.ndim != 2 or begin.ndim != 1 or not rates.size or not begin.size:
        raise InvalidInput(f"schedules must have shape (k, T), starts (n,); got {rates.shape} and {begin.shape}")
    generator = random_generator(rng)
    x = np.broadcast_to(begin, (len(rates), begin.size)).copy()
    with ignore_overflow():
        for t in range(rates.shape[1]):
            kick = noise * generator.standard_normal(begin.size) if noise else 0.0
            x = x - rates[:, t, None] * (landscape.gradient(x) + kick)
    return x


def _barrier(landscape: Landscape, bottom: float, near: float) -> float:
    """The maximum of the loss to which Newton's method converges from a point near it."""
    x = landscape.stationary(near)
    if not math.isfinite(x) or float(landscape.curvature(x)) >= 0 or x == bottom:
        raise InvalidInput(
            f"no maximum of the loss near {near!r} (the search ended at {x:g}): give a point nearer to it"
        )
    return x


def _room(landscape: Landscape, step: float, bottom: float, top: float) -> float:
    """The distance from the barrier to the image of the well; negative if the well has a hole."""
    from scipy.optimize import brentq

    inward = math.copysign(1.0, bottom - top)

    def image(u: float) -> float:
        """The distance inside the barrier of the image of the point at distance u."""
        return inward * (float(landscape(top + inward * u, step)) - top)

    def excess_curvature(u: Any) -> Any:
        """The curvature minus 1/step, which is zero where the image is extreme."""
        return landscape.curvature(top + inward * np.asarray(u)) - 1 / step

    # the map rises from the barrier (f'' < 0 there) to a first maximum before the minimum (f'' > 1/step there)
    farthest = image(float(brentq(excess_curvature, 0.0, abs(bottom - top))))
    images = [farthest]
    for _ in range(WIDENINGS):
        grid = np.linspace(0.0, farthest, GRID)
        signs = np.sign(excess_curvature(grid))
        turns = [
            float(brentq(excess_curvature, grid[k], grid[k + 1])) for k in np.flatnonzero(signs[:-1] * signs[1:] < 0)
        ]
        images = [image(u) for u in (*turns, farthest)]
        if max(images) <= farthest:
            break
        farthest = max(images)
    return min(images)
