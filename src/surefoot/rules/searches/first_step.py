"""The first step when nothing is known, found by trials.

A first trial moves by a distance of 1. If the loss rises, the secant along the move gives the factor by which the step
has to be shorter (exact on a quadratic); if the gradient hardly changed, rounding hides the curvature and the next step
is longer. One to three trials find the scale over sixteen orders of magnitude.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any

from surefoot.rules._base import Decision, Observation, Rule

__all__ = [
    "AFTER_NOT_FINITE", "FIRST_STEP_NEEDS", "FirstStepState", "SearchingRule", "first_step", "is_finite", "secant_long",
]  # fmt: skip

FIRST_STEP_NEEDS = frozenset({"loss", "gradient_norm", "displacement", "gradient_change", "alignment"})

# Relative change of the gradient below which rounding dominates it, in single precision too (its eps is 1.2e-7).
VISIBLE = 1e-6
# Growth of the step while the curvature is hidden: 1e3 crosses sixteen orders of magnitude in the six trials that
# tests/rules/test_search.py allows, and an overshoot by 1e3 costs one more trial, since the secant then shows it.
GROWTH = 1e3
# A trial that raised the loss is followed by one at least ten times shorter, since a slightly wrong secant would need
# many trials; and by one not shorter than this, since a secant across a change of regime (exp, a wall) can ask for a
# step that rounds to no move.
LEAST_SHRINK, MOST_SHRINK = 0.1, 1e-12
# Factor after a first trial that overflows, where there is no secant and only the order of magnitude is wrong: as large
# a step as GROWTH.
FIRST_AFTER_NOT_FINITE = 1e-3
# Factor after any later point that is not finite: nothing there tells how far to go back. By convention.
AFTER_NOT_FINITE = 0.1
# 40 factors of 1e3 are more than any unit needs: a function without a scale by then (a constant) is left to the rule.
MOST_TRIALS = 40


@dataclass(frozen=True, slots=True)
class FirstStepState:
    """Progress of the search for a first step: the loss to improve on, the trials so far, and whether it is over."""

    loss: float = math.nan
    trials: int = 0
    done: bool = False


class SearchingRule(Rule):
    """A rule that begins with the search for a first step, which its state holds as `search`."""

    first: float | None
    needs = FIRST_STEP_NEEDS

    @abstractmethod
    def begin(self, search: FirstStepState) -> Any:
        """The rule's state during the search and at its end; `search.loss` is the loss to improve on."""

    @abstractmethod
    def decide(self, state: Any, observation: Observation, *, fresh: bool) -> tuple[Decision, Any]:
        """The decision after the search; `fresh` if the step that led here ended it."""

    def init(self) -> Any:
        """The search has not begun."""
        return self.begin(FirstStepState())

    def update(self, state: Any, observation: Observation) -> tuple[Decision, Any]:
        """The search's decision, or the rule's own."""
        fresh = not state.search.done
        if fresh:
            decision, search = first_step(state.search, observation, self.first)
            state = self.begin(search)
            if decision is not None:
                return decision, state
        return self.decide(state, observation, fresh=fresh)


def first_step(
    state: FirstStepState, point: Observation, first: float | None
) -> tuple[Decision | None, FirstStepState]:
    """The decision in the search for a first step, None once the step that led here shows the scale; the next state.

    Parameters
    ----------
    state : FirstStepState
        Its `loss` is that of the last accepted point.
    point : Observation
        The trial.
    first : float or None
        The step to begin with; None for a move of length 1.
    """
    if state.trials == 0:
        if first is None:
            first = 1 / point.gradient_norm if 0 < point.gradient_norm < math.inf else 0.0
        step = first if first < math.inf else 0.0  # 1/norm overflows where the norm is denormal
        return Decision(step=step, reason="first trial"), FirstStepState(loss=point.loss, trials=1)
    if state.trials > MOST_TRIALS:
        return None, replace(state, done=True)
    trial = replace(state, trials=state.trials + 1)
    if not is_finite(point):
        step = FIRST_AFTER_NOT_FINITE * point.step
        return Decision.undo(step, "not finite"), trial
    if point.loss > state.loss:
        shrink = LEAST_SHRINK
        if point.step > 0:
            shrink = min(max(secant_long(point) / point.step, MOST_SHRINK), LEAST_SHRINK)
        return Decision.undo(shrink * point.step, "first trial too long"), trial
    longer = GROWTH * point.step
    if point.gradient_change < VISIBLE * point.gradient_norm and longer < math.inf:
        return Decision(step=longer, reason="curvature not visible yet"), replace(trial, loss=point.loss)
    return None, replace(trial, done=True)


def is_finite(point: Observation) -> bool:
    """Whether loss and gradient at this point are finite."""
    return math.isfinite(point.loss) and math.isfinite(point.gradient_norm)


def secant_long(point: Observation) -> float:
    """|s|^2/<s, y>, the inverse curvature along the last move; inf where that is not positive."""
    # |s| (|s|/<s, y>), not |s|^2/<s, y>: the square of a short move underflows
    return point.displacement * (point.displacement / point.alignment) if point.alignment > 0 else math.inf
