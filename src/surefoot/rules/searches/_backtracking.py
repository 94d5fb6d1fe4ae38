"""Backtracking on the smoothness constant, in both directions."""

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

    (Beck, Teboulle 2009, with the decreasing L of Nesterov 2013.) An L that only ever rises keeps the
    sharpest place it has met for good; one that starts too high never moves at all.

    Parameters
    ----------
    shrink : float
        Factor of the step where the bound fails, in (0, 1).
    grow : float
        Factor of the step after each acceptance, >= 1; 1 for an L that only rises.
    first : float or None
        First step to try; None for a move of length 1, corrected by what it shows.
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
        if not is_finite(observation) or self._exceeds_bound(state.loss, observation):
            reason = "the upper bound fails" if is_finite(observation) else "not finite"
            return Decision.undo(self.shrink * trial, reason), state
        step = self.grow * trial
        if fresh:
            step = max(step, secant_long(observation))
        return Decision(step=step if step < math.inf else trial), SearchState(state.search, observation.loss)

    @staticmethod
    def _exceeds_bound(before: float, seen: Observation) -> bool:
        promised = seen.step * seen.previous_slope
        bound = promised + 0.5 * seen.displacement * (seen.displacement / seen.step) if seen.step > 0 else 0.0
        return loss_change(before, seen, promised) > bound
