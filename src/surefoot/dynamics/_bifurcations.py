"""The road to chaos: the parameters at which the period doubles, one after the other."""

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

# From one point of a branch to the next, det(M + I) changes at most this much; from 2 to 0 along a scalar branch, so in
# four steps at the least: fewer, and a doubling between two points could be stepped over twice.
LARGEST_CHANGE = 0.6
# A step of the parameter that is nothing but rounding, relative to it.
SHORTEST = 1e-14
# Steps along a branch before giving up; branches of the logistic map, the cubic and the network take 7 to 22.
BRANCH_STEPS = 400
# First point on a branch: its parameter lies this far from the doubling, relative to the distance expected to the next.
# Nearer, the two halves of the doubled orbit are one to rounding; farther, the next doubling may have been passed.
NEAR = (1e-4, 3e-2)
# The halves of a doubled orbit must not come this much closer in one step: Newton's method fell back to the single one.
COLLAPSE = 0.2
# A multiplier outside the unit circle by more than rounding.
UNSTABLE = 1 + 1e-6
# A multiplier this close to 1 belongs to a direction along which orbits form a continuum.
ALONE = 1e-6


@dataclass(frozen=True, slots=True)
class Doubling(Record):
    """Where an orbit of a period gives way to one of twice the period.

    Parameters
    ----------
    parameter : float
        Parameter at which the multiplier of the orbit is -1.
    period : int
        Period before the doubling.
    orbit : tuple of tuples of float
        Points of the orbit there, `period` of them, each with its d coordinates.
    """

    parameter: float
    period: int
    orbit: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Cascade(Table):
    """The doublings in order, and why the list ends.

    Parameters
    ----------
    doublings : tuple of Doubling
    reason : str
        Reason why there are not more.
    """

    doublings: tuple[Doubling, ...]
    reason: str

    @property
    def parameters(self) -> tuple[float, ...]:
        """Where the doublings are."""
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

    Only at the start of the interval an orbit is watched until it settles. From there its cycle is followed as the
    solution of an equation; where its multiplier reaches -1 both equations are solved together by Newton's method, to
    rounding (about 1e-12 relative where the update can be differentiated by the complex step, 1e-9 where it cannot).
    The doubled cycle is then entered along the eigenvector of -1, with the distance of its two halves given and the
    parameter unknown, and followed in turn. (Kuznetsov 2004, chapters 4 and 10.)

    Parameters
    ----------
    update : callable
        Smooth map, as for `orbit`.
    interval : (float, float)
        Range of the parameter: start and end.
    x0 : float or array (d,)
        Start of the orbit at the lower end.
    count : int
        Number of doublings wanted.
    settle : int
        Steps of the first orbit, in which it has to settle.

    Returns
    -------
    Cascade
        With fewer doublings than wanted where there are not more, and the reason.

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
    """The cycle that the last points have settled to, or creep towards."""
    q = int(period(points)[0])
    if q:
        closed = close(linearised, ClosedOrbit(points[-q:, ..., 0].reshape(q, -1).T, low), at_parameter(low))
        if closed is not None and np.abs(np.linalg.eigvals(around(linearised, closed)) - 1).min() > ALONE:
            return closed
        raise InvalidInput(
            f"the orbit at {low:g} settles to period {q}, but not to one orbit that stands alone: where there is a "
            "continuum of minima (more weights than equations) add a ridge, or data"
        )
    # an orbit that creeps along a flat direction has no period yet, but where it is going can be solved for
    creeping = close(linearised, ClosedOrbit(points[-1:, ..., 0].reshape(1, -1).T, low), at_parameter(low))
    if creeping is not None and _radius(linearised, creeping) < 1:
        return creeping
    raise InvalidInput(
        f"the orbit at {low:g} has not settled to a period (last state {points[-1, ..., 0]}): "
        "start the interval or x0 elsewhere, or settle longer"
    )


def _follow(linearised: Linearised, start: ClosedOrbit, step: float, high: float) -> ClosedOrbit | str:
    """Along a branch until its multiplier is -1: the orbit there, or why it is not reached."""
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
            # the root has to lie near the two points that bracket it, or it is one of another branch
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
    """det(M + I): positive on the stable side of a doubling, 0 there."""
    matrix = around(linearised, orbit_)
    return float(np.linalg.det(matrix + np.eye(len(matrix))))


def _radius(linearised: Linearised, orbit_: ClosedOrbit) -> float:
    return float(np.abs(np.linalg.eigvals(around(linearised, orbit_))).max())


def _distance_of_halves(orbit_: ClosedOrbit) -> float:
    """How far apart the two halves of an orbit of even period are; 0 for an odd one."""
    half = orbit_.period // 2
    return float(np.abs(orbit_.points[:, :half] - orbit_.points[:, half:]).max()) if orbit_.period % 2 == 0 else 0.0


def _no_doubling(period: int, high: float) -> str:
    return f"the orbit of period {period} has no doubling up to {high:.10g}"


def _branch(linearised: Linearised, doubling: ClosedOrbit, reach: float) -> ClosedOrbit | str:
    """A point of the doubled orbit a little beyond the doubling, or why there is none."""
    # the right singular vector of the least singular value: exact where M + I is singular, as it is here, to rounding
    vectors = [np.linalg.svd(around(linearised, doubling) + np.eye(len(doubling.points)))[2][-1]]
    jacobians = linearised.jacobian(doubling.points, doubling.parameter)
    for i in range(doubling.period - 1):
        vectors.append(jacobians[:, :, i] @ vectors[-1])
    directions = np.stack(vectors, axis=1)
    sizes = np.linalg.norm(directions, axis=0)
    index = int(sizes.argmax())
    directions = directions / sizes[index]
    unit = directions[:, index]
    # the parameter moves like the square of the amplitude, with a factor that no one knows beforehand
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
