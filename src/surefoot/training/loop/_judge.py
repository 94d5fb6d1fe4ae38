"""From the numbers of an update to what is to be done about it: the watch is asked first, then the rule."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from surefoot.rules import Decision, Observation, Rule, Watch
from surefoot.rules.training.watch import PROBATION, WatchState

# Updates without an event, the mean loss down again: recovered.
QUIET = 10
# Gradient norms whose squares stay far inside single precision (its roots are 1e-19 to 1e19): the quick norm is right.
QUICK = (1e-12, 1e12)
# Ordinary updates are judged so many at once. After a training step nothing of the judge is in the processor cache, so
# that the first of a row takes as long as the other nine together.
TOGETHER = 10
# What a rule reads of the last move, and what makes it one that may take that move back.
LOOKING_BACK = frozenset({"displacement", "alignment", "gradient_change", "arrival_slope", "arrival_curvature"})
UNDOING = frozenset({"loss", "alignment", "gradient_change", "previous_slope"})


class Judge:
    """Holds a watch and a rule, and the state of both; numbers only.

    Parameters
    ----------
    watch : Watch or None
        What judges each batch.
    rule : Rule or None
        What decides the rate. None: the user does.

    Attributes
    ----------
    state : WatchState
        The watch's, but for the updates that are only noted.
    rule_state : object
        The rule's.
    looks_back : bool
        Whether the rule needs to know the point before.
    """

    def __init__(self, watch: Watch | None, rule: Rule | None) -> None:
        self.watch, self.rule = watch, rule
        self.state: WatchState = (watch or Watch()).init()
        self.rule_state: Any = None if rule is None else rule.init()
        self.looks_back = _looks_back(rule)
        self._noted: list[tuple[float, float, float]] = []
        self._more = 0

    def drive(self, rule: Rule) -> None:
        """Ask another rule from here on."""
        self.rule, self.rule_state, self.looks_back = rule, rule.init(), _looks_back(rule)

    @property
    def calm(self) -> int:
        """How many updates ahead will be taken or left out by the watch's bounds alone.

        A rule has to see the numbers of each.
        """
        if self.rule is not None or self.watch is None or not QUICK[0] < self.state.usual.peak < QUICK[1]:
            return 0
        return self.watch.calm(self.state)

    @property
    def bounds(self) -> tuple[float, float, float]:
        """The largest loss, gradient norm and change of the buffers that the next batch may have."""
        return (self.watch or Watch()).bounds(self.state)

    @property
    def on_probation(self) -> bool:
        """Whether the start or the last return is too near to trust what was reached since."""
        return self.doubts(self.state)

    def doubts(self, state: WatchState) -> bool:
        """The same of another state."""
        return self.watch is not None and self.watch.doubts(state)

    @property
    def proved(self) -> bool:
        """Whether the present state has proved good: no return may be due that goes behind it."""
        return self.watch is not None and not self.on_probation and self.watch.trusts(self.state)

    def sudden(self, kind: str, state: WatchState) -> bool:
        """Whether a fault of this kind broke a state that had gone on well since the last return.

        It was whole until then; what a rate did before it breaks, it did long before.
        """
        return kind == "broken state" and self.watch is not None and state.since >= self.watch.patience

    @property
    def recovered(self) -> bool:
        """Whether the run is where it was before the last event."""
        return self.state.since >= QUIET and self.state.usual.near

    @property
    def may_note(self) -> bool:
        """Whether the next update may be one that is only noted."""
        return self._more > 0

    def expect(self) -> bool:
        """Whether some may be; how many depends on the watch's state."""
        self._more = min(self.calm, TOGETHER)
        return self._more > 0

    def note(self, loss: float, norm: float, change: float) -> bool:
        """Whether each number lies within what the run has seen: such an update is taken, and judged later."""
        usual = self.state.usual
        # none of these bounds ever falls, so whatever the watch makes of the updates before, it will take this one
        if not (-math.inf < loss <= usual.top and QUICK[0] < norm <= usual.peak and change <= usual.drift):
            return False
        self._noted.append((loss, norm, change))
        self._more -= 1
        return True

    def catch_up(self) -> bool:
        """Judge the updates that were only noted; whether there were any."""
        noted, self._noted, self._more = self._noted, [], 0
        if self.watch is not None:
            for numbers in noted:
                self.state = self.watch.accept(self.state, *numbers)
        return bool(noted)

    def judge(self, seen: Observation) -> Decision:
        """What the watch says about an update; its step is the factor on the rate."""
        if self.watch is None:
            return Decision(step=1.0, keep=False)
        decision, self.state = self.watch.update(self.state, seen)
        return decision

    def decide(self, seen: Observation) -> Decision:
        """What the rule says about an update that the watch has accepted."""
        if self.rule is None:
            return Decision(step=seen.factor)
        decision, self.rule_state = self.rule.update(self.rule_state, seen)
        return decision

    def go_back(self, note: Mapping[str, Any]) -> None:
        """The state of a snapshot is back: what was usual then, and the brake of now."""
        if self.watch is not None:
            self.state = self.watch.after_return(self.state, self.watch.load(note["watch"]))

    def follow(self, past: Sequence[tuple[float, float]], *, proved: bool) -> bool:
        """A trial is over: what was seen in it becomes part of the one memory; whether its end can be trusted.

        Parameters
        ----------
        past : sequence of (float, float)
            Loss and gradient norm of each batch of the copy that is left.
        proved : bool
            Whether it was the opening: its winner is the best of several runs side by side, and nothing proves a state
            better than that. A later trial may have begun where the run had gone wrong already.
        """
        if self.watch is None:
            return False
        self.state = self.watch.follow(self.state, past)
        if not (proved and self.state.usual.near):
            return False
        self.state = replace(self.state, since=max(self.state.since, PROBATION * self.watch.patience))
        return True

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        self.catch_up()
        return {
            "watch": None if self.watch is None else self.watch.dump(self.state),
            "rule": None if self.rule is None else self.rule.dump(self.rule_state),
        }

    def parse(self, data: Mapping[str, Any]) -> Callable[[], None]:
        """What `state_dict` returned; nothing is changed until the result is called."""
        watch = self.state if self.watch is None else self.watch.load(data["watch"])
        rule = None if self.rule is None else self.rule.load(data["rule"])

        def adopt() -> None:
            self.state, self.rule_state = watch, rule
            self._noted, self._more = [], 0

        return adopt


def _looks_back(rule: Rule | None) -> bool:
    return rule is not None and not (LOOKING_BACK | UNDOING).isdisjoint(rule.needs)
