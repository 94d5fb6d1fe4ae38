"""The decision apart from any model: laws, thresholds from both sides, and what a rescue leads to."""

import itertools
import json
import math
from dataclasses import dataclass, replace

import pytest
from rules.watched import NAN, Seen, actions, calm, drive, noise

from surefoot.errors import InvalidInput
from surefoot.rules import Watch
from surefoot.rules.training.watch import CONFIRMED, DOUBTS


def test_a_calm_run_is_never_touched():
    decisions, _ = drive(Watch(), calm(20_000))
    assert all(decision.accept and decision.step == 1 and not decision.kind for decision in decisions)
    assert sum(decision.keep for decision in decisions) > 19_000


@pytest.mark.parametrize("c", [1e-12, 1e12])
def test_units_of_loss_and_gradient_change_nothing(c):
    rise = [Seen(1.0 + 0.05 * k, kept_loss=1.0) for k in range(100)]
    far = [Seen(300.0, 1e3, kept_loss=1.0)] * 2
    run = [*calm(300), *far, *calm(50), *rise, *calm(100)]
    scaled = [
        replace(seen, loss=c * seen.loss, kept_loss=c * seen.kept_loss, gradient_norm=seen.gradient_norm / c,
                kept_gradient_norm=seen.kept_gradient_norm / c)
        for seen in run
    ]  # fmt: skip
    one, other = drive(Watch(), run)[0], drive(Watch(), scaled)[0]
    assert [(v.action, v.step, v.keep) for v in one] == [(v.action, v.step, v.keep) for v in other]
    assert actions(one).count("back") >= 2


def test_a_constant_added_to_the_loss_changes_nothing_later():
    for offset in (0.0, 5.0, -5.0):
        run = calm(500, offset=offset)
        _, state = drive(Watch(), run)
        top = state.usual.top - offset
        for loss, action in ((0.99 * (top + 10 * (top - 1)), "go"), (1.05 * (top + 10 * (top - 0.9)), "skip")):
            assert actions(drive(Watch(), [Seen(loss + offset)], state)[0]) == [action]


@pytest.mark.parametrize(("factor", "action"), [(0.99, "go"), (1.01, "skip")])
def test_what_is_far_beyond_all_that_was_seen_is_left_out(factor, action):
    watch = Watch()
    _, state = drive(watch, calm(500, buffer_change=0.2))
    usual = state.usual
    loss = usual.top + factor * watch.far * (usual.top - usual.best)
    assert actions(drive(watch, [Seen(loss)], state)[0]) == [action]
    assert actions(drive(watch, [Seen(1.0, factor * watch.far * usual.peak)], state)[0]) == [action]
    assert actions(drive(watch, [Seen(1.0, buffer_change=factor * watch.far * 0.2)], state)[0]) == [action]


def test_a_loss_within_the_range_that_the_run_began_in_is_taken_each_time():
    """A rare sample: 3 to 6 where the others have a thousandth, and the run began at 2.4."""
    losses = [2.4, 2.0, 1.5, 1.0, 0.6, 0.3, 0.1, 0.05, 0.01, *([0.001] * 200)]
    run = [Seen(loss * (1 + 0.2 * noise(k))) for k, loss in enumerate(losses)]
    rare = [seen for _ in range(10) for seen in (Seen(5.0, 3.0), *run[-60:])]
    assert set(actions(drive(Watch(), [*run, *rare])[0])) == {"go"}


def test_what_recurs_is_data_and_what_is_rare_stays_out():
    bad = Seen(300.0, 1e3, kept_loss=300.0, kept_gradient_norm=1e3)
    for every, refused in ((100, 20), (10, 4)):
        _, state = drive(Watch(), calm(300))
        run = [bad if k % every == 0 else seen for k, seen in enumerate(calm(300 + 20 * every)[300:])]
        decisions, _ = drive(Watch(), run, state)
        seen = actions(decisions)
        assert "back" not in seen
        assert seen.count("skip") == 20 if every == 100 else seen.count("skip") <= refused


@pytest.mark.parametrize("bad", [NAN, Seen(math.inf), Seen(1.0, math.nan), Seen(1.0, math.inf)])
def test_what_is_not_finite_costs_its_batch_if_an_earlier_state_has_it_too(bad):
    watch = Watch()
    _, state = drive(watch, calm(50))
    decisions, after = drive(watch, [replace(bad, kept_loss=math.inf)] * watch.leave_out, state)
    assert set(actions(decisions)) == {"skip"}
    assert after.factor == 1
    assert drive(watch, calm(10), after)[0][0].accept
    assert actions(drive(watch, [bad], after)[0]) == ["stop"]
    assert actions(drive(watch, [replace(bad, sound=False)], state)[0]) == ["back"]


def test_what_is_not_finite_here_and_would_be_at_an_earlier_state_is_the_states_fault():
    _, state = drive(Watch(), calm(50))
    decisions, after = drive(Watch(), [replace(NAN, kept_loss=1.0)] * DOUBTS, state)
    assert actions(decisions) == ["skip"] * (DOUBTS - 1) + ["back"]
    assert after.factor == Watch().shrink
    # at the state returned to it is the data's: no further return, no further brake
    decisions, after = drive(Watch(), [replace(NAN, kept_loss=1.0)] * 50, after)
    assert set(actions(decisions)) == {"skip"}
    assert after.factor == Watch().shrink


def test_what_is_finite_and_as_far_out_at_an_earlier_state_is_taken_the_second_time():
    _, state = drive(Watch(), calm(300, buffer_change=0.1))
    for far in (Seen(300.0, 1e3, kept_loss=300.0, kept_gradient_norm=1e3), Seen(1.0, buffer_change=5.0, kept_loss=1.0)):
        decisions, after = drive(Watch(), [far] * 30, state)
        assert actions(decisions) == ["skip"] + ["go"] * 29
        assert decisions[1].kind == "new data"
        assert after.factor == 1


def test_soundness_and_earlier_states_are_asked_for_only_when_it_matters():
    @dataclass(frozen=True)
    class Quiet:
        loss: float
        gradient_norm: float
        output_variation: float = math.nan
        buffer_change: float = 0.0

    drive(Watch(), [Quiet(s.loss, s.gradient_norm) for s in calm(100)])


@pytest.mark.parametrize(
    ("kept", "outside", "action"),
    [(1.0, False, "back"), (1.0, True, "go"), (10.0, False, "go"), (math.nan, False, "back"), (math.inf, False, "go")],
)
def test_ground_lost_is_the_states_fault_if_an_earlier_one_does_better_on_the_same_batch(kept, outside, action):
    watch = Watch()
    slow = [Seen(1.0 + 0.05 * k + 0.05 * noise(k), kept_loss=kept, outside=outside) for k in range(60)]
    decisions, _ = drive(watch, [*calm(300), *slow])
    told = [(i, d) for i, d in enumerate(decisions) if d.kind]
    first, decision = told[0]
    assert 300 + watch.patience < first < 360
    assert (decision.action or "go") == action
    assert decision.kind == ("lost ground" if action == "back" else "new data")
    assert not any(d.keep for d in decisions[first - 10 : first])


def test_one_outlier_is_no_ground_lost():
    run = [Seen(0.001 * (1 + 0.5 * noise(k))) for k in range(400)]
    run[0] = Seen(1.0)
    for k in range(50, 400, 40):
        run[k] = Seen(0.9)
    assert set(actions(drive(Watch(), run)[0])) == {"go"}


def test_what_others_took_in_a_trial_is_no_ground_lost():
    watch = Watch()
    past = [(loss, 1.0) for loss in (0.001, 0.002, 5.0, 0.001, 0.002, 0.001, 0.001, 0.001)]
    state = watch.follow(watch.init(), past)
    assert (state.usual.count, state.usual.top, state.lost) == (8, 5.0, 0)
    assert drive(watch, [Seen(0.001)], state)[0][0].accept
    before = drive(watch, calm(100))[1]
    after = watch.follow(before, [(1.0, 1.0), (math.nan, 1.0)])
    assert after == replace(before, usual=after.usual)
    assert after.usual.count == before.usual.count + 1
    assert after.usual.first == before.usual.first


@pytest.mark.parametrize(
    "losses",
    [
        [0.0] * 200,
        [2.5] * 200,
        [-1.0 - 0.01 * k for k in range(200)],
        [2.0 - 0.02 * k for k in range(200)],
        [0.0] * 50 + [0.3 * abs(noise(k)) for k in range(150)],
        [round((2.0 + math.exp(-0.02 * k)) * 64) / 64 for k in range(200)],
        [math.exp(3 * noise(k)) for k in range(400)],
    ],
    ids=["zero", "constant", "negative", "crossing zero", "zero, then not", "low precision", "heavy tails"],
)
def test_ordinary_losses_of_every_kind_are_taken(losses):
    decisions, _ = drive(Watch(), [Seen(loss, abs(loss)) for loss in losses])
    assert set(actions(decisions)) == {"go"}
    assert all(math.isfinite(decision.step) for decision in decisions)


def test_a_gradient_that_vanishes_is_wrong_only_above_the_best_loss():
    watch = Watch()
    dead = [Seen(1.9 + 0.01 * noise(k), 1e-12) for k in range(60)]
    assert any(d.kind == "vanished" for d in drive(watch, [*calm(300), *dead])[0])
    solved = [Seen(math.exp(-0.2 * k), math.exp(-0.2 * k)) for k in range(300)]
    assert set(actions(drive(watch, solved)[0])) == {"go"}


def test_a_constant_output_is_believed_after_three_times():
    _, state = drive(Watch(), calm(100))
    decisions, after = drive(Watch(), [Seen(1.0, output_variation=0.9e-3)] * CONFIRMED, state)
    assert actions(decisions) == ["go"] * (CONFIRMED - 1) + ["back"]
    assert decisions[-1].kind == "collapse"
    assert after.constant == 0
    assert set(actions(drive(Watch(), [Seen(1.0, output_variation=1.1e-3)] * 3, state)[0])) == {"go"}


@pytest.mark.parametrize(
    ("calm_for", "kept", "action"),
    [(300, 1.2, "go"), (300, 0.9, "back"), (300, 1.0, "back"), (300, math.nan, "back"), (100, 1.2, "back")],
)
def test_a_constant_output_is_wanted_where_an_earlier_state_is_clearly_worse(calm_for, kept, action):
    """A penalty that grows, say; not a wild start, which is worse than a constant too."""
    _, state = drive(Watch(), calm(calm_for))
    decisions, after = drive(Watch(), [Seen(1.0, output_variation=0.9e-3, kept_loss=kept)] * CONFIRMED, state)
    assert actions(decisions)[-1] == action
    assert decisions[-1].kind == ("collapse" if action == "back" else "new data")
    assert after.constant == 0


def test_updates_at_which_the_output_was_not_measured_do_not_interrupt_the_count():
    _, state = drive(Watch(), calm(100))
    run = [Seen(1.0, output_variation=0.0), Seen(1.0)] * CONFIRMED
    assert actions(drive(Watch(), run[:-1], state)[0]) == ["go"] * (2 * CONFIRMED - 2) + ["back"]
    run[2] = Seen(1.0, output_variation=1.0)
    assert set(actions(drive(Watch(), run[:-1], state)[0])) == {"go"}


def test_an_output_that_varies_little_is_a_collapse_only_where_the_loss_has_left_its_best():
    _, state = drive(Watch(), calm(300))
    at_best = [replace(s, output_variation=0.05) for s in calm(360)[300:]]
    decisions, _ = drive(Watch(), at_best, state)
    assert set(actions(decisions)) == {"go"}
    assert not any(d.keep for d in decisions)  # nothing to keep all the same
    risen = [Seen(1.45 + 0.05 * noise(k), output_variation=0.05) for k in range(60)]
    kinds = [d.kind for d in drive(Watch(), risen, state)[0] if d.action == "back"]
    assert kinds[:1] == ["collapse"]


@pytest.mark.parametrize(("part", "braked"), [(0.9, False), (1.1, True)])
def test_a_rate_far_below_the_measured_limit_is_not_braked(part, braked):
    watch = Watch()
    _, state = drive(watch, calm(300))
    fault = Seen(500.0, 1e3, kept_loss=1.0, kept_limit=0.1 / (part * 0.01), step=0.1)
    decisions, after = drive(watch, [fault] * DOUBTS, state)
    assert decisions[-1].action == "back"
    assert (after.factor < 1) == (after.ceiling < 1) == braked
    assert ("not the cause" in decisions[-1].reason) != braked


def test_one_innocent_return_is_forgotten_within_fifty_updates():
    watch = Watch()
    _, state = drive(watch, calm(300))
    _, state = drive(watch, [replace(NAN, sound=False)], state)
    decisions, state = drive(watch, calm(400)[300:350], state)
    assert decisions[0].step < 0.3
    assert decisions[-1].step == 1
    assert all(a.step <= b.step for a, b in itertools.pairwise(decisions))


def test_a_brake_recovers_with_time_where_the_loss_never_comes_near_its_best_again():
    watch = Watch()
    _, state = drive(watch, calm(300))
    _, state = drive(watch, [Seen(500.0, 1e3, kept_loss=1.0)] * DOUBTS, state)
    assert state.factor == watch.shrink
    plateau = [Seen(1.3 + 0.05 * noise(k), kept_loss=1.3) for k in range(800)]
    assert drive(watch, plateau, state)[1].factor == 1


def test_each_rescue_in_a_row_brakes_harder_and_waits_longer():
    watch = Watch()
    _, good = drive(watch, calm(300))
    state, waits, factors = good, [], []
    for _ in range(3):
        decisions, state = drive(watch, [Seen(500.0, 1e3, kept_loss=1.0)] * DOUBTS, state)
        assert decisions[-1].action == "back"
        state = watch.after_return(state, good)
        factors.append(decisions[-1].step)
        tail = calm(3000)[2000:]
        _, state = drive(watch, tail[:5], state)
        before, steps = state, 0
        while before.factor < 1 and steps < 5000:
            _, before = drive(watch, tail[:1], before)
            steps += 1
        waits.append(steps)
    assert factors[0] > 4 * factors[1] > 16 * factors[2]
    assert waits[0] < waits[1] / 2 < waits[2] / 4


def test_it_gives_up_after_so_many_rescues():
    watch = Watch(rescues=3)
    _, state = drive(watch, calm(50))
    decisions, _ = drive(watch, [replace(NAN, sound=False)] * 4, state)
    assert actions(decisions) == ["back", "back", "back", "stop"]


def test_the_state_survives_json():
    watch = Watch()
    _, state = drive(watch, [*calm(40), NAN, *calm(3)])
    assert watch.load(json.loads(json.dumps(watch.dump(state)))) == state
    assert watch.load(json.loads(json.dumps(watch.dump(watch.init())))).usual.count == 0


@pytest.mark.parametrize(
    "bad", [{"far": 0.5}, {"grow": 0.9}, {"shrink": 0.0}, {"rescues": 0}, {"leave_out": 0}, {"far": math.nan}]
)
def test_refusals(bad):
    with pytest.raises(InvalidInput, match=next(iter(bad))):
        Watch(**bad)


def test_a_run_that_climbs_from_its_first_updates_on_is_not_taken_for_a_noisy_one():
    """Losses of a convex problem at 100 times its best rate: up two hundredfold, then slowly down again."""
    climb = [7.9, 351, 592, 920, 1159, 1474, 1523, 1251, 704, 688, 768, 473, 487, 409, 425, 253]
    run = [Seen(loss, kept_loss=8.0) for loss in [*climb, *[250.0 * 0.97**k for k in range(30)]]]
    decisions, _ = drive(Watch(), run)
    assert actions(decisions)[: Watch().patience] == ["go"] * 20
    assert actions(decisions)[20] == "back"
    # what an earlier state would not do better is data
    data, _ = drive(Watch(), [replace(seen, kept_loss=seen.loss) for seen in run])
    assert "back" not in actions(data)
    assert data[20].kind == "new data"


def test_noise_as_large_as_the_first_loss_is_noise():
    """From both sides of what a climb is: losses that jump about without rising are never returned."""
    run = [Seen(1.0 + 0.9 * noise(k) + 0.9 * noise(3 * k, 1), kept_loss=0.0) for k in range(400)]
    assert set(actions(drive(Watch(), run)[0])) == {"go"}


def test_a_loss_of_minus_infinity_is_left_out():
    assert drive(Watch(), [Seen(-math.inf)])[0][0].action == "skip"


def test_accept_is_what_update_comes_to():
    watch = Watch()
    run = calm(200, wobble=0.4, output_variation=math.nan)
    state = watch.init()
    for seen in run:
        before = state
        (decision,), state = drive(watch, [seen], before)
        assert decision.accept
        assert state == watch.accept(before, seen.loss, seen.gradient_norm, seen.buffer_change)
