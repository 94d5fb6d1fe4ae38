"""The rule that keeps a part of the stability limit, and the cool-down around any rule."""

import math
from dataclasses import dataclass

import pytest

from surefoot.errors import InvalidInput
from surefoot.rules import Constant, Cooldown, Sharpness


@dataclass
class Seen:
    limit: float = 2.0
    remaining: float = 1.0
    iteration: int = 0


@pytest.mark.parametrize("safety", [0.1, 0.5, 1.5])
def test_a_part_of_the_limit(safety):
    rule = Sharpness(safety=safety)
    decision, _ = rule.update(rule.init(), Seen(limit=3.0))
    assert decision.step == safety * 3.0
    assert decision.limit == 3.0


def test_it_measures_as_often_as_it_says():
    rule, reads = Sharpness(every=4), []

    class Counting:
        @property
        def limit(self):
            reads.append(1)
            return 2.0

    state = rule.init()
    for _ in range(9):
        _, state = rule.update(state, Counting())
    assert len(reads) == 3


def test_a_limit_that_jumps_is_followed_in_steps():
    rule = Sharpness(every=1, within=1.5)
    _, state = rule.update(rule.init(), Seen(limit=2.0))
    for expected in (1.5, 2.25, 3.375):
        decision, state = rule.update(state, Seen(limit=1e9))
        assert decision.step == pytest.approx(expected)


@pytest.mark.parametrize("limit", [math.inf, math.nan, 0.0, -1.0])
def test_without_positive_curvature_the_rate_stays(limit):
    rule = Sharpness(every=1)
    _, state = rule.update(rule.init(), Seen(limit=2.0))
    decision, _ = rule.update(state, Seen(limit=limit))
    assert decision.step == 1.0


def test_a_cool_down_goes_to_zero_in_a_straight_line():
    rule = Cooldown(rule=Constant(step=0.4))
    decision, state = rule.update(rule.init(), Seen())
    assert decision.step == 0.4
    steps, reasons = [], []
    for left in (0.75, 0.5, 0.25):
        decision, state = rule.update(state, Seen(remaining=left))
        steps.append(decision.step)
        reasons.append(decision.reason)
    assert steps == pytest.approx([0.3, 0.2, 0.1])
    assert reasons == ["cool-down begins", "", ""]


@pytest.mark.parametrize("bad", [{"safety": 0}, {"every": 0}, {"within": 0.5}])
def test_refuses(bad):
    with pytest.raises(InvalidInput):
        Sharpness(**bad)


def test_between_readings_rate_and_limit_are_those_of_the_last():
    rule = Sharpness(every=3)
    first, state = rule.update(rule.init(), Seen(limit=2.0))
    second, _ = rule.update(state, Seen(limit=99.0))
    assert (second.step, second.limit) == (first.step, first.limit) == (1.0, 2.0)
    assert not first.look_back
    assert not second.look_back


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan, math.inf])
def test_without_a_limit_there_is_no_rate_yet_and_the_last_one_stays(limit):
    rule = Sharpness(every=1)
    assert rule.update(rule.init(), Seen(limit=limit))[0].step == 0
    _, state = rule.update(rule.init(), Seen(limit=2.0))
    assert rule.update(state, Seen(limit=limit))[0].step == 1.0


def test_a_limit_that_falls_is_followed_in_steps_too():
    rule = Sharpness(every=1, within=1.5)
    _, state = rule.update(rule.init(), Seen(limit=2.0))
    assert rule.update(state, Seen(limit=1e-9))[0].step == pytest.approx(1 / 1.5)
    assert rule.update(state, Seen(limit=2.6))[0].step == pytest.approx(1.3)


def test_a_cool_down_ends_at_zero_and_needs_a_rate_to_begin_with():
    rule = Cooldown(rule=Constant(step=0.4))
    decision, state = rule.update(rule.init(), Seen(remaining=0.5))
    assert (decision.step, state.held) == (0.4, 0.4)
    assert rule.update(state, Seen(remaining=-0.1))[0].step == 0
    assert rule.needs == {"remaining"}
