"""Period-doubling cascades: the parameters at which the period of an orbit doubles."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from surefoot.checks import Count, Range, checked
from surefoot.dynamics._closing import ClosedOrbit, around, at_amplitude, at_multiplier, at_parameter, close
from surefoot.dynamics._linearised import Linearised
from surefoot.dynamics._orbit import orbit, period
from surefoot.dynamics._superstable import FEIGENBAUM, feigenbaum_ratios
from surefoot.dynamics.maps import Real, Update, prepare
from surefoot.errors import InvalidInput
from surefoot.records import Record
from surefoot.tables import Table

# Largest change of det(M + I) from one point of a branch to the next. It goes from 2 to 0 along a scalar branch, so in
# at least four steps: with fewer a doubling and its reversal could both lie between two points.
LARGEST_CHANGE = 0.6
# Relative step of the parameter that is only rounding.
SHORTEST = 1e-14
# Most points along a branch; branches of the logistic map, the cubic and the network take 7 to 22.
BRANCH_STEPS = 400
# Distance of the first point on a branch from the doubling, relative to the expected distance to the next. If it is
# nearer, the halves of the doubled orbit are equal to rounding; if farther, the next doubling may be missed.
NEAR = (1e-4, 3e-2)
# If the halves of a doubled orbit approach each other by this factor in one step, Newton's method fell back to the
# original orbit.
COLLAPSE = 0.2
# A multiplier above this is outside the unit circle by more than rounding.
UNSTABLE = 1 + 1e-6
# A multiplier this close to 1 belongs to a direction in which orbits form a continuum.
ALONE = 1e-6


@dataclass(frozen=True, slots=True)
class Doubling(Record):
    """A parameter at which an orbit gives way to one of twice its period.

    Parameters
    ----------
    parameter : float
        Parameter at which the multiplier of the orbit is -1.
    period : int
        Period before the doubling.
    orbit : tuple of tuples of float
        The `period` points of the orbit there, each with d coordinates.
    """

    parameter: float
    period: int
    orbit: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Cascade(Table):
    """Successive period doublings, and why the list ends.

    Parameters
    ----------
    doublings : tuple of Doubling
    reason : str
        Reason why there are no more.
    """

    doublings: tuple[Doubling, ...]
    reason: str

    @property
    def parameters(self) -> tuple[float, ...]:
        """The parameters of the doublings."""
        return tuple(d.parameter for d in self.doublings)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ratios of successive distances, which tend to Feigenbaum's 4.6692 for a map with a quadratic maximum."""
        return tuple(feigenbaum_ratios(self.parameters).tolist())

    def __str__(self) -> str:
        lines = [f"  {d.period:>4} -> {2 * d.period:<4} at {d.parameter:.12g}" for d in self.doublings]
        return "\n".join(["period doublings", *lines, f"  {self.reason}"])

    def rows(self) -> Iterator[tuple[str | float, ...]]:
        """A row (parameter, period, period_after) for each doubling, the heading first."""
        yield "parameter", "period", "period_after"
        yield from ((d.parameter, d.period, 2 * d.period) for d in self.doublings)


@checked
def bifurcations(
    update: Update,
    interval: tuple[float, float],
    x0: ArrayLike,
    count: Count = 5,
    *,
    settle: Annotated[int, Range("[128, inf)")] = 5000,
) -> Cascade:
    """The period doublings of the orbit from x0, as the parameter grows.

        f^q(x, p) = x,    det(Df^q(x, p) + I) = 0

    An orbit is iterated only at the start of the interval, until it settles. From there its cycle is continued as the
    solution of an equation; where its multiplier reaches -1 both equations are solved together by Newton's method, to
    rounding (relative 1e-12 if the update can be differentiated by the complex step, else 1e-9). The doubled cycle is
    then entered along the eigenvector of -1, with given distance of its two halves and unknown parameter, and continued
    in turn. (Kuznetsov 2004, chapters 4 and 10.)

    Parameters
    ----------
    update : callable
        Smooth map, as for `orbit`.
    interval : (float, float)
        Range of the parameter: start and end.
    x0 : float or array (d,)
        Start of the orbit at the lower end of the interval.
    count : int
        Number of doublings wanted.
    settle : int
        Steps in which the first orbit has to settle.

    Returns
    -------
    Cascade
        The doublings, and the reason if there are fewer than wanted.

    Raises
    ------
    InvalidInput
        If the interval is empty, or the orbit at its lower end does not settle to a period.

    Examples
    --------
    >>> from surefoot.dynamics import bifurcations
    >>> print(bifurcations(lambda x, r: r * x * (1 - x), (2.5, 4.0), 0.3, 3))
    period doublings
         1 -> 2    at 3
         2 -> 4    at 3.44948974278
         4 -> 8    at 3.54409035955
      found all 3
    """
    low, high = (float(end) for end in interval)
    if not low < high:
        raise InvalidInput(f"interval must be (low, high) with low < high; got {interval!r}")
    values, states = prepare(update, [low], x0)
    points = orbit(update, [low], x0, steps=settle)
    scale = float(max(np.abs(points).max(), np.abs(states).max()))
    linearised = Linearised.of(update, states, values, scale=scale, span=high - low)
    here = _first_orbit(linearised, low, points[-128:])
    doublings: list[Doubling] = []
    reach = high - low
    first = reach / 50
    while True:
        end = _follow(linearised, here, first, high)
        if isinstance(end, str):
            return Cascade(tuple(doublings), end)
        doublings.append(Doubling(end.parameter, end.period, tuple(map(tuple, end.points.T.tolist()))))
        if len(doublings) == count:
            return Cascade(tuple(doublings), f"found all {count}")
        if len(doublings) > 1:
            reach = doublings[-1].parameter - doublings[-2].parameter
        branch = _branch(linearised, end, reach / FEIGENBAUM)
        if isinstance(branch, str):
            return Cascade(tuple(doublings), branch)
        here, first = branch, branch.parameter - end.parameter


def _first_orbit(linearised: Linearised, low: float, points: Real) -> ClosedOrbit:
    """The cycle to which the orbit has settled, or towards which it creeps."""
    q = int(period(points)[0])
    if q:
        closed = close(linearised, ClosedOrbit(points[-q:, ..., 0].reshape(q, -1).T, low), at_parameter(low))
        if closed is not None and np.abs(np.linalg.eigvals(around(linearised, closed)) - 1).min() > ALONE:
            return closed
        raise InvalidInput(
            f"the orbit at {low:g} settles to period {q}, but not to one orbit that stands alone: where there is a "
            "continuum of minima (more weights than equations) add a ridge, or data"
        )
    # an orbit that creeps along a flat direction has no period yet, but its limit solves an equation
    creeping = close(linearised, ClosedOrbit(points[-1:, ..., 0].reshape(1, -1).T, low), at_parameter(low))
    if creeping is not None and _radius(linearised, creeping) < 1:
        return creeping
    raise InvalidInput(
        f"the orbit at {low:g} has not settled to a period (last state {points[-1, ..., 0]}): "
        "start the interval or x0 elsewhere, or settle longer"
    )


def _follow(linearised: Linearised, start: ClosedOrbit, step: float, high: float) -> ClosedOrbit | str:
    """Continue a branch until its multiplier is -1: the orbit there, or why it is not reached."""
    here, value = start, _distance_to_flip(linearised, start)
    before: ClosedOrbit | None = None
    for _ in range(BRANCH_STEPS):
        ahead = close(linearised, _extrapolate(before, here, step), at_parameter(here.parameter + step))
        beyond = np.inf if ahead is None else _distance_to_flip(linearised, ahead)
        if (
            ahead is None
            or abs(beyond - value) > LARGEST_CHANGE
            or _distance_of_halves(ahead) < COLLAPSE * _distance_of_halves(here)
        ):
            step /= 2
            if step < SHORTEST * max(abs(here.parameter), linearised.span):
                return f"the orbit of period {start.period} cannot be followed beyond {here.parameter:.10g}"
            continue
        if beyond <= 0.0:
            guess = _interpolate(here, ahead, value / (value - beyond))
            doubling = close(linearised, guess, at_multiplier(linearised, -1.0))
            # a root far from the two points that bracket it belongs to another branch
            room = 0.5 * (ahead.parameter - here.parameter)
            if doubling is not None and -room <= doubling.parameter - here.parameter <= 3 * room:
                return doubling if doubling.parameter <= high else _no_doubling(start.period, high)
            step /= 4
            continue
        if ahead.parameter > high:
            return _no_doubling(start.period, high)
        if _radius(linearised, ahead) > UNSTABLE:
            return (
                f"the orbit of period {start.period} loses its stability without a doubling before "
                f"{ahead.parameter:.6g}: its multipliers leave the unit circle elsewhere than at -1"
            )
        before, here, value, step = here, ahead, beyond, 1.5 * step
    return f"no doubling of period {start.period} within {BRANCH_STEPS} points of its branch"


def _distance_to_flip(linearised: Linearised, orbit_: ClosedOrbit) -> float:
    """det(M + I), which is positive on the stable side of a doubling and 0 at it."""
    matrix = around(linearised, orbit_)
    return float(np.linalg.det(matrix + np.eye(len(matrix))))


def _radius(linearised: Linearised, orbit_: ClosedOrbit) -> float:
    return float(np.abs(np.linalg.eigvals(around(linearised, orbit_))).max())


def _distance_of_halves(orbit_: ClosedOrbit) -> float:
    """The distance of the two halves of an orbit of even period; 0 for an odd period."""
    half = orbit_.period // 2
    return float(np.abs(orbit_.points[:, :half] - orbit_.points[:, half:]).max()) if orbit_.period % 2 == 0 else 0.0


def _no_doubling(period: int, high: float) -> str:
    return f"the orbit of period {period} has no doubling up to {high:.10g}"


def _branch(linearised: Linearised, doubling: ClosedOrbit, reach: float) -> ClosedOrbit | str:
    """A point of the doubled orbit just beyond the doubling, or why there is none."""
    # the eigenvector of -1, as the right singular vector of the smallest singular value of M + I
    vectors = [np.linalg.svd(around(linearised, doubling) + np.eye(len(doubling.points)))[2][-1]]
    jacobians = linearised.jacobian(doubling.points, doubling.parameter)
    for i in range(doubling.period - 1):
        vectors.append(jacobians[:, :, i] @ vectors[-1])
    directions = np.stack(vectors, axis=1)
    sizes = np.linalg.norm(directions, axis=0)
    index = int(sizes.argmax())
    directions = directions / sizes[index]
    unit = directions[:, index]
    # the parameter changes like the square of the amplitude, by a factor that is not known beforehand
    amplitude = 1e-2 * linearised.scale
    for _ in range(60):
        twice = np.concatenate([doubling.points + amplitude * directions, doubling.points - amplitude * directions], 1)
        entered = close(linearised, ClosedOrbit(twice, doubling.parameter), at_amplitude(unit, index, amplitude))
        gone = np.inf if entered is None else (entered.parameter - doubling.parameter) / reach
        if entered is None or abs(gone) > NEAR[1]:
            amplitude /= 3
        elif abs(gone) < NEAR[0]:
            amplitude *= 5
        elif gone < 0:
            return (
                f"the doubling at {doubling.parameter:.10g} is subcritical: no stable orbit of twice the period follows"
            )
        else:
            return entered
    return f"no orbit of period {2 * doubling.period} found beyond the doubling at {doubling.parameter:.10g}"


def _extrapolate(before: ClosedOrbit | None, here: ClosedOrbit, step: float) -> ClosedOrbit:
    if before is None:
        return ClosedOrbit(here.points, here.parameter + step)
    return _interpolate(before, here, 1 + step / (here.parameter - before.parameter))


def _interpolate(here: ClosedOrbit, ahead: ClosedOrbit, factor: float) -> ClosedOrbit:
    return ClosedOrbit(
        here.points + factor * (ahead.points - here.points),
        here.parameter + factor * (ahead.parameter - here.parameter),
    )
