"""The decision apart from any model: laws, thresholds from both sides, and what a rescue leads to."""

import itertools
import json
import math
from dataclasses import dataclass, replace

import pytest

from surefoot.errors import InvalidInput
from surefoot.rules import Watch


@dataclass(frozen=True)
class Seen:
    loss: float
    gradient_norm: float = 1.0
    sound: bool = True
    hearing: float = math.nan


def noise(k, seed=0):
    """Deterministic, in [-1, 1]."""
    return math.sin(12.9898 * k + 78.233 * seed) * math.cos(4.1 * k)


def calm(steps, level=1.0, rate=0.02, wobble=0.05, scale=1.0, offset=0.0, gradient=1.0):
    return [
        Seen(scale * (level + math.exp(-rate * k) + wobble * noise(k)) + offset, gradient * (1 + 0.3 * noise(k, 1)))
        for k in range(steps)
    ]


def drive(watch, observations, state=None):
    state = watch.init() if state is None else state
    verdicts = []
    for seen in observations:
        verdict, state = watch.update(state, seen)
        verdicts.append(verdict)
    return verdicts, state


def test_a_calm_run_is_never_touched():
    verdicts, _ = drive(Watch(), calm(20_000))
    assert all(verdict.action == "go" and verdict.step == 1 for verdict in verdicts)
    assert sum(verdict.good for verdict in verdicts) > 19_000


@pytest.mark.parametrize("rise", [1.5, 10.0])
@pytest.mark.parametrize("c", [1e-12, 1e12])
def test_units_of_loss_and_gradient_change_nothing(c, rise):
    run = [*calm(300), Seen(rise, 20 * rise), *calm(50), Seen(3.0, 1e3), Seen(3.0, 1e3), *calm(300)]
    scaled = [replace(seen, loss=c * seen.loss, gradient_norm=seen.gradient_norm / c) for seen in run]
    one, other = drive(Watch(), run)[0], drive(Watch(), scaled)[0]
    assert [(v.action, v.step, v.good) for v in one] == [(v.action, v.step, v.good) for v in other]
    assert any(v.action == "back" for v in one)


def test_a_constant_added_to_the_loss_changes_nothing_later():
    events = [Seen(3.0, 50.0), Seen(3.0, 50.0)]
    for offset in (0.0, 5.0, -5.0):
        run = [replace(seen, loss=seen.loss + offset) for seen in [*calm(500), *events, *calm(702)[502:]]]
        assert [v.action for v in drive(Watch(), run)[0]] == ["go"] * 500 + ["skip", "back"] + ["go"] * 200


@pytest.mark.parametrize(("factor", "action"), [(0.99, "go"), (1.01, "skip")])
def test_the_jump_s_thresholds(factor, action):
    watch = Watch()
    _, state = drive(watch, calm(500))
    spread = max(state.spread, 0.05 * (state.first - state.best))
    together = Seen(state.level + factor * watch.band * spread, factor * watch.ratio * state.peak)
    assert watch.update(state, together)[0].action == action
    alone = Seen(state.level + factor * watch.far * watch.band * spread)
    assert watch.update(state, alone)[0].action == action
    steep = Seen(state.level, factor * watch.far * watch.ratio * state.peak)
    assert watch.update(state, steep)[0].action == action


@pytest.mark.parametrize("bad", [Seen(math.nan), Seen(math.inf), Seen(1.0, math.nan), Seen(1.0, math.inf)])
def test_what_is_not_finite_costs_a_batch_first_and_a_return_next(bad):
    watch = Watch()
    _, state = drive(watch, calm(50))
    verdicts, after = drive(watch, [bad, bad], state)
    assert [verdict.action for verdict in verdicts] == ["skip", "back"]
    assert after.brake.factor == watch.shrink
    (verdict,), _ = drive(watch, [replace(bad, sound=False)], state)
    assert verdict.action == "back"


def test_soundness_is_asked_for_only_when_it_matters():
    @dataclass(frozen=True)
    class Quiet:
        loss: float
        gradient_norm: float
        hearing: float = math.nan

    drive(Watch(), [Quiet(s.loss, s.gradient_norm) for s in calm(100)])


def test_a_mean_that_rises_has_lost_ground():
    watch = Watch()
    slow = [Seen(1.0 + 0.05 * k + 0.05 * noise(k)) for k in range(200)]
    verdicts, _ = drive(watch, [*calm(300), *slow])
    first = next(i for i, verdict in enumerate(verdicts) if verdict.action == "back")
    assert verdicts[first].kind == "lost ground"
    assert 300 < first < 350
    assert not any(verdict.good for verdict in verdicts[first - 10 : first])


def test_a_gradient_that_vanishes_is_wrong_only_above_the_best_loss():
    watch = Watch()
    dead = [Seen(1.5 + 0.01 * noise(k), 1e-12) for k in range(60)]
    assert any(v.kind == "vanished" for v in drive(watch, [*calm(300), *dead])[0])
    solved = [Seen(math.exp(-0.2 * k), math.exp(-0.2 * k)) for k in range(300)]
    assert all(v.action == "go" for v in drive(watch, solved)[0])


def test_a_constant_answer_is_believed_after_three_times():
    _, state = drive(Watch(), calm(100))
    verdicts, after = drive(Watch(), [Seen(1.0, hearing=0.9e-3)] * 3, state)
    assert [v.action for v in verdicts] == ["go", "go", "back"]
    assert verdicts[-1].kind == "collapse"
    assert after.deaf == 0
    assert all(v.action == "go" for v in drive(Watch(), [Seen(1.0, hearing=1.1e-3)] * 3, state)[0])


def test_steps_at_which_nobody_listened_do_not_interrupt_the_count():
    _, state = drive(Watch(), calm(100))
    heard = [Seen(1.0, hearing=0.0), Seen(1.0), Seen(1.0, hearing=0.0), Seen(1.0), Seen(1.0, hearing=0.0)]
    assert [v.action for v in drive(Watch(), heard, state)[0]] == ["go"] * 4 + ["back"]
    heard[2] = Seen(1.0, hearing=1.0)
    assert [v.action for v in drive(Watch(), heard, state)[0]] == ["go"] * 5


def test_a_dull_answer_is_a_collapse_only_where_the_loss_has_left_its_best():
    _, state = drive(Watch(), calm(300))
    at_best = [Seen(s.loss, s.gradient_norm, hearing=0.05) for s in calm(360)[300:]]
    verdicts, _ = drive(Watch(), at_best, state)
    assert all(v.action == "go" for v in verdicts)
    assert not any(v.good for v in verdicts)  # nothing to keep all the same
    risen = [Seen(1.45 + 0.05 * noise(k), hearing=0.05) for k in range(60)]
    kinds = [v.kind for v in drive(Watch(), risen, state)[0] if v.action == "back"]
    assert kinds[:1] == ["collapse"]
    assert all(v.action == "go" for v in drive(Watch(), [replace(s, hearing=0.2) for s in risen], state)[0][:30])


def test_one_innocent_return_is_forgotten_within_fifty_steps():
    watch = Watch()
    _, state = drive(watch, calm(300))
    _, state = drive(watch, [Seen(math.nan, sound=False)], state)
    verdicts, state = drive(watch, calm(400)[300:350], state)
    assert verdicts[0].step < 0.3
    assert verdicts[-1].step == 1
    assert all(a.step <= b.step for a, b in itertools.pairwise(verdicts))


def test_each_rescue_in_a_row_brakes_harder_and_waits_longer():
    watch = Watch()
    jump = [Seen(50.0, 500.0)] * 2
    _, state = drive(watch, calm(300))
    waits, factors = [], []
    for _ in range(3):
        verdicts, state = drive(watch, [*jump], state)
        assert verdicts[-1].action == "back"
        factors.append(verdicts[-1].step)
        steps = 0
        tail = calm(3000)[2000:]
        before = state
        _, state = drive(watch, tail[:5], state)
        while before.brake.factor < 1 and steps < 5000:
            _, before = drive(watch, tail[:1], before)
            steps += 1
        waits.append(steps)
    assert factors[0] > 4 * factors[1] > 16 * factors[2]
    assert waits[0] < waits[1] / 2 < waits[2] / 4


def test_it_gives_up_after_so_many_rescues():
    watch = Watch(rescues=3)
    _, state = drive(watch, calm(50))
    verdicts, _ = drive(watch, [Seen(math.nan, sound=False)] * 4, state)
    assert [verdict.action for verdict in verdicts] == ["back", "back", "back", "stop"]


def test_what_jumps_at_a_good_state_too_is_new_data():
    watch = Watch()
    _, state = drive(watch, calm(300))
    harder = [Seen(30.0 + noise(k), 40.0) for k in range(300)]
    verdicts, state = drive(watch, harder, state)
    assert [v.action for v in verdicts[:2]] == ["skip", "back"]
    assert sum(v.action == "back" for v in verdicts) == 1
    assert [v.kind for v in verdicts if v.adopted] == ["new data"]
    assert all(v.action == "go" for v in verdicts[10:])


def test_the_state_survives_json():
    watch = Watch()
    _, state = drive(watch, [*calm(40), Seen(math.nan), *calm(3)])
    again = watch.load(json.loads(json.dumps(watch.dump(state))))
    assert again == state
    assert watch.load(json.loads(json.dumps(watch.dump(watch.init())))).count == 0


@pytest.mark.parametrize("bad", [{"band": 0.5}, {"forget": 1.0}, {"shrink": 0.0}, {"rescues": 0}, {"far": math.nan}])
def test_refusals(bad):
    with pytest.raises(InvalidInput, match=next(iter(bad))):
        Watch(**bad)


def test_what_it_is_told_counts_as_seen():
    watch = Watch()
    told = watch.told(watch.init(), [(1.0, 0.5), (math.nan, 1.0), (0.9, 2.0), (0.8, 1.0)])
    assert told.count == 3
    assert told.peak == pytest.approx(2.0, rel=0.05)
    assert told.first == 1.0
    same = watch.init()
    for loss, norm in [(1.0, 0.5), (0.9, 2.0), (0.8, 1.0)]:
        same = watch.update(same, Seen(loss, norm))[1]
    assert told == same
