"""Barzilai and Borwein's steps, from the secant's curvature, undone where the loss rises too far."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from surefoot.checks import Positive, Range, checked
from surefoot.rules._base import Decision, Observation
from surefoot.rules.searches.acceptance import ACCEPTANCE_NEEDS, Reference, next_reference, shorter_step
from surefoot.rules.searches.first_step import FIRST_STEP_NEEDS, FirstStepState, SearchingRule, secant_long


@dataclass(frozen=True, slots=True)
class BBState:
    """The search for a first step, and what trials are compared with."""

    search: FirstStepState
    reference: Reference


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class BarzilaiBorwein(SearchingRule):
    """The inverse curvature along the last move, as the next step.

        long: |s|^2/<s, y>        short: <s, y>/|y|^2        s = x - x-,  y = g - g-

    (Barzilai, Borwein 1988, equations 5 and 6.) Both lie in [1/L, 1/mu] on a quadratic and converge there
    without a search, with a loss that rises now and then (Raydan 1993). Elsewhere they can diverge, so a step is undone
    when the loss rises above an average of the past ones (Zhang, Hager 2004); the first step is found by trials.

    Parameters
    ----------
    kind : "long", "short" or "alternating"
        Alternating takes long after even, short after odd steps (Dai, Fletcher 2005).
    first : float or None
        First step to try; None for a move of length 1, then corrected by its outcome.
    decrease : float
        Required share of the first-order decrease, in [0, 1).
    averaging : float
        Weight of past losses in their average, in [0, 1]; 0 allows no rise at all, and below 0.99 many steps are undone
        that would have paid off.

    Raises
    ------
    InvalidInput
        If the kind is unknown.

    Examples
    --------
    >>> from surefoot.rules import BarzilaiBorwein
    >>> BarzilaiBorwein(kind="short")
    BarzilaiBorwein(kind='short', first=None, decrease=0.0001, averaging=0.99)
    """

    kind: Literal["long", "short", "alternating"] = "alternating"
    first: Positive | None = None
    decrease: Annotated[float, Range("[0, 1)")] = 1e-4
    averaging: Annotated[float, Range("[0, 1]")] = 0.99
    needs = FIRST_STEP_NEEDS | ACCEPTANCE_NEEDS

    def begin(self, search: FirstStepState) -> BBState:
        """Trials are compared with the loss at the start."""
        return BBState(search, Reference(search.loss))

    def decide(self, state: BBState, observation: Observation, *, fresh: bool) -> tuple[Decision, BBState]:  # noqa: ARG002
        """The secant's step from here, or a shorter one from the last accepted point."""
        reference = next_reference(state.reference, observation, self.decrease, self.averaging)
        if reference is None:
            return Decision.undo(shorter_step(observation), "loss rose too far"), state
        long, short = secant_steps(observation)
        if self.kind == "alternating":
            step = short if observation.iteration % 2 else long
        else:
            step = long if self.kind == "long" else short
        return Decision(step=step), replace(state, reference=reference)


def secant_steps(point: Observation) -> tuple[float, float]:
    """Barzilai and Borwein's long and short step; |s|/|y| for both where the curvature is not positive.

    That is their geometric mean where it is (Dai, Al-Baali, Yang 2015), and the step before where y = 0 as
    well.
    """
    aligned, change = point.alignment, point.gradient_change
    if aligned > 0 and change > 0:
        long, short = secant_long(point), aligned / change / change
        if long < math.inf and 0 < short < math.inf:
            return long, short
    middle = point.displacement / change if change > 0 else point.step
    if not 0 < middle < math.inf:
        middle = point.step
    return middle, middle
