"""Cool-down: any rule, annealed to nothing at the end of a run."""

from dataclasses import dataclass, replace
from typing import Any

from surefoot.checks import checked
from surefoot.rules._base import Decision, Observation, Wrapper


@dataclass(frozen=True, slots=True)
class CooldownState:
    """The wrapped rule's state, and its last step before the cool-down."""

    inner: Any
    held: float = 0.0
    cooling: bool = False


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Cooldown(Wrapper):
    """Follow a rule, then go in a straight line to zero while the driver says so.

        eta_k = (the rule's last step) * remaining,   remaining falling from 1 to 0 over the cool-down

    Needs `remaining`, which only `surefoot.training.Pilot` supplies: it knows how long the run is, or is told by
    `finish`. Nothing is measured in the cool-down. A rate that falls in a straight line averages the noise out
    (Hagele et al. 2024 found it as good as a cosine of the whole run).

    Parameters
    ----------
    rule : Rule
        The rule to end.

    Examples
    --------
    >>> from types import SimpleNamespace as Seen
    >>> from surefoot.rules import Constant, Cooldown
    >>> rule = Cooldown(rule=Constant(step=0.2))
    >>> _, state = rule.update(rule.init(), Seen(iteration=0, remaining=1.0))
    >>> rule.update(state, Seen(iteration=1, remaining=0.5))[0].step  # half of the cool-down is left
    0.1
    """

    reads = frozenset({"remaining"})

    def init(self) -> CooldownState:
        """The rule's."""
        return CooldownState(self.rule.init())

    def update(self, state: CooldownState, observation: Observation) -> tuple[Decision, CooldownState]:
        """The rule's decision, or a part of its last one."""
        if observation.remaining < 1 and state.held > 0:
            reason = "" if state.cooling else "cool-down begins"
            decision = Decision(step=state.held * max(observation.remaining, 0.0), reason=reason)
            return decision, replace(state, cooling=True)
        decision, inner = self.rule.update(state.inner, observation)
        return decision, CooldownState(inner, decision.step)
