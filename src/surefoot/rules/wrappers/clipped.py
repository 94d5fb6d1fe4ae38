"""A cap on the length of a move: gradient clipping for any rule."""

import math
from dataclasses import dataclass, replace
from typing import Any

from surefoot.checks import Positive, checked
from surefoot.rules._base import Decision, Observation, Wrapper

__all__ = ["CUT", "Clipped", "ClippedState"]

# The reason in a decision whose step was cut.
CUT = "clipped"


@dataclass(frozen=True, slots=True)
class ClippedState:
    """The wrapped rule's state and the longest step from the last accepted point."""

    inner: Any
    longest: float = math.inf


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Clipped(Wrapper):
    """Limit the length of every move to a cap.

        eta_k = min(the rule's step, cap/|d_k|)

    For plain descent with a constant step this is clipping by norm at cap/step (Pascanu et al. 2013). On a
    quadratic with a step above 2/a it turns divergence into a cycle of peak-to-peak amplitude cap.

    Parameters
    ----------
    rule : Rule
        Rule whose steps are limited.
    cap : float
        Largest |step * direction|, > 0, unit of x.
    """

    cap: Positive
    reads = frozenset({"direction_norm"})

    def init(self) -> ClippedState:
        """The rule's own start."""
        return ClippedState(self.rule.init())

    def update(self, state: ClippedState, observation: Observation) -> tuple[Decision, ClippedState]:
        """The rule's decision, its step at most cap/|d|."""
        decision, inner = self.rule.update(state.inner, observation)
        longest = state.longest
        if decision.accept:
            norm = observation.direction_norm
            longest = self.cap / norm if 0 < norm < math.inf else math.inf
        if decision.step > longest:
            reason = "; ".join(part for part in (decision.reason, CUT) if part)
            decision = replace(decision, step=longest, reason=reason)
        return decision, ClippedState(inner, longest)
