"""Backtracking on the smoothness constant, up and down."""

import math
from dataclasses import dataclass
from typing import Annotated

from surefoot.checks import Fraction, Positive, Range, checked
from surefoot.rules._base import Decision, Observation
from surefoot.rules.searches._armijo import SearchState
from surefoot.rules.searches.acceptance import loss_change
from surefoot.rules.searches.first_step import FIRST_STEP_NEEDS, FirstStepState, SearchingRule, is_finite, secant_long


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Backtracking(SearchingRule):
    """Steps 1/L with an L that rises where the quadratic upper bound fails and falls again after.

        f(x+) <= f(x) + <g, s> + |s|^2/(2 eta),    s = x+ - x

    (Beck, Teboulle 2009, with the decreasing L of Nesterov 2013.) An L that only rises stays for good at that of the
    sharpest place it has met, and one that starts too high never makes progress.

    Parameters
    ----------
    shrink : float
        Factor of the step where the bound fails, in (0, 1).
    grow : float
        Factor of the step after each acceptance, >= 1; 1 for an L that only rises.
    first : float or None
        First step to try; None for a move of length 1, then corrected by its outcome.
    """

    shrink: Fraction = 0.5
    grow: Annotated[float, Range("[1, inf)")] = 1.2
    first: Positive | None = None
    needs = FIRST_STEP_NEEDS | {"previous_slope"}

    def begin(self, search: FirstStepState) -> SearchState:
        """No trial yet."""
        return SearchState(search, search.loss)

    def decide(self, state: SearchState, observation: Observation, *, fresh: bool) -> tuple[Decision, SearchState]:
        """Accept and grow, or shrink."""
        trial = observation.step
        if not is_finite(observation):
            return Decision.undo(self.shrink * trial, "not finite"), state
        first_order = trial * observation.previous_slope
        # |s|^2/(2 eta) as |s| (|s|/eta): the square of a short move underflows
        bound = 0.0
        if trial > 0:
            bound = first_order + 0.5 * observation.displacement * (observation.displacement / trial)
        if loss_change(state.loss, observation, first_order) > bound:
            return Decision.undo(self.shrink * trial, "the upper bound fails"), state
        step = self.grow * trial
        if fresh:
            step = max(step, secant_long(observation))
        return Decision(step=step if step < math.inf else trial), SearchState(state.search, observation.loss)
