"""A brake: any rule, but a step after which the gradient explodes is undone."""

import math
import sys
from dataclasses import dataclass, replace
from typing import Annotated, Any

from surefoot.checks import Fraction, Range, checked
from surefoot.rules._base import Decision, Observation, Wrapper

__all__ = ["Brake", "BrakeState"]

# Fifty brakes in a row with the default factor: by then the step is not the cause. Keeps divisions by it finite.
LEAST_FACTOR = 1e-30


@dataclass(frozen=True, slots=True)
class BrakeState:
    """The wrapped rule's state and last step, the factor in force and the gradient norm to compare with."""

    inner: Any
    step: float = 0.0
    factor: float = 1.0
    reference: float = math.nan


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Brake(Wrapper):
    """Undo a step when the gradient jumps, continue with shorter steps, lengthen them slowly.

        |g(x)| > ratio * r,  or a value that is not finite:   back to x-,  factor <- shrink * factor
        otherwise:                                            factor <- min(grow * factor, 1)
        eta_k = factor * (the rule's step),                   r <- min(|g(x)|, forget * r)

    A comparison with the last norm alone would let a slow divergence pass; r remembers the least norm and forgets it by
    a factor per step. A heuristic. The wrapped rule does not see the points that were undone.

    Parameters
    ----------
    rule : Rule
        Rule whose steps are braked.
    ratio : float
        Largest growth of the gradient norm over the least one of late, >= 1.
    shrink : float
        Factor of the step at each brake, in (0, 1).
    grow : float
        Factor of the step at each good point, >= 1; 1 never returns.
    forget : float
        Growth of the remembered norm per step, >= 1; 1 never forgets the least one.

    Examples
    --------
    A step of 4 diverges where the curvature is 1; with a brake the run goes on at a quarter of it:

    >>> from surefoot.problems import Quadratic
    >>> from surefoot.rules import Brake, Constant
    >>> from surefoot.solvers import descend
    >>> problem = Quadratic([[1.0]], [1.0])
    >>> [descend(problem, rule=rule).converged for rule in (Constant(step=4.0), Brake(rule=Constant(step=4.0)))]
    [False, True]
    """

    ratio: Annotated[float, Range("[1, inf)")] = 10.0
    shrink: Fraction = 0.25
    grow: Annotated[float, Range("[1, inf)")] = 1.05
    forget: Annotated[float, Range("[1, inf)")] = 1.02
    reads = frozenset({"loss", "gradient_norm"})

    def init(self) -> BrakeState:
        """The rule's own start, at full speed."""
        return BrakeState(self.rule.init())

    def update(self, state: BrakeState, observation: Observation) -> tuple[Decision, BrakeState]:
        """Brake, or let the rule decide."""
        norm, reference = observation.gradient_norm, state.reference
        broken = not math.isfinite(norm) or not math.isfinite(observation.loss)
        if observation.iteration > 0 and (broken or norm > self.ratio * reference > 0):
            factor = max(self.shrink * state.factor, LEAST_FACTOR)
            reason = "brake: not finite" if broken else f"brake: the gradient grew {norm / reference:.3g} times"
            return Decision.undo(factor * state.step, reason), replace(state, factor=factor)
        decision, inner = self.rule.update(state.inner, observation)
        if not decision.accept:
            # the rule's own undo: it saw the true step, so its answer is not scaled again
            return decision, replace(state, inner=inner, step=min(decision.step / state.factor, sys.float_info.max))
        factor = min(self.grow * state.factor, 1.0)
        reference = norm if math.isnan(reference) else min(norm, self.forget * reference)
        return replace(decision, step=factor * decision.step), BrakeState(inner, decision.step, factor, reference)
