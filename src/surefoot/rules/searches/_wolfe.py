"""A strong Wolfe line search as a rule: each trial is accepted or undone."""

import math
from dataclasses import dataclass, replace
from typing import Annotated

from surefoot.checks import Fraction, Positive, Range, checked
from surefoot.errors import InvalidInput
from surefoot.rules._base import Decision, Observation
from surefoot.rules.searches.acceptance import loss_change
from surefoot.rules.searches.first_step import (
    AFTER_NOT_FINITE,
    FIRST_STEP_NEEDS,
    FirstStepState,
    SearchingRule,
    is_finite,
)

# Least distance of a trial from the bracket's ends, relative to its length, so that it shrinks by a tenth at least. By
# convention.
MARGIN = 0.1
# While no upper end is known a trial is longer than the last by at least this factor: secants alone may grow too
# slowly. By convention.
LEAST_GROWTH = 1.1
# 0.9^30 = 0.04 of the bracket in the worst case. A search that needs more trials cannot see its conditions for
# rounding.
MOST_TRIALS = 30


@dataclass(frozen=True, slots=True)
class WolfeState:
    """The bracket [low, high] of the step sought, and what is known at its lower end."""

    search: FirstStepState
    loss: float
    low: float = 0.0
    low_slope: float = math.nan
    high: float = math.inf
    trials: int = 0


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class StrongWolfe(SearchingRule):
    """A step that decreases the loss enough and ends at a small slope.

        f(x + eta d) <= f(x) + decrease * eta <g, d>        |<g(x + eta d), d>| <= curvature * |<g, d>|

    (Wolfe 1969; Nocedal, Wright 2006, equations 3.7.) The bracket's lower end always fulfils the first
    condition with a slope that is still steep; the upper end fails the first or slopes upwards; so a step
    that fulfils both lies between. Trials are the zero of the slope's secant, kept off the ends.

    Parameters
    ----------
    decrease, curvature : float
        Parts of the slope in the two conditions, 0 < decrease < curvature < 1. A small `curvature` is a nearly
        exact search.
    grow : float
        Factor while no upper end is known, > 1.
    first : float or None
        First step to try; None for a move of length 1, then corrected by its outcome.

    Raises
    ------
    InvalidInput
        If decrease >= curvature.

    Examples
    --------
    >>> from surefoot.problems import Quadratic
    >>> from surefoot.rules import StrongWolfe
    >>> from surefoot.solvers import descend
    >>> descend(Quadratic([[1.0, 0.0], [0.0, 10.0]], [1.0, 1.0]), rule=StrongWolfe()).converged
    True
    """

    decrease: Fraction = 1e-4
    curvature: Fraction = 0.1
    grow: Annotated[float, Range(f"[{LEAST_GROWTH}, inf)")] = 4.0
    first: Positive | None = None
    needs = FIRST_STEP_NEEDS | {"previous_slope", "arrival_slope"}

    def __post_init__(self) -> None:
        if self.decrease >= self.curvature:
            raise InvalidInput(f"decrease must be below curvature={self.curvature!r}; got {self.decrease!r}")

    def begin(self, search: FirstStepState) -> WolfeState:
        """No bracket yet."""
        return WolfeState(search, search.loss)

    def decide(self, state: WolfeState, observation: Observation, *, fresh: bool) -> tuple[Decision, WolfeState]:
        """Accept the trial and propose the next, or narrow the bracket."""
        trial, slope = observation.step, observation.previous_slope
        state = replace(state, trials=state.trials + 1)
        if not is_finite(observation):
            return self._narrow(replace(state, high=trial), AFTER_NOT_FINITE * trial, "not finite")
        change = loss_change(state.loss, observation, trial * slope)
        arrival = observation.arrival_slope
        target = _secant_zero(state, trial, slope, arrival)
        if change > self.decrease * trial * slope:
            if state.trials < MOST_TRIALS:
                return self._narrow(replace(state, high=trial), target, "too little decrease")
        elif arrival > self.curvature * abs(slope) and state.trials < MOST_TRIALS:
            return self._narrow(replace(state, high=trial), target, "past the minimum along the line")
        elif arrival < -self.curvature * abs(slope) and state.trials < MOST_TRIALS:
            # the first trial only finds the scale, so the next may differ by any factor
            farthest = target if fresh and target < math.inf else self.grow * trial
            return self._narrow(replace(state, low=trial, low_slope=arrival), target, "still steep", farthest)
        reason = "no step in the bracket fulfils both conditions" if state.trials >= MOST_TRIALS else ""
        return Decision(step=trial, reason=reason), WolfeState(state.search, observation.loss)

    def _narrow(
        self, state: WolfeState, target: float, reason: str, farthest: float = math.inf
    ) -> tuple[Decision, WolfeState]:
        """The next trial, inside the bracket or beyond its lower end while it has no upper one."""
        if state.high == math.inf:
            step = min(max(target, LEAST_GROWTH * state.low), farthest)
        else:
            room = MARGIN * (state.high - state.low)
            step = min(max(target, state.low + room), state.high - room)
        if not step < math.inf:
            step = state.low  # a longer step overflows: the last trial that decreased the loss enough
        return Decision.undo(step, reason), state


def _secant_zero(state: WolfeState, trial: float, slope: float, arrival: float) -> float:
    """The zero of the slope's secant through the lower end and the trial; infinity where the slope does not rise."""
    low_slope = slope if state.low == 0 else state.low_slope
    rise = arrival - low_slope
    if not rise > 0:
        return math.inf
    return state.low - low_slope * (trial - state.low) / rise
