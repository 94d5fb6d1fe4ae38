"""The curvature along the optimizer's own update."""

import math
from dataclasses import dataclass, replace
from typing import Annotated

from surefoot.checks import Count, Positive, Range, checked
from surefoot.rules._base import Decision, Observation, Rule


@dataclass(frozen=True, slots=True)
class AlongStepState:
    """The rate in force, smoothed descent and curvature along the update, updates until the next look."""

    rate: float = 0.0
    descent: float = math.nan
    bend: float = math.nan
    wait: int = 0


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class AlongStep(Rule):
    """A multiple of the rate that would be best along the last update.

        n = -<g, u>,   d = |u'Hu|,   each smoothed,      eta -> sigma * n/d within a factor `within` per look

    u is the last update per unit of rate, g and H are of the present batch. Since u knows nothing of this batch, n is
    the true descent along u plus noise of mean 0; along the batch's own direction it would be too large. sigma = 1 is
    the least loss along u to second order, sigma = 2 where the loss is what it was. The first rate is `start` times
    what the first direction itself promises. A heuristic: curvature adapts to the rate, after which n/d follows eta
    and the rule only says whether it is below or above 1/sigma.

    Parameters
    ----------
    sigma : float
        > 0.
    every : int
        Updates between looks; each costs about three gradients.
    smoothing : float
        Weight of the past, in [0, 1).
    within : float
        >= 1.
    start : float
        > 0.

    Examples
    --------
    The first step along a direction of length 2 with slope -4 and curvature 2 is 0.1 * 4/(2 * 2^2):

    >>> from types import SimpleNamespace as Seen
    >>> from surefoot.rules import AlongStep
    >>> rule = AlongStep()
    >>> decision, state = rule.update(rule.init(), Seen(slope=-4.0, curvature=2.0, direction_norm=2.0))
    >>> decision.step
    0.05
    """

    sigma: Positive = 1.0
    every: Count = 5
    smoothing: Annotated[float, Range("[0, 1)")] = 0.8
    within: Annotated[float, Range("[1, inf)")] = 1.25
    start: Positive = 0.1
    # along the update made; slope and curvature, along the first one, before it is made
    needs = frozenset({"arrival_slope", "arrival_curvature", "slope", "curvature", "direction_norm"})

    def init(self) -> AlongStepState:
        """Nothing seen yet."""
        return AlongStepState()

    def update(self, state: AlongStepState, observation: Observation) -> tuple[Decision, AlongStepState]:
        """The rate, measured anew when it is time."""
        seen = observation
        if state.rate == 0:
            return self._first(seen)
        if state.wait > 0:
            after = replace(state, wait=state.wait - 1)
            return Decision(step=state.rate, limit=self._limit(state), look_back=state.wait == 1), after
        descent, bend = -seen.arrival_slope, abs(seen.arrival_curvature)
        if not math.isfinite(descent) or not math.isfinite(bend):
            return Decision(step=state.rate, limit=self._limit(state)), state
        if not math.isnan(state.descent):
            descent = self.smoothing * state.descent + (1 - self.smoothing) * descent
            bend = self.smoothing * state.bend + (1 - self.smoothing) * bend
        wanted = self.sigma * descent / bend if bend > 0 else math.inf
        rate = min(max(wanted, state.rate / self.within), state.rate * self.within)
        after = AlongStepState(rate, descent, bend, self.every - 1)
        return Decision(step=rate, limit=self._limit(after), look_back=self.every == 1), after

    def _first(self, seen: Observation) -> tuple[Decision, AlongStepState]:
        bend = abs(seen.curvature) * seen.direction_norm * seen.direction_norm  # a power of a float can raise
        rate = -self.start * self.sigma * seen.slope / bend if bend > 0 else 0.0
        if not 0 < rate < math.inf:
            return Decision(step=0.0, reason="no descent along the update to measure"), AlongStepState()
        after = AlongStepState(rate, wait=self.every - 1)
        return Decision(step=rate, look_back=self.every == 1), after

    def _limit(self, state: AlongStepState) -> float:
        return 2 * state.descent / state.bend if state.bend > 0 and state.descent > 0 else math.nan
