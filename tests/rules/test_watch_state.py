"""The numbers of a watch's state, and what follows from them, in closed form."""

from dataclasses import replace

import pytest
from rules.watched import NAN, Seen, actions, drive

from surefoot.rules import Watch
from surefoot.rules.training.watch import Usual, WatchState

SETTLED = Usual(count=100, first=2.0, level=1.0, typical=0.1, best=0.9, quiet=0.08, top=2.0, peak=1.0, drift=0.5)


def after(loss, norm=0.5, drift=0.0, usual=SETTLED):
    return Watch().accept(WatchState(usual), loss, norm, drift).usual


def test_a_mean_is_over_ten_updates_and_over_all_of_fewer():
    seen = after(1.2)
    assert (seen.level, seen.typical) == pytest.approx((1.02, 0.11))
    few = replace(SETTLED, count=3)
    assert after(1.2, usual=few).level == pytest.approx(1.05)
    assert after(1.2, usual=replace(SETTLED, count=12)).level == pytest.approx(1.02)
    assert after(9.0, usual=Usual()) == Usual(count=1, first=9.0, level=9.0, best=9.0, top=9.0, peak=0.5)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_batch_moves_the_mean_by_five_typical_deviations_or_a_twentieth_of_the_progress_at_most(sign):
    assert after(1 + sign * 9).level == pytest.approx(1 + sign * 0.05)
    assert after(1 + sign * 9, usual=replace(SETTLED, typical=0.001)).level == pytest.approx(
        1 + sign * 0.1 * 0.05 * 1.1
    )
    assert after(1 + sign * 9, usual=replace(SETTLED, count=9)).level == pytest.approx(
        1 + sign * 0.9
    )  # in the beginning


def test_the_least_mean_and_deviation_are_forgotten_in_five_hundred_updates():
    seen = after(1.0)
    assert seen.best == pytest.approx(0.9 + 0.1 / 500)
    assert seen.quiet == pytest.approx(0.08 + 0.01 / 500)
    assert after(0.5, usual=replace(SETTLED, level=0.9)).best == pytest.approx(0.86)


def test_the_most_that_was_seen_is_never_forgotten_and_an_allowance_is():
    assert after(1.0).top == 2.0
    assert after(3.0).top == 3.0
    assert (after(1.0, 2.0).peak, after(1.0).peak) == (2.0, 1.0)
    assert (after(1.0, drift=0.7).drift, after(1.0, drift=0.1).drift) == (0.7, 0.5)
    assert after(1.0, usual=replace(SETTLED, allowance=10.0)).allowance == pytest.approx(9.75)
    assert after(1.0, usual=replace(SETTLED, allowance=1.01)).allowance == 1.0
    left = WatchState(replace(SETTLED, allowance=2.0), left_out=3, beyond=1)
    assert Watch(far=7.0).accept(left, 1.0, 0.5, 0.0).usual.allowance == pytest.approx(2 * 0.975 * 7)


@pytest.mark.parametrize(
    ("usual", "threshold"),
    [
        (SETTLED, 0.55),  # half the progress from 2 to 0.9
        (replace(SETTLED, quiet=0.12), 0.6),  # five deviations
        (replace(SETTLED, first=20.0, best=19.0), 1.0),  # a twentieth of the first loss
    ],
)
def test_ground_is_lost_above_the_largest_of_three(usual, threshold):
    for part, lost in ((0.99, 4), (1.01, 6)):
        # the least mean moves by a five-hundredth on the way
        state = Watch().accept(
            WatchState(replace(usual, level=usual.best), lost=5), usual.best + part * threshold, 0.5, 0.0
        )
        assert state.lost == lost


def test_a_run_that_began_at_zero_and_has_gained_nothing_is_judged_by_its_present_noise():
    began = replace(SETTLED, first=0.0, best=0.0, typical=0.2)
    assert began.above((0.5, 5.0, 0.05)) == 1.0
    assert replace(began, best=-0.1).above((0.5, 5.0, 0.05)) == 0.4
    assert Watch().accept(WatchState(began), 0.0, 0.5, 0.0).lost == 0


@pytest.mark.parametrize(
    ("usual", "distance"),
    [
        (SETTLED, 0.16),  # two deviations
        (replace(SETTLED, first=5.0), 0.205),  # a twentieth of the progress
        (replace(SETTLED, first=20.0, best=19.0), 0.4),  # a fiftieth of the first loss
    ],
)
def test_a_state_is_near_its_best_within_the_largest_of_three(usual, distance):
    assert replace(usual, level=usual.best + 0.99 * distance).near
    assert not replace(usual, level=usual.best + 1.01 * distance).near


def test_bounds_are_far_times_the_range_that_was_seen():
    loss, norm, drift = Watch(far=4.0).bounds(WatchState(replace(SETTLED, allowance=2.0)))
    assert (loss, norm, drift) == pytest.approx((2.0 + 8 * 1.1, 8.0, 4.0))
    assert Watch(far=4.0).bounds(WatchState(replace(SETTLED, best=1.99)))[0] == pytest.approx(2.0 + 4 * 0.1)
    nothing = Usual(count=100, first=1.0, level=1.0, best=1.0, top=1.0)
    assert Watch().bounds(WatchState(nothing)) == (3e38, 3e38, 3e38)
    assert Watch().bounds(WatchState(replace(SETTLED, count=9))) == (3e38, 3e38, 3e38)
    assert Watch().bounds(WatchState(replace(SETTLED, count=10)))[1] == 10
    huge = replace(SETTLED, top=1e38, peak=1e38, drift=1e38)
    assert Watch().bounds(WatchState(huge)) == (3e38, 3e38, 3e38)


@pytest.mark.parametrize(
    ("state", "calm"),
    [
        (WatchState(SETTLED), 19), (WatchState(SETTLED, lost=7), 12), (WatchState(SETTLED, still=8, lost=7), 11),
        (WatchState(SETTLED, lost=19), 0), (WatchState(SETTLED, lost=25), 0), (WatchState(SETTLED, rescues=1), 0),
        (WatchState(SETTLED, left_out=1), 0), (WatchState(SETTLED, constant=1), 0),
        (WatchState(replace(SETTLED, count=9)), 0), (WatchState(replace(SETTLED, count=10)), 19),
    ],
)  # fmt: skip
def test_how_long_it_is_calm(state, calm):
    assert Watch().calm(state) == calm


@pytest.mark.parametrize(("norm", "still"), [(0.99e-6, 3), (1.01e-6, 0)])
def test_a_gradient_a_millionth_of_the_largest_has_vanished(norm, still):
    high = WatchState(replace(SETTLED, level=1.9), still=2)
    assert Watch().accept(high, 1.9, norm, 0.0).still == still
    at_best = WatchState(replace(SETTLED, level=0.9), still=2)
    assert Watch().accept(at_best, 0.9, norm, 0.0).still == 0


@pytest.mark.parametrize(("variation", "high", "near"), [(0.9e-3, 2, 2), (1.1e-3, 2, 0), (0.099, 2, 0), (0.101, 0, 0)])
def test_what_counts_as_a_constant_output(variation, high, near):
    for level, count in ((1.9, high), (0.9, near)):
        state = WatchState(replace(SETTLED, level=level), constant=1)
        assert Watch().accept(state, level, 0.5, 0.0, variation).constant == count


def steady(state, updates=1):
    """After so many updates on which no ground is lost."""
    return drive(Watch(), [Seen(0.9)] * updates, state)[1]


def test_the_factor_grows_by_a_twentieth_pauses_and_is_forgotten():
    """Patience 20: a pause is 40 updates; at the full rate ten of them."""
    usual = replace(SETTLED, level=0.9)
    state = WatchState(usual, rescues=1, factor=0.25, ceiling=0.5, wait=40)
    assert steady(state).factor == pytest.approx(0.2625)
    assert steady(replace(state, factor=0.49)).factor == 0.5
    paused = replace(state, factor=0.5)
    assert (steady(paused).wait, steady(paused, 40).wait, steady(paused, 40).ceiling) == (39, 0, 0.5)
    risen = steady(paused, 41)
    assert (risen.ceiling, risen.wait, risen.factor) == (1.0, 400, 0.5)
    assert steady(replace(paused, ceiling=0.2, factor=0.2, wait=0)).wait == 40
    full = replace(state, factor=1.0, ceiling=1.0, wait=1)
    assert steady(full).rescues == 1
    assert steady(full, 2).rescues == 0


@pytest.mark.parametrize(("rescues", "wait"), [(0, 40), (1, 160), (2, 640), (10, 40 * 4**10), (13, 40 * 4**10)])
def test_each_rescue_pauses_four_times_as_long_up_to_the_eleventh(rescues, wait):
    state = WatchState(SETTLED, rescues=rescues)
    (decision,), after_it = drive(Watch(), [replace(NAN, sound=False)], state)
    assert after_it.wait == wait
    assert decision.action == ("back" if rescues < 10 else "stop")


@pytest.mark.parametrize(("rescues", "factor", "ceiling"), [(0, 0.25, 1.0), (1, 0.0625, 0.125), (2, 0.0625, 0.03125)])
def test_what_is_not_finite_accuses_the_rate_from_the_second_return_on(rescues, factor, ceiling):
    _, state = drive(Watch(), [replace(NAN, sound=False)], WatchState(SETTLED, rescues=rescues))
    assert (state.factor, state.ceiling) == (factor, ceiling)


def test_factor_and_ceiling_have_a_floor():
    state = WatchState(SETTLED, rescues=5, factor=1e-30, ceiling=1e-30)
    _, state = drive(Watch(), [replace(NAN, sound=False)], state)
    assert (state.factor, state.ceiling) == (1e-30, 1e-30)


@pytest.mark.parametrize(("factor", "action"), [(0.004, "back"), (0.0039, "go")])
def test_without_an_earlier_state_the_rate_is_accused_until_it_was_braked_four_times(factor, action):
    """0.25^4 = 0.0039."""
    state = WatchState(replace(SETTLED, level=1.9), lost=19, factor=factor, rescues=1, since=50)
    assert actions(drive(Watch(), [Seen(1.9)], state)[0]) == [action]


@pytest.mark.parametrize(("loss", "kept", "action"), [(1.9, 1.39, "back"), (1.9, 1.41, "go")])
def test_an_earlier_state_is_better_by_half_of_what_the_mean_or_this_loss_has_risen(loss, kept, action):
    """The least mean is 0.9 and a little, the mean 1.9: half of 1 below 1.9."""
    state = WatchState(replace(SETTLED, level=1.9), lost=19)
    decisions, settled = drive(Watch(), [Seen(loss, kept_loss=kept)], state)
    assert actions(decisions) == [action]
    if action == "go":
        assert (settled.lost, settled.usual.best) == (0, settled.usual.level)
        assert settled.usual.first == pytest.approx(2.0 + settled.usual.level - (0.9 + 1.0 / 500))


def test_an_update_whose_state_is_not_worth_keeping_is_made_at_the_full_rate_too():
    (decision,), _ = drive(Watch(), [Seen(1.9)], WatchState(replace(SETTLED, level=1.9)))
    assert (decision.accept, decision.keep, decision.step) == (True, False, 1.0)
    (decision,), _ = drive(Watch(), [Seen(0.9)], WatchState(replace(SETTLED, level=0.9)))
    assert (decision.accept, decision.keep, decision.step) == (True, True, 1.0)


@pytest.mark.parametrize("doubt", [{"lost": 2}, {"constant": 1}])
def test_any_doubt_keeps_a_state_from_being_kept(doubt):
    state = WatchState(replace(SETTLED, level=0.9), **doubt)
    assert not drive(Watch(), [Seen(0.9)], state)[0][0].keep


def test_who_gives_up_over_batches_left_out_says_the_factor_in_force():
    state = WatchState(SETTLED, left_out=100, factor=0.5)
    decision, _ = Watch().update(state, NAN)
    assert (decision.action, decision.accept, decision.step) == ("stop", False, 0.5)
