"""Superstable orbits, from which Feigenbaum's ratio and the onset of chaos are computed."""

from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from surefoot.checks import Range, checked, real_array
from surefoot.dynamics.maps import Real, Update, ignore_overflow, prepare
from surefoot.errors import InvalidInput

# Feigenbaum's ratio for a quadratic maximum, used as an initial guess of the next distance.
FEIGENBAUM = 4.669
# Points at which the interval is searched for the first two orbits: two roots within 1/4000 of it are missed.
GRID = 4001
# Most steps of the secant method: it takes 3 to 6, and 22 if the defect is all rounding (the logistic map, 12 orbits).
SECANT_STEPS = 60
# Most orbits. Distances shrink by 4.67 each: after 13 of them 1e-9 of the first is left, and the slope of the defect
# has grown as much.
LONGEST = 14
# Periods at which the search may begin, for an interval in the middle of the doublings; the grid cannot separate longer
# periods. By convention.
FIRST_PERIODS = (1, 2, 4, 8, 16)


@checked
def superstable(
    update: Update,
    critical: float | Callable[[NDArray[np.float64]], NDArray[np.float64]],
    interval: tuple[float, float],
    count: Annotated[int, Range("[2, inf)")],
) -> Real:
    """Parameters at which the critical point of a scalar map lies on an orbit of period 1, 2, 4, ...

        f^q(c, p) = c,    df/dx(c, p) = 0

    The first has the shortest of these periods (up to 16) with such an orbit in the interval, each further one twice
    the period of the one before.

    This is one equation in one unknown, so that long periods are cheap, longer than `bifurcations` can reach.

    Parameters
    ----------
    update : callable
        Scalar map, as for `orbit`, with one critical point.
    critical : float or callable
        The critical point, or a function from parameters (p,) to it.
    interval : (float, float)
        Range of the parameter in which the first two lie.
    count : int
        Number of orbits, 2 to 14, or fewer where the first period is not 1: the longest period is 2^13. The distances
        shrink by 4.67 each, and drown in rounding after that.

    Returns
    -------
    array, shape (count,)

    Raises
    ------
    InvalidInput
        If the first two are not in the interval, or the next could not be told from rounding.

    Examples
    --------
    >>> from surefoot.dynamics import superstable
    >>> superstable(lambda x, r: r * x * (1 - x), 0.5, (1.5, 4.0), 3)
    array([2.        , 3.23606798, 3.4985617 ])
    """
    low, high = (float(end) for end in interval)
    prepare(update, [low], 0.0)

    def defect(parameters: Real, period: int) -> Real:
        start = np.asarray(critical(parameters), float) if callable(critical) else np.full_like(parameters, critical)
        x = start
        with ignore_overflow():
            for _ in range(period):
                x = update(x, parameters)
            return np.asarray(x - start, dtype=np.float64)

    period, first = _shortest(defect, low, high)
    doublings = int(np.log2(period))
    if count > LONGEST - doublings:
        raise InvalidInput(
            f"count must be at most {LONGEST - doublings} from period {period} on, beyond which distances are "
            f"rounding; got {count}"
        )
    # the orbit of period q also solves the equation of period 2 q: search beyond it
    second = _first_root(lambda p: defect(p, 2 * period), first + 1e-3 * (high - first), high)
    if second is None:
        raise InvalidInput(
            f"no superstable orbit of period {2 * period} in ({first:g}, {high:g}), after that of period {period}; "
            "widen the interval"
        )
    orbits = [first, second]
    for k in range(2, count):
        gap = orbits[-1] - orbits[-2]
        ratio = FEIGENBAUM if k == 2 else (orbits[-2] - orbits[-3]) / gap
        orbits.append(_secant(lambda p, q=period * 2**k: defect(p, q), orbits[-1] + gap / ratio, 1e-3 * gap))
        if not 0 < orbits[-1] - orbits[-2] < gap:
            raise InvalidInput(
                f"the superstable orbit of period {period * 2**k} was not found: count must be at most {k}"
            )
    return np.asarray(orbits)


@checked
def feigenbaum_ratios(parameters: Sequence[float] | Real) -> Real:
    """Ratios of successive distances, which tend to 4.669201609 for a quadratic maximum (Feigenbaum 1978).

    Parameters
    ----------
    parameters : array, shape (n,)
        Parameters of successive doublings or superstable orbits.

    Returns
    -------
    array, shape (n - 2,)

    Examples
    --------
    >>> from surefoot.dynamics import feigenbaum_ratios
    >>> feigenbaum_ratios([3.0, 3.449490, 3.544090, 3.564407]).round(3)  # the doublings of the logistic map
    array([4.751, 4.656])
    """
    values = real_array(parameters, "parameters")
    if values.ndim != 1:
        raise InvalidInput(f"parameters must be several numbers in a row; got shape {values.shape}")
    gaps = np.diff(values)
    if not (np.isfinite(gaps).all() and gaps.all()):
        raise InvalidInput("parameters must be finite, and no two in a row equal; drop those found twice")
    return gaps[:-1] / gaps[1:]


@checked
def accumulation(parameters: Sequence[float] | Real) -> float:
    """The parameter at which doublings accumulate and chaos begins, *estimated* by geometric extrapolation of three.

    Parameters
    ----------
    parameters : array, shape (n,), n >= 3
        Parameters of successive doublings or superstable orbits.

    Returns
    -------
    float

    Raises
    ------
    InvalidInput
        If there are fewer than three.
    """
    values = real_array(parameters, "parameters")
    if values.ndim != 1 or values.size < 3:
        raise InvalidInput(f"parameters must hold at least three numbers; got shape {values.shape}")
    ratio = float(feigenbaum_ratios(values[-3:])[0])
    if not abs(ratio) > 1:
        raise InvalidInput(f"the last gaps do not shrink (ratio {ratio:.4g}): these parameters accumulate nowhere")
    return float(values[-1] + (values[-1] - values[-2]) / (ratio - 1))


def _shortest(defect: Callable[[Real, int], Real], low: float, high: float) -> tuple[int, float]:
    """The shortest period with a superstable orbit in the interval, and the parameter of the first one."""
    for period in FIRST_PERIODS:
        parameter = _first_root(lambda p, q=period: defect(p, q), low, high)
        if parameter is not None:
            return period, parameter
    raise InvalidInput(
        f"no superstable orbit of period {FIRST_PERIODS[0]} to {FIRST_PERIODS[-1]} in ({low:g}, {high:g}); widen the "
        "interval"
    )


def _first_root(function: Callable[[Real], Real], low: float, high: float) -> float | None:
    from scipy.optimize import brentq

    grid = np.linspace(low, high, GRID)
    values = function(grid)
    signs = np.sign(values)
    at = np.flatnonzero(signs == 0)
    crossings = np.flatnonzero(signs[:-1] * signs[1:] < 0)
    if at.size and (not crossings.size or at[0] <= crossings[0]):
        return float(grid[at[0]])
    if not crossings.size:
        return None
    left, right = float(grid[crossings[0]]), float(grid[crossings[0] + 1])
    return float(brentq(lambda p: float(function(np.asarray([p]))[0]), left, right, xtol=1e-15, rtol=1e-15))


def _secant(function: Callable[[Real], Real], guess: float, apart: float) -> float:
    a, b = guess, guess + apart
    fa, fb = (float(v) for v in function(np.asarray([a, b])))
    for _ in range(SECANT_STEPS):
        if fb == fa or abs(b - a) <= 4 * np.finfo(float).eps * abs(b):
            break
        a, b, fa = b, b - fb * (b - a) / (fb - fa), fb
        fb = float(function(np.asarray([b]))[0])
    return b
