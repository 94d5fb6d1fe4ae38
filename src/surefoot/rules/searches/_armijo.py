"""Armijo's backtracking line search as a rule: each trial is accepted or undone."""

import math
from dataclasses import dataclass
from typing import Annotated

from surefoot.checks import Fraction, Positive, Range, checked
from surefoot.rules._base import Decision, Observation
from surefoot.rules.searches.acceptance import loss_change
from surefoot.rules.searches.first_step import (
    AFTER_NOT_FINITE,
    FIRST_STEP_NEEDS,
    FirstStepState,
    SearchingRule,
    is_finite,
    secant_long,
)

# Smallest factor for a rejected trial: a parabola that asks for less is a poor model of the function there (Nocedal,
# Wright 2006, section 3.5).
LEAST_SHRINK = 0.1


@dataclass(frozen=True, slots=True)
class SearchState:
    """The search for a first step, the loss to improve on, and whether a trial was rejected since."""

    search: FirstStepState
    loss: float
    rejected: bool = False


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Armijo(SearchingRule):
    """Shorten a trial until the loss falls by a share of the slope's prediction.

        f(x + eta d) <= f(x) + decrease * eta <g, d>

    (Armijo 1966.) A rejected trial is shortened to the minimum of the parabola through the two losses and the slope,
    within [0.1, shrink] of it. After a step that was accepted at once the next trial is `grow` times longer.

    Parameters
    ----------
    decrease : float
        Required share of the first-order decrease, in (0, 1).
    shrink : float
        Largest factor after a rejection, in (0.1, 1).
    grow : float
        Factor after an acceptance at once, >= 1.
    first : float or None
        First step to try; None for a move of length 1, then corrected by its outcome.

    Raises
    ------
    InvalidInput
        If shrink <= 0.1.
    """

    decrease: Fraction = 1e-4
    shrink: Annotated[float, Range(f"({LEAST_SHRINK}, 1)")] = 0.5
    grow: Annotated[float, Range("[1, inf)")] = 2.0
    first: Positive | None = None
    needs = FIRST_STEP_NEEDS | {"previous_slope"}

    def begin(self, search: FirstStepState) -> SearchState:
        """No trial yet."""
        return SearchState(search, search.loss)

    def decide(self, state: SearchState, observation: Observation, *, fresh: bool) -> tuple[Decision, SearchState]:
        """Accept the trial and propose the next, or propose a shorter one."""
        trial, promised = observation.step, observation.step * observation.previous_slope
        rejected = SearchState(state.search, state.loss, rejected=True)
        if not is_finite(observation):
            return Decision.undo(AFTER_NOT_FINITE * trial, "not finite"), rejected
        change = loss_change(state.loss, observation, promised)
        if change > self.decrease * promised:
            minimum = -0.5 * promised / (change - promised) if change > promised else self.shrink
            factor = min(max(minimum, LEAST_SHRINK), self.shrink)
            return Decision.undo(factor * trial, "too little decrease"), rejected
        # growth right after a rejection would propose the step that was just rejected
        grown = trial if state.rejected else self.grow * trial
        if fresh:
            grown = max(grown, secant_long(observation))
        return Decision(step=grown if grown < math.inf else trial), SearchState(state.search, observation.loss)
