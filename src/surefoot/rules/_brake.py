"""A brake: any rule, with the steps that blow up taken back."""

import math
from dataclasses import dataclass, replace
from typing import Any

from surefoot.rules._base import Decision, Observation, Rule
from surefoot.rules._checks import fraction, number

__all__ = ["Brake", "BrakeState"]


@dataclass(frozen=True, slots=True)
class BrakeState:
    """The wrapped rule's state and last step, the factor in force and the last accepted gradient norm."""

    inner: Any
    step: float = 0.0
    factor: float = 1.0
    gradient_norm: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Brake(Rule):
    """Take a step back when the gradient jumps, go on with shorter ones, return slowly.

        |g(x)| > ratio * |g(x-)|,  or a value that is not finite:   back to x-,  factor <- shrink * factor
        otherwise:                                                  factor <- min(grow * factor, 1)
        eta_k = factor * (what the rule says)

    A heuristic. The wrapped rule does not see the points that were taken back.

    Parameters
    ----------
    rule : Rule
        The rule to watch.
    ratio : float
        Largest growth of the gradient norm in one step, > 1.
    shrink : float
        In (0, 1).
    grow : float
        >= 1; 1 never returns.
    """

    rule: Rule
    ratio: float = 10.0
    shrink: float = 0.25
    grow: float = 1.05

    def __post_init__(self) -> None:
        number(self, "ratio", "grow", least=1)
        fraction(self, "shrink")

    @property
    def needs(self) -> frozenset[str]:
        """Loss, gradient norm and what the rule needs."""
        return self.rule.needs | {"loss", "gradient_norm"}

    def init(self) -> BrakeState:
        """The rule's, at full speed."""
        return BrakeState(self.rule.init())

    def update(self, state: BrakeState, observation: Observation) -> tuple[Decision, BrakeState]:
        """Brake, or let the rule decide."""
        norm = observation.gradient_norm
        broken = not math.isfinite(norm) or not math.isfinite(observation.loss)
        if observation.iteration > 0 and (broken or norm > self.ratio * state.gradient_norm):
            factor = self.shrink * state.factor
            reason = "not finite" if broken else f"the gradient grew {norm / state.gradient_norm:.3g} times"
            decision = Decision(
                step=factor * state.step, accept=False, restart=True, reason=f"brake: {reason}"
            )
            return decision, replace(state, factor=factor)
        decision, inner = self.rule.update(state.inner, observation)
        if not decision.accept:
            return decision, replace(state, inner=inner, step=decision.step / state.factor)
        factor = min(self.grow * state.factor, 1.0)
        return replace(decision, step=factor * decision.step), BrakeState(inner, decision.step, factor, norm)
