"""The step-size controller of adaptive integrators: proportional-integral control of the local error."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any

from surefoot.checks import Count, Fraction, Positive, Range, checked
from surefoot.rules._base import Decision, Observation, Rule

# Takes the place of an error of zero, which would give an infinite step; up to order 8 it still gives more than `grow`
# allows.
SMALLEST_ERROR = 1e-10
# Gains of the integral and proportional parts (Gustafsson 1991; Hairer, Wanner 1996, equation IV.2.43), over p + 1.
INTEGRAL, PROPORTIONAL = 0.7, 0.4


@dataclass(frozen=True, slots=True)
class PIState:
    """The error of the last accepted step (1 before the first), and whether the last trial was rejected."""

    error: float = 1.0
    rejected: bool = False


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class PI(Rule):
    """Proportional-integral step control (Gustafsson 1991; Hairer, Wanner 1996, section IV.2).

        h+ = safety h error^(-kI/(p+1)) previous^(kP/(p+1)),    kI = 0.7, kP = 0.4

    A trial is accepted when its scaled local error is at most 1; after a rejection h+ = safety h error^(-1/(p+1)).
    Where stability and not accuracy limits the step, the proportional part damps the sawtooth of accepted and rejected
    steps at the boundary.

    Parameters
    ----------
    first : float
        First step, > 0.
    order : int
        p, the order of the error estimate's formula: the error is proportional to h^(p+1).
    safety : float
        Margin below the step that the error allows, in (0, 1).
    shrink, grow : float
        Least and largest factor from step to step, shrink < 1 < grow.

    Raises
    ------
    InvalidInput
        If a parameter is out of range.
    """

    first: Positive
    order: Count
    safety: Fraction = 0.9
    shrink: Fraction = 0.2
    grow: Annotated[float, Range("(1, inf)")] = 5.0
    needs = frozenset({"error"})

    def init(self) -> PIState:
        """No step yet."""
        return PIState()

    def update(self, state: PIState, observation: Observation) -> tuple[Decision, PIState]:
        """Accept while the error is at most 1."""
        if observation.iteration == 0 and math.isnan(observation.step):
            return Decision(step=self.first, reason="first step"), state
        # `error` is observed by integrators only, which is why `needs` says so
        seen: Any = observation
        error, step = float(seen.error), observation.step
        if not math.isfinite(error):
            decision = Decision(step=self.shrink * step, accept=False, reason="the trial is not finite")
            return decision, replace(state, rejected=True)
        error = max(error, SMALLEST_ERROR)
        power = 1 / (self.order + 1)
        if error > 1:
            factor = min(1.0, max(self.shrink, self.safety * error**-power))
            reason = f"local error {error:.3g} times the tolerance"
            return Decision(step=factor * step, accept=False, reason=reason), replace(state, rejected=True)
        factor = self.safety * error ** (-INTEGRAL * power) * state.error ** (PROPORTIONAL * power)
        # no growth right after a rejection: the step just proved too long
        factor = min(1.0 if state.rejected else self.grow, max(self.shrink, factor))
        return Decision(step=factor * step), PIState(error)
