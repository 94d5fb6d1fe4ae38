"""Warm-up: any rule with its first steps shortened."""

from dataclasses import dataclass, replace
from typing import Any

from surefoot.checks import Count, checked
from surefoot.rules._base import Decision, Observation, Wrapper


@dataclass(frozen=True, slots=True)
class WarmupState:
    """The wrapped rule's state."""

    inner: Any


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup(Wrapper):
    """Scale a rule's first steps up from almost nothing.

        eta_k = min((k + 1)/steps, 1) * (the rule's step)

    Parameters
    ----------
    rule : Rule
        Rule whose steps are scaled.
    steps : int
        Length of the warm-up, >= 1.

    Examples
    --------
    >>> from types import SimpleNamespace as Seen
    >>> from surefoot.rules import Constant, Warmup
    >>> rule = Warmup(rule=Constant(step=0.4), steps=4)
    >>> [rule.update(rule.init(), Seen(iteration=k))[0].step for k in (0, 1, 3, 9)]
    [0.1, 0.2, 0.4, 0.4]
    """

    steps: Count

    def init(self) -> WarmupState:
        """The rule's own start."""
        return WarmupState(self.rule.init())

    def update(self, state: WarmupState, observation: Observation) -> tuple[Decision, WarmupState]:
        """The rule's decision with a shorter step."""
        decision, inner = self.rule.update(state.inner, observation)
        # after a rejection the step is taken again from the point before
        k = observation.iteration if decision.accept else observation.iteration - 1
        factor = min((k + 1) / self.steps, 1.0)
        return replace(decision, step=factor * decision.step), WarmupState(inner)
