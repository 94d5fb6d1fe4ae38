import json
import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surefoot import rules
from surefoot.errors import InvalidInput, InvalidType
from surefoot.rules import Decision, Rule


def at(schedule, *ks):
    return [schedule.at(k) for k in ks]


def test_values_by_hand():
    assert at(rules.InverseTime(step=1, halving=4), 0, 4, 12) == [1, 0.5, 0.25]
    assert at(rules.InverseSqrt(step=1), 0, 3, 8) == pytest.approx([1, 0.5, 1 / 3])
    assert at(rules.StepDecay(step=1, every=3, factor=0.5), 0, 2, 3, 6) == [1, 1, 0.5, 0.25]
    assert at(rules.Exponential(step=2, factor=0.5), 0, 1, 3) == [2, 1, 0.25]
    assert at(rules.Linear(step=1, steps=4, final=0.2), 0, 2, 4, 9) == pytest.approx([1, 0.6, 0.2, 0.2])
    assert at(rules.Cosine(step=1, steps=4), 0, 1, 2, 4, 9) == pytest.approx([1, 0.85355339, 0.5, 0, 0])
    cycle = rules.OneCycle(peak=1, steps=11, rise=0.3, start=25, end=100)
    assert at(cycle, 0, 3, 10, 99) == pytest.approx([0.04, 1, 0.01, 0.01])
    high = rules.HighThenLow(high=1, low=0.01, steps=10, explore=0.5)
    assert at(high, 0, 5, 7.5, 10, 50) == pytest.approx([1, 1, 0.1, 0.01, 0.01])
    wsd = rules.WSD(peak=1, steps=100, warmup=0.1, decay=0.2, final=0.1)
    assert at(wsd, 0, 4, 9, 50, 80, 90, 100, 200) == pytest.approx([0.1, 0.5, 1, 1, 1, 0.55, 0.1, 0.1])


def test_silver_by_hand():
    steps = [rules.Silver(smoothness=2.0).at(k) * 2 for k in range(8)]
    root = math.sqrt(2)
    assert steps == pytest.approx([root, 2, root, 2 + root, root, 2, root, 2 + (1 + root) ** 2 - 1])


ANY = [
    rules.Constant(step=0.3), rules.InverseTime(step=1.0), rules.InverseSqrt(step=1.0), rules.Cosine(step=1.0, steps=7),
    rules.StepDecay(step=1.0, every=2), rules.Exponential(step=1.0, factor=0.9), rules.Linear(step=1.0, steps=7),
    rules.OneCycle(peak=1.0, steps=7), rules.HighThenLow(high=1.0, low=0.1, steps=7), rules.WSD(peak=1.0, steps=7),
    rules.Chebyshev(smallest=0.1, largest=2.0, steps=7), rules.Silver(smoothness=1.0),
]  # fmt: skip


@given(k=st.integers(0, 10**6), which=st.sampled_from(ANY))
def test_steps_are_finite_and_never_negative(k, which):
    assert 0 <= which.at(k) < math.inf


class Loud(Rule):
    """Answers 1, and rejects every third point."""

    def init(self):
        return rules.Constant(step=1.0).init()

    def update(self, state, observation):
        return Decision(step=1.0, accept=observation.step != -3), state


class At:
    def __init__(self, iteration, step=1.0, gradient_norm=1.0, loss=1.0, direction_norm=1.0):
        self.iteration, self.step, self.gradient_norm = iteration, step, gradient_norm
        self.loss, self.direction_norm = loss, direction_norm


def test_warmup_repeats_the_step_of_the_point_it_goes_back_to():
    rule = rules.Warmup(rule=Loud(), steps=4)
    state, steps = rule.init(), []
    for k in range(6):
        decision, state = rule.update(state, At(k))
        steps.append(decision.step)
    assert steps == [0.25, 0.5, 0.75, 1, 1, 1]
    back, _ = rule.update(state, At(2, step=-3))
    assert (back.accept, back.step) == (False, 0.5)


def test_brake_shrinks_returns_and_hides_what_it_took_back():
    rule = rules.Brake(rule=rules.Constant(step=1.0), ratio=5, shrink=0.5, grow=1.5, forget=1.0)
    state = rule.init()
    first, state = rule.update(state, At(0, gradient_norm=1.0))
    assert first.step == 1.0
    bad, state = rule.update(state, At(1, gradient_norm=5.1))
    assert (bad.accept, bad.restart, bad.step) == (False, True, 0.5)
    assert "5.1 times" in bad.reason
    worse, state = rule.update(state, At(1, loss=math.nan))
    assert (worse.accept, worse.step) == (False, 0.25)
    fine, state = rule.update(state, At(1, gradient_norm=4.9))
    assert (fine.accept, fine.step) == (True, 0.375)
    # 4.9 is accepted, but the least norm seen stays the measure: growth in small steps does not pass
    creeping, state = rule.update(state, At(2, gradient_norm=5.2))
    assert not creeping.accept
    for k in range(2, 8):
        decision, state = rule.update(state, At(k, gradient_norm=1.0))
    assert decision.step == 1.0


def test_clipping_caps_the_move_not_the_step():
    rule = rules.Clipped(rule=rules.Constant(step=1.0), cap=0.5)
    long, state = rule.update(rule.init(), At(0, direction_norm=10.0))
    assert long.step == 0.05
    assert long.reason == "clipped"
    short, _ = rule.update(state, At(1, direction_norm=0.1))
    assert short.step == 1.0


@dataclass(frozen=True, slots=True)
class Inner:
    numbers: tuple[float, ...] = ()
    pairs: tuple[tuple[float, int], ...] = ()
    word: str = ""


@dataclass(frozen=True, slots=True)
class Outer:
    inner: Any
    value: float | None = None
    flag: bool = False


class Keeper(Rule):
    """Of the public rules none has a state of every kind that may be saved."""

    def init(self):
        return Outer(Inner())

    def update(self, state, observation):
        return Decision(step=1.0), state


@given(
    st.lists(st.floats(allow_nan=False)).map(tuple),
    st.lists(st.tuples(st.floats(allow_nan=False), st.integers())).map(tuple),
    st.none() | st.floats(allow_nan=False),
    st.text(),
)
def test_states_survive_json_exactly(numbers, pairs, value, word):
    state = Outer(Inner(numbers, pairs, word), value, flag=True)
    again = Keeper().load(json.loads(json.dumps(Keeper().dump(state), allow_nan=False)))
    assert again == state
    assert [type(n) for pair in again.inner.pairs for n in pair] == [float, int] * len(pairs)


def test_nan_survives_too_and_strangers_are_refused():
    text = json.dumps(Keeper().dump(Outer(Inner(), math.nan)), allow_nan=False)
    assert math.isnan(Keeper().load(json.loads(text)).value)
    with pytest.raises(InvalidType, match="object"):
        Keeper().dump(Outer(Inner(), object()))
    with pytest.raises(InvalidInput, match="'inner' must be"):
        Keeper().load({"inner": 3})


def test_a_brake_at_its_ratio_and_after_a_rule_takes_a_step_back_itself():
    rule = rules.Brake(rule=Loud(), ratio=5.0, shrink=0.5, grow=1.5, forget=2.0)
    _, state = rule.update(rule.init(), At(0, gradient_norm=1.0))
    assert rule.update(state, At(1, gradient_norm=5.0))[0].accept
    assert not rule.update(state, At(1, gradient_norm=5.01))[0].accept
    assert rule.update(rule.init(), At(0, gradient_norm=math.nan))[0].accept  # nothing to go back to
    _, braked = rule.update(state, At(1, gradient_norm=6.0))
    back, after = rule.update(braked, At(1, step=-3))
    assert (back.accept, back.step, after.step, after.factor) == (False, 1.0, 2.0, 0.5)
    braked = rules.Brake(rule=Loud(), shrink=0.4)
    assert braked.update(replace(state, factor=0.4), At(1, step=-3))[1].step == 2.5  # the step before the brake
    # r: twice the least norm of late, or the norm itself
    _, forgot = rule.update(state, At(1, gradient_norm=3.0))
    assert forgot.reference == 2.0
    _, lower = rule.update(state, At(1, gradient_norm=0.5))
    assert lower.reference == 0.5
    assert rule.needs == {"loss", "gradient_norm"}


def test_a_cap_holds_from_the_last_accepted_point_and_keeps_what_the_rule_said():
    rule = rules.Clipped(rule=Loud(), cap=0.5)
    _, state = rule.update(rule.init(), At(0, direction_norm=10.0))
    back, after = rule.update(state, At(1, step=-3, direction_norm=0.1))
    assert (back.accept, back.step, after.longest) == (False, 0.05, 0.05)
    assert rule.update(state, At(1, direction_norm=0.0))[0].step == 1.0
    assert rule.update(state, At(1, direction_norm=math.inf))[0].step == 1.0


def test_phases_at_their_ends():
    assert at(rules.OneCycle(peak=1, steps=3, rise=0.5, start=2, end=4), 0, 1, 2, 3) == pytest.approx(
        [0.5, 1, 0.25, 0.25]
    )
    assert rules.OneCycle(peak=1, steps=11).at(0) == pytest.approx(1 / 25)
    assert rules.OneCycle(peak=1, steps=11).at(10) == pytest.approx(1e-4)
    assert at(rules.WSD(peak=1, steps=10, warmup=0.5, decay=0.5), 0, 3, 4, 5, 6, 9) == pytest.approx(
        [0.2, 0.8, 1.0, 1.0, 0.8, 0.2]
    )
    assert rules.HighThenLow(high=1, low=1, steps=2).at(9) == 1
    with pytest.raises(InvalidInput, match="exchange them"):
        rules.HighThenLow(high=1, low=1.01, steps=2)
    assert rules.WSD(peak=1, steps=10, warmup=0.5, decay=0.5).final == 0
