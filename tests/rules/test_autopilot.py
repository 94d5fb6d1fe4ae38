"""The pilot's own rule: rehearsals, rescues and cool-downs on made-up losses."""

import json
import math
from dataclasses import dataclass

import pytest

from surefoot.errors import InvalidInput
from surefoot.rules import Autopilot
from surefoot.rules.training.autopilot import BROKEN, RIVALS

NAN = math.nan


@dataclass
class Seen:
    iteration: int = 0
    losses: tuple[float, ...] = (1.0,)
    reach: float = 0.1
    remaining: float = 1.0
    until_cooldown: float = math.inf
    rescues: int = 0
    gradient_norm: float = 1.0
    factor: float = 1.0


def fly(landscape, steps, rule=None, *, reach=0.1, first=2.0, until=10**6, rescues=(), through_json=False):
    """Follow a rule where a copy's loss is landscape(rate, its updates); the decisions and the last state."""
    rule = Autopilot() if rule is None else rule
    state, copies, decisions, rescued = rule.init(), [(0.0, first)], [], 0
    for k in range(steps):
        rescued += k in rescues
        seen = Seen(k, tuple(loss for _, loss in copies), reach, 1.0 if k < until else 0.5, max(until - k, 0), rescued)
        if through_json:
            state = rule.load(json.loads(json.dumps(rule.dump(state))))
        decision, state = rule.update(state, seen)
        decisions.append(decision)
        plan = decision.copies or ((0, decision.step),)
        if decision.accept:
            copies = [(rate, landscape(rate, k)) for _, rate in plan]
    return decisions, state


def basin(best):
    """Least loss at a rate, by decades from it."""
    return lambda rate, _: 0.5 + 0.2 * abs(math.log10(rate / best))


def peaks(landscape, *, reach=0.1, until=400, **options):
    """The rate chosen in a run of 500 updates where a copy's loss goes by the peak of its rate."""
    rule = Autopilot()
    state, losses, rises = rule.init(), (2.0,), []
    for k in range(until):
        decision, state = rule.update(state, Seen(k, losses, reach, until_cooldown=until - k, **options))
        rises.append(decision.reason)
        if len(state.rates) == 1:
            return state.rates[0], rises
        losses = tuple(landscape(rate, k) for rate in state.rates)
    raise AssertionError


def test_a_rehearsal_is_a_whole_run_in_small():
    decisions, _ = fly(basin(0.1), 81, until=400)
    peak = [next(rate for i, rate in d.copies if i == 0) for d in decisions[:80]]
    assert len(decisions[0].copies) == len(RIVALS)
    assert "chose" in decisions[80].reason  # 16% of 500
    assert peak[0] < 0.01
    assert max(peak) == pytest.approx(peak[40])
    assert peak[79] < 0.1 * peak[40]
    assert peak[56:] == sorted(peak[56:], reverse=True)


@pytest.mark.parametrize("best", [0.02, 0.05, 0.1, 0.2, 1.0, 10.0, 100.0])
def test_it_finds_the_best_rate_between_and_above_those_it_begins_with(best):
    found, _ = peaks(lambda rate, _: 0.5 + 0.05 * math.log10(rate / best) ** 2)
    assert best / 1.5 < found < best * 1.5  # the grid has half decades


def test_a_first_batch_with_almost_no_loss_makes_no_copy_lost():
    decisions, state = fly(basin(0.1), 81, first=0.01, until=400)
    assert "chose" in decisions[80].reason
    assert state.failed == math.inf
    assert len(state.tried) == len(RIVALS)


def test_a_rate_below_the_best_is_slow_and_not_lost():
    # far above where it began, but so is nothing that is lower still
    _, state = fly(lambda rate, k: 5.0 if rate < 0.05 and k > 10 else basin(0.1)(rate, k), 60, until=400)
    assert state.failed == math.inf


def test_a_rate_next_to_one_that_was_lost_is_lowered():
    found, _ = peaks(lambda rate, _: NAN if rate > 0.2 else 1.8 - 10 * rate)
    assert found == pytest.approx(0.1 * 10**-0.125, rel=1e-3)


def test_it_climbs_no_further_than_what_failed():
    _, said = peaks(lambda rate, _: 50.0 if rate > 2 else 1.5 - 0.1 * rate)
    climbs = [reason for reason in said if "climbing" in reason]
    assert climbs == ["climbing to 1", "climbing to 3.16"]


@pytest.mark.parametrize(("total", "length"), [(100, 16), (300, 48), (500, 80), (8000, 160), (128_000, 320)])
def test_long_runs_rehearse_longer_but_for_a_smaller_part(total, length):
    _, said = peaks(basin(0.1), until=round(0.8 * total))
    assert len(said) - 1 == length


def test_long_runs_take_lower_rates():
    assert peaks(basin(0.1), until=6400)[0] == pytest.approx(peaks(basin(0.1))[0] / 2)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e5])
def test_units_of_loss_and_rate_change_nothing(unit):
    plain, _ = fly(basin(0.04), 300)
    scaled, _ = fly(lambda r, k: unit * basin(0.04)(r * unit, k), 300, reach=0.1 / unit, first=2.0 * unit)
    assert [d.step for d in scaled] == pytest.approx([d.step / unit for d in plain], rel=1e-9)


@pytest.mark.parametrize("loss", [0.0, -3.0, 2.0])
def test_a_loss_that_stays_the_same_is_ordinary(loss):
    decisions, state = fly(lambda *_: loss, 700, first=loss)
    assert len(state.rates) == 1
    assert all(math.isfinite(d.step) for d in decisions)


def test_copies_that_are_gone_end_a_trial():
    rule = Autopilot()
    _, state = rule.update(rule.init(), Seen())
    decision, state = rule.update(state, Seen(1, (1.0,)))
    assert state.rates == (0.1,)
    assert decision.step == 0.1


def test_without_a_gradient_nothing_is_decided_yet():
    rule = Autopilot()
    decision, state = rule.update(rule.init(), Seen(gradient_norm=0.0, losses=(0.0,)))
    assert decision.accept
    assert repr(state) == repr(rule.init())  # which holds NaN


def test_a_rescue_halves_the_rate_for_good():
    _, before = fly(basin(0.1), 700)
    decisions, after = fly(basin(0.1), 2000, rescues={700})
    assert after.rates[0] == pytest.approx(before.rates[0] / 2)
    assert "rescue" in decisions[700].reason
    assert all(d.step <= before.rates[0] / 2 for d in decisions[701:])


def test_the_cool_down_is_a_straight_line():
    rule = Autopilot()
    _, state = fly(basin(0.1), 300)
    rate, steps = state.rates[0], []
    for left in (0.75, 0.5, 0.25):
        decision, state = rule.update(state, Seen(10**6, (9.0,), remaining=left, until_cooldown=0))
        steps.append(decision.step)
        assert not decision.copies
    assert steps == pytest.approx([0.75 * rate, 0.5 * rate, 0.25 * rate])


def test_the_cool_down_ends_a_rehearsal():
    decisions, state = fly(basin(0.01), 12, until=8)
    assert len(state.rates) == 1
    assert decisions[11].step == state.rates[0] / 2


def test_copies_that_are_not_finite_lose():
    found, _ = peaks(lambda rate, _: NAN if rate > 0.05 else 1.9)
    assert found <= 0.1 * 10**-0.5


def test_a_batch_that_no_copy_survives_is_left_out():
    rule = Autopilot()
    _, state = rule.update(rule.init(), Seen())
    decision, after = rule.update(state, Seen(1, (NAN,) * 4))
    assert not decision.accept
    assert after.losses == state.losses
    for _ in range(40):
        decision, after = rule.update(after, Seen(1, (NAN,) * len(after.rates)))
        if len(after.rates) == 1:
            break
    assert after.rates == (0.1 * min(RIVALS),)  # the guard is to say why


@pytest.mark.parametrize(
    ("met", "losses", "taken"),
    [
        (10, (2.9,) * 4, True),  # the range is 0.1, from 1.8 to 1.9: ten times that above it is 2.9
        (10, (2.91,) * 4, False),
        (10, (2.91, NAN, math.inf, 2.91), False),
        (10, (2.91, 2.91, 2.9, 2.91), True),  # a copy took it: no fault of the batch
        (9, (1e9,) * 4, True),
    ],
)
def test_a_batch_far_beyond_what_every_copy_has_met_is_left_out_once(met, losses, taken):
    rule = Autopilot()
    _, state = rule.update(rule.init(), Seen())
    for k in range(met):
        decision, state = rule.update(state, Seen(1, (1.8 + 0.1 * (k % 2),) * 4))
    decision, after = rule.update(state, Seen(1, losses))
    assert decision.accept == taken
    if not taken:
        assert (decision.action, after.losses, after.clock) == ("skip", state.losses, state.clock)
        assert "every copy's loss jumped, the least to 2.91" in decision.reason
        second, _ = rule.update(after, Seen(1, losses))
        assert second.accept  # it recurs: so it is data
        _, calm = rule.update(after, Seen(1, (1.8,) * 4))
        assert not rule.update(calm, Seen(1, losses))[0].accept


def test_without_descent_there_is_no_start_and_an_error_in_the_end():
    rule = Autopilot()
    state = rule.init()
    for _ in range(BROKEN):
        decision, state = rule.update(state, Seen(reach=NAN))
        assert decision.action == "skip"
        assert state.rates == ()
    assert rule.update(state, Seen(reach=NAN))[0].action == "stop"


def test_states_survive_json():
    # by their texts: they hold NaN
    alone, through_json = (repr(fly(basin(0.03), 300, rescues={250}, through_json=way)) for way in (False, True))
    assert alone == through_json


@pytest.mark.parametrize("bad", [{"part": 0}, {"part": 1}, {"retreat": 0.5}])
def test_refuses(bad):
    with pytest.raises(InvalidInput):
        Autopilot(**bad)


def test_copies_that_cannot_be_told_apart_count_alike():
    def noise(rate, k):
        return 0.5 + 0.2 * math.sin(12.9898 * k + 78.233 * math.log10(rate))

    flat, _ = peaks(noise)
    steep, _ = peaks(lambda rate, k: noise(rate, k) / 20 + 0.4 * abs(math.log10(rate)))
    assert 0.03 < flat < 0.3 * 10
    assert steep == pytest.approx(1.0, rel=0.05)


def test_what_counts_is_the_loss_when_all_have_cooled_down():
    found, _ = peaks(lambda rate, k: 0.1 if rate > 0.2 and k >= 75 else 1.5 if rate > 0.2 else 0.5)
    assert found > 0.2


def test_a_run_shorter_than_the_rehearsal_rehearses_as_long_as_there_is_time():
    _, said = peaks(basin(0.1), until=8)
    assert "for 7 updates" in said[0]
    assert len(said) - 1 == 7


def test_the_rates_of_a_rehearsal_in_closed_form():
    """Of 80 updates 16 warm up, k + 1 parts of 17; from 56 on they fall in a straight line, a part of 25 each."""
    decisions, _ = fly(basin(0.1), 81, until=400)
    seen = [d.copies[0][1] / 0.1 for d in decisions[:80]]
    assert seen == pytest.approx([min((k + 1) / 17, 1.0, (80 - k) / 25) for k in range(80)])


def test_a_run_of_unknown_length_rehearses_as_one_of_a_thousand_updates():
    unknown, _ = fly(basin(0.1), 1, until=math.inf)
    known, _ = fly(basin(0.1), 1, until=800)
    assert unknown[0].reason == known[0].reason
    assert "for 95 updates" in known[0].reason  # 0.16 x 500 x 2^(1/4)


def test_it_climbs_eight_times_at_most():
    said = peaks(lambda rate, _: 1.0 - 1e-3 * math.log10(rate), until=6400)[1]
    assert sum("climbing" in reason for reason in said) == 8


@pytest.mark.parametrize(("loss", "lost"), [(2.99, False), (3.01, True)])
def test_a_copy_is_lost_half_the_first_loss_above_it(loss, lost):
    """From the fifth batch on, by the mean of its last three; the first loss is 2."""
    rule = Autopilot()
    _, state = rule.update(rule.init(), Seen(0, (2.0,), until_cooldown=400))
    for k in range(5):
        assert state.failed == math.inf
        losses = tuple(loss if rate > 0.2 and k >= 2 else 1.0 for rate in state.rates)
        _, state = rule.update(state, Seen(k + 1, losses, until_cooldown=399 - k))
    assert (state.failed == pytest.approx(0.1 * 10**0.5)) == lost


def test_what_failed_is_the_limit_that_it_tells():
    decisions, state = fly(lambda rate, _: NAN if rate > 0.2 else 1.0, 100, until=400)
    assert decisions[-1].limit == state.failed == pytest.approx(0.1 * 10**0.5)
    assert not decisions[-1].look_back
    free, _ = fly(lambda *_: 1.0, 100, until=400)
    assert math.isnan(free[-1].limit)


def test_each_rescue_divides_the_rate_and_lowers_what_has_failed():
    _, state = fly(basin(0.1), 300)
    rule = Autopilot(retreat=3.0)
    decision, after = rule.update(state, Seen(300, rescues=2))
    assert decision.step == pytest.approx(state.rates[0] / 9)
    assert after.failed == state.rates[0]
    _, later = rule.update(after, Seen(301, rescues=3))
    assert later.failed == after.rates[0]
    assert rule.update(later, Seen(302, rescues=3))[0].step == pytest.approx(state.rates[0] / 27)


@pytest.mark.parametrize(("remaining", "part"), [(1.5, 1.0), (0.0, 0.0), (-1.0, 0.0), (NAN, 0.0)])
def test_what_remains_is_a_part(remaining, part):
    _, state = fly(basin(0.1), 300)
    assert Autopilot().update(state, Seen(300, remaining=remaining))[0].step == part * state.rates[0]


def test_a_batch_without_descent_interrupts_no_later_count():
    rule = Autopilot()
    state = rule.init()
    for _ in range(BROKEN):
        _, state = rule.update(state, Seen(reach=math.inf))
    assert state.broken == BROKEN
    _, state = rule.update(state, Seen())
    assert state.broken == 0


def test_it_reads_what_it_says():
    assert Autopilot(length=20).rehearsal(1e6) == 20
    assert [Autopilot().rehearsal(total) for total in (50, 100, 500, 8000)] == [16, 16, 80, 160]


def test_rates_are_climbed_to_below_what_has_failed_in_any_unit():
    _, said = peaks(lambda rate, _: 50.0 if rate > 0.02 else 1.5 - rate, reach=0.001)
    assert [reason for reason in said if "climbing" in reason] == ["climbing to 0.01", "climbing to 0.0316"]
