"""Backtracking on the smoothness constant, in both directions."""

import math
from dataclasses import dataclass

from surefoot.checks import checked
from surefoot.rules._base import Decision, Observation, Rule
from surefoot.rules._checks import fraction, number, optional, positive
from surefoot.rules.searches._armijo import SearchState
from surefoot.rules.searches.acceptance import loss_change
from surefoot.rules.searches.first_step import FIRST_STEP_NEEDS, first_step, is_finite, secant_long

__all__ = ["Backtracking"]


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Backtracking(Rule):
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

    shrink: float = 0.5
    grow: float = 1.2
    first: float | None = None

    def __post_init__(self) -> None:
        fraction(self, "shrink")
        number(self, "grow", least=1)
        optional(positive, self, "first")

    @property
    def needs(self) -> frozenset[str]:
        """Loss, slope and secant."""
        return FIRST_STEP_NEEDS | {"previous_slope"}

    def init(self) -> SearchState:
        """Nothing seen yet."""
        return SearchState()

    def update(self, state: SearchState, observation: Observation) -> tuple[Decision, SearchState]:
        """Accept and grow, or shrink."""
        searching = not state.search.done
        if searching:
            decision, search = first_step(state.search, observation, self.first)
            state = SearchState(search, search.loss)
            if decision is not None:
                return decision, state
        trial = observation.step
        if not is_finite(observation) or self._exceeds_bound(state.loss, observation):
            reason = "the upper bound fails" if is_finite(observation) else "not finite"
            step = self.shrink * trial
            return Decision(step=step, accept=False, restart=True, reason=reason), state
        step = self.grow * trial
        if searching:
            step = max(step, secant_long(observation))
        return Decision(step=step if step < math.inf else trial), SearchState(state.search, observation.loss)

    @staticmethod
    def _exceeds_bound(before: float, seen: Observation) -> bool:
        promised = seen.step * seen.previous_slope
        bound = promised + 0.5 * seen.displacement * (seen.displacement / seen.step) if seen.step > 0 else 0.0
        return loss_change(before, seen, promised) > bound
