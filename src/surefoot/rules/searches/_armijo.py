"""Armijo's backtracking line search, as proposals that are accepted or taken back."""

import math
from dataclasses import dataclass, field

from surefoot.checks import checked
from surefoot.errors import InvalidInput
from surefoot.rules._base import Decision, Observation, Rule
from surefoot.rules._checks import fraction, number, optional, positive
from surefoot.rules.searches.acceptance import loss_change
from surefoot.rules.searches.first_step import (
    AFTER_NOT_FINITE,
    FIRST_STEP_NEEDS,
    FirstStepState,
    first_step,
    is_finite,
    secant_long,
)

__all__ = ["Armijo", "SearchState"]

# No trial is shortened by more than this at once: the parabola is a poor model of what is steeper (Nocedal, Wright
# 2006, section 3.5, ask for the like).
LEAST_SHRINK = 0.1


@dataclass(frozen=True, slots=True)
class SearchState:
    """The search for a first step, the loss to improve on, and whether a trial was rejected since."""

    search: FirstStepState = field(default_factory=FirstStepState)
    loss: float = math.nan
    rejected: bool = False


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Armijo(Rule):
    """Shorten a trial until the loss falls by a part of what the slope promises.

        f(x + eta d) <= f(x) + decrease * eta <g, d>

    (Armijo 1966.) A rejected trial is shortened to the minimum of the parabola through what was seen, within
    [0.1, shrink] of it. After a step that was accepted at once the next trial is `grow` times longer.

    Parameters
    ----------
    decrease : float
        Part of the first-order decrease that is asked for, in (0, 1).
    shrink : float
        Largest factor after a rejection, in (0.1, 1).
    grow : float
        Factor after an acceptance at once, >= 1.
    first : float or None
        First step to try; None for a move of length 1, corrected by what it shows.

    Raises
    ------
    InvalidInput
        If shrink <= 0.1.
    """

    decrease: float = 1e-4
    shrink: float = 0.5
    grow: float = 2.0
    first: float | None = None

    def __post_init__(self) -> None:
        fraction(self, "decrease", "shrink")
        number(self, "grow", least=1)
        optional(positive, self, "first")
        if self.shrink <= LEAST_SHRINK:
            raise InvalidInput(f"shrink must exceed {LEAST_SHRINK}; got {self.shrink!r}")

    @property
    def needs(self) -> frozenset[str]:
        """Loss, slope and secant."""
        return FIRST_STEP_NEEDS | {"previous_slope"}

    def init(self) -> SearchState:
        """Nothing seen yet."""
        return SearchState()

    def update(self, state: SearchState, observation: Observation) -> tuple[Decision, SearchState]:
        """Accept the trial and propose the next, or propose a shorter one."""
        searching = not state.search.done
        if searching:
            decision, search = first_step(state.search, observation, self.first)
            state = SearchState(search, search.loss)
            if decision is not None:
                return decision, state
        trial, promised = observation.step, observation.step * observation.previous_slope
        rejected = SearchState(state.search, state.loss, rejected=True)
        if not is_finite(observation):
            step = AFTER_NOT_FINITE * trial
            return Decision(step=step, accept=False, restart=True, reason="not finite"), rejected
        change = loss_change(state.loss, observation, promised)
        if change > self.decrease * promised:
            minimum = -0.5 * promised / (change - promised) if change > promised else self.shrink
            factor = min(max(minimum, LEAST_SHRINK), self.shrink)
            return Decision(step=factor * trial, accept=False, restart=True, reason="too little decrease"), rejected
        # growth right after a rejection would propose what was just refused
        grown = trial if state.rejected else self.grow * trial
        if searching:
            grown = max(grown, secant_long(observation))
        step = grown if grown < math.inf else trial
        return Decision(step=step), SearchState(state.search, observation.loss)
