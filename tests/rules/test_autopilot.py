"""The pilot's own rule: openings, trials, rescues and cool-downs on made-up losses."""

import json
import math
from dataclasses import dataclass

import pytest

from surefoot.errors import InvalidInput
from surefoot.rules import Autopilot
from surefoot.rules.training._autopilot import BROKEN, RIVALS

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


@pytest.mark.parametrize("part", sorted(RIVALS))
def test_the_opening_finds_the_best_of_its_rates(part):
    decisions, state = fly(basin(0.1 * part), 25)
    assert [rate for _, rate in decisions[0].copies] == [0.1 * p for p in RIVALS]
    assert state.rates == (0.1 * part,)
    assert "chose" in decisions[20].reason
    assert len(decisions[5].copies) == 3
    assert len(decisions[10].copies) == 2


def test_scores_that_are_equal_go_to_the_higher_rate():
    _, state = fly(lambda rate, _: 0.5 if rate < 0.2 else 0.51, 25)
    assert state.rates[0] == pytest.approx(0.1 * 10**0.5)  # 0.01 worse, of a progress of 1.5
    _, state = fly(lambda rate, _: 0.5 if rate < 0.2 else 0.52, 25)
    assert state.rates[0] == 0.1


def test_ties_are_small_where_little_is_left_to_lose():
    _, state = fly(lambda rate, _: 0.005 if rate < 0.2 else 0.006, 25)  # a fifth of the loss, 0.05% of the progress
    assert state.rates[0] == 0.1


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e5])
def test_units_of_loss_and_rate_change_nothing(unit):
    plain, _ = fly(basin(0.04), 300)
    scaled, _ = fly(lambda r, k: unit * basin(0.04)(r * unit, k), 300, reach=0.1 / unit, first=2.0 * unit)
    assert [d.step for d in scaled] == pytest.approx([d.step / unit for d in plain], rel=1e-9)


def wobble(k):
    """Noise that all copies share, and a little that they do not."""
    return 0.05 * math.sin(12.9898 * k)


def between(better):
    """A plateau on which `better(rate)` is gained from update 60 on, on noisy batches."""
    return lambda rate, k: 0.5 + wobble(k) - (better(rate) * (1 + 0.1 * math.cos(7.1 * k)) if k >= 60 else 0.0)


def test_rates_that_cannot_be_told_apart_stay():
    decisions, state = fly(lambda _, k: 0.5 + wobble(k), 1200)
    trials = [k for k, d in enumerate(decisions) if "trying" in d.reason and k > 50]
    assert len(trials) == 3
    opened = next(d.step for d in decisions if "chose" in d.reason)
    assert state.rates[0] == opened


def test_a_higher_rate_is_taken_when_its_paired_losses_are_clearly_lower():
    for gain, factor in ((0.01, 10**0.5), (-0.01, 1.0)):
        held = fly(between(lambda _: 0.0), 55)[1].rates[0]
        _, state = fly(between(lambda rate, g=gain, h=held: g if rate > 1.1 * h else 0.0), 100)
        assert state.rates[0] == pytest.approx(held * factor)


def test_going_down_takes_a_part_of_the_progress_too():
    held = fly(between(lambda _: 0.0), 55)[1].rates[0]
    for part, factor in ((0.9, 1.0), (1.2, 0.5)):  # of 5% of the progress, 1.5
        gain = part * 0.05 * 1.5 / 0.9
        _, state = fly(between(lambda rate, g=gain: g if rate < 0.9 * held else 0.0), 100)
        assert state.rates[0] == pytest.approx(held * factor), part


def test_differences_that_change_sign_are_noise():
    held = fly(between(lambda _: 0.0), 55)[1].rates[0]
    _, state = fly(lambda rate, k: 0.5 + wobble(k) + (k >= 60) * 0.3 * (-1) ** k * (rate < 0.9 * held), 100)
    assert state.rates[0] == held


@pytest.mark.parametrize("loss", [0.0, -3.0, 2.0])
def test_a_loss_that_stays_the_same_is_ordinary(loss):
    decisions, state = fly(lambda *_: loss, 400, first=loss)
    assert len(state.rates) == 1
    assert all(math.isfinite(d.step) for d in decisions)
    if loss == 0:
        assert not any("trying" in d.reason for d in decisions[60:])


def test_no_trial_while_something_else_holds_the_rate_down():
    rule = Autopilot()
    _, state = fly(basin(0.1), 55)
    for k in range(60, 100):
        decision, state = rule.update(state, Seen(k, (0.5,), factor=0.5))
        assert not decision.copies
    assert rule.update(state, Seen(100, (0.5,)))[0].copies


@pytest.mark.parametrize("decades", [2, 4])
def test_a_reach_that_is_far_too_low_is_stretched(decades):
    best = 0.1 * 10**decades

    def landscape(rate, _):
        return 2.0 - 1.5 * min(rate / best, 1.0) + 0.2 * max(math.log10(rate / best), 0.0)

    decisions, state = fly(landscape, 120)
    assert any("told apart" in d.reason for d in decisions)
    assert best / 4 <= state.rates[0] <= best * 4


def test_losses_of_low_precision_are_stretched_until_they_differ():
    def landscape(rate, _):
        return float(f"{2.0 - 1.5 * min(rate / 10, 1.0) + max(math.log10(rate / 10), 0.0):.2g}")

    _, state = fly(landscape, 120)
    assert 2 <= state.rates[0] <= 40


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
    assert state == rule.init()


def test_a_rising_loss_calls_for_a_trial_at_once():
    decisions, _ = fly(lambda _, k: 0.5 if k < 100 else 0.8, 160)
    assert [k for k, d in enumerate(decisions) if "the loss rose" in d.reason] == [105]  # 0.3 (1 - 0.9^6) > 0.07 * 1.5


def test_a_rescue_halves_the_rate_for_good():
    _, before = fly(lambda *_: 0.5, 100)
    decisions, after = fly(lambda *_: 0.5, 2000, rescues={100})
    assert after.rates[0] == pytest.approx(before.rates[0] / 2)
    assert "rescue" in decisions[100].reason
    assert all(d.step <= before.rates[0] / 2 for d in decisions[101:])


def test_the_cool_down_is_not_disturbed():
    rule = Autopilot()
    _, state = fly(basin(0.1), 30)
    steps = []
    for left in (0.75, 0.5, 0.25):
        decision, state = rule.update(state, Seen(10**6, (9.0,), remaining=left, until_cooldown=0))
        steps.append(decision.step)
        assert not decision.copies
    assert steps == pytest.approx([0.075, 0.05, 0.025])


def test_the_cool_down_ends_an_opening():
    decisions, state = fly(basin(0.01), 12, until=8)
    assert len(state.rates) == 1
    assert decisions[11].step == state.rates[0] / 2


def test_copies_that_are_not_finite_lose():
    _, state = fly(lambda rate, _: NAN if rate > 0.05 else 1.9, 25)
    assert state.rates[0] == pytest.approx(0.1 * 10**-0.5)


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


def test_without_descent_there_is_no_start_and_an_error_in_the_end():
    rule = Autopilot()
    state = rule.init()
    for _ in range(BROKEN):
        decision, state = rule.update(state, Seen(reach=NAN))
        assert decision.action == "skip"
        assert state.rates == ()
    assert rule.update(state, Seen(reach=NAN))[0].action == "stop"


def test_states_survive_json():
    assert fly(basin(0.03), 300, rescues={150}) == fly(basin(0.03), 300, rescues={150}, through_json=True)


@pytest.mark.parametrize(
    "bad", [{"spacing": 1}, {"retreat": 0.5}, {"growth": 1}, {"length": 3}, {"down": 0}, {"slip": -1}]
)
def test_refuses(bad):
    with pytest.raises(InvalidInput):
        Autopilot(**bad)
