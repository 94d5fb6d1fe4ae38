"""How long a judge may look away, what it takes for ordinary, probation and recovery, each from both sides."""

import math
from dataclasses import replace

import pytest

from surefoot.rules import Constant, Watch
from surefoot.rules.training.watch import Usual
from surefoot.training.loop._judge import Judge


def judge(rule=None, **state):
    made = Judge(Watch(patience=20), rule)
    usual = Usual(count=100, first=2.0, level=1.0, typical=0.1, best=1.0, quiet=0.1, top=2.0, peak=1.0, drift=0.5)
    made.state = replace(made.state, usual=usual, **state)
    return made


def test_probation_lasts_two_hundred_updates_and_recovery_takes_ten():
    assert judge(since=199).on_probation
    assert not judge(since=200).on_probation
    assert not judge(since=9).recovered
    assert judge(since=10).recovered
    assert not Judge(None, None).on_probation


@pytest.mark.parametrize(
    ("numbers", "ordinary"),
    [
        ((2.0, 1.0, 0.5), True), ((2.01, 1.0, 0.5), False), ((2.0, 1.01, 0.5), False), ((2.0, 1.0, 0.51), False),
        ((1.0, 1.01e-12, 0.0), True), ((1.0, 0.99e-12, 0.0), False), ((-math.inf, 1.0, 0.0), False),
        ((math.nan, 1.0, 0.0), False), ((1.0, math.nan, 0.0), False), ((1.0, 1.0, math.nan), False),
    ],
)  # fmt: skip
def test_an_update_is_only_noted_where_each_number_lies_within_what_was_seen(numbers, ordinary):
    assert judge().note(*numbers) == ordinary


def test_ten_updates_are_noted_at_most_and_no_more_than_are_calm():
    one = judge()
    assert one.calm == 19
    assert one.expect()
    for k in range(10):
        assert one.may_note, k
        one.note(1.0, 0.5, 0.0)
    assert not one.may_note
    assert one.catch_up()
    assert one.state.usual.count == 110
    assert not one.catch_up()
    few = judge(lost=16)
    assert few.calm == 3
    few.expect()
    for _ in range(3):
        assert few.may_note
        few.note(1.0, 0.5, 0.0)
    assert not few.may_note
    assert not judge(lost=19).expect()


@pytest.mark.parametrize(("peak", "calm"), [(0.99e-12, 0), (1.01e-12, 19), (0.99e12, 19), (1.01e12, 0)])
def test_no_update_goes_unseen_where_squares_of_gradients_are_not_exact(peak, calm):
    one = judge()
    one.state = replace(one.state, usual=replace(one.state.usual, peak=peak))
    assert one.calm == calm
    assert judge(Constant(step=0.1)).calm == 0
