"""What the parts of a loop promise, each from both sides, on numbers rather than on runs."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from surefoot.errors import InvalidInput
from surefoot.rules import Constant, Watch
from surefoot.rules.training.watch import Usual
from surefoot.training import Guard, Pilot
from surefoot.training.loop._clipped_oscillation import ClippedOscillation
from surefoot.training.loop._history import Event, History, Moment, diagnosis, thinned
from surefoot.training.loop._judge import Judge
from surefoot.training.loop._line_minimum import _search, line_minimum
from surefoot.training.loop._sharpness import Sharpness, measure
from surefoot.training.loop._storage import MemoryStore, saved_in
from surefoot.training.loop.group_rates import Rates
from surefoot.training.loop.snapshots import Snapshots
from surefoot.training.loop.training_step import TrainingStep
from surefoot.training.model.snapshot import Subject


def linear(rate=0.1, **options):
    torch.manual_seed(0)
    model = nn.Linear(2, 1, dtype=torch.float64)
    return model, torch.optim.SGD(model.parameters(), lr=rate, **options)


# The line minimum.


def looks(loss, start):
    """What the search finds, and where it looked."""
    seen = []

    def at(r):
        seen.append(r)
        return loss(r)

    return _search(at, start), seen


@pytest.mark.parametrize("best", [1e-6, 1e-3, 1.0, 1e6])
def test_the_least_loss_along_a_line_is_found_within_a_quarter_of_a_decade(best):
    found, seen = looks(lambda r: (r / best - 1) ** 2, 1e-3)
    assert abs(math.log10(found / best)) <= 0.25
    assert seen[:2] == [0.0, 1e-3]


def test_it_goes_on_outwards_while_the_loss_does_not_resolve_the_move():
    found, _ = looks(lambda r: 1.0 if r < 1 else (math.log10(r) - 1) ** 2, 1e-3)
    assert 5 < found < 20
    assert math.isnan(looks(lambda r: 1.0 + (r > 1), 1e-3)[0])
    assert math.isnan(looks(lambda r: 1.0 + r, 1e-3)[0])


@pytest.mark.parametrize(("fall", "endless"), [(0.99e6, False), (1.01e6, True)])
def test_a_loss_that_falls_by_a_million_times_itself_has_no_minimum(fall, endless):
    """Thirty looks, half a decade apart, each lower than the one before."""
    farthest = 1e-3 * 10**15

    def loss(r):
        return 1 - fall * (r / farthest) ** 0.1

    if endless:
        with pytest.raises(InvalidInput, match="falls without end"):
            looks(loss, 1e-3)
    else:
        assert looks(loss, 1e-3)[0] == pytest.approx(farthest * 10**0.25, rel=1e-6)


def test_without_a_direction_there_is_no_minimum():
    model, _ = linear()
    for value in (0.0, math.inf, math.nan):
        direction = [torch.full_like(p, value) for p in model.parameters()]
        assert math.isnan(line_minimum(model, lambda: pytest.fail("looked"), [*model.parameters()], direction))


@pytest.mark.parametrize(("start", "length"), [(0.0, 1e-3), (1.0, 5.005)])
def test_the_first_look_is_a_thousandth_of_the_parameters_or_of_1_where_they_are_zero(start, length):
    model, _ = linear()
    direction = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(start * direction)
    lengths = []

    def closure():
        lengths.append(model.weight.detach().norm().item())
        return (model.weight - 1).square().sum()

    line_minimum(model, closure, [model.weight], [direction])
    assert lengths[1] == pytest.approx(length)


# Snapshots.


def snapshots(every=None, steps=()):
    model, optimizer = linear()
    kept = Snapshots(Subject(model, [optimizer]), "device", every, "run")
    for step in steps:
        assert kept.take(step, {}, None, probation=False) == ""
    return kept


@pytest.mark.parametrize(
    ("updates", "due"), [(0, 10), (1099, 1109), (1100, 1111), (5000, 5050), (10_000, 10_100), (99_999, 100_099)]
)
def test_a_snapshot_is_due_each_hundredth_of_the_run_between_ten_and_a_hundred_updates(updates, due):
    assert snapshots(steps=[updates]).due == due
    assert snapshots(every=7, steps=[updates]).due == updates + 7


@pytest.mark.parametrize("doubts", [1, 5])
def test_the_newest_snapshot_is_trusted_three_updates_before_the_trouble(doubts):
    kept = snapshots(steps=[10, 20])
    assert kept.target(20 + 3 + doubts, again=False, doubts=doubts) == 20
    assert kept.target(20 + 2 + doubts, again=False, doubts=doubts) == 10
    assert kept.target(1000, again=True, doubts=doubts) == 10
    assert snapshots(steps=[20]).target(20, again=True, doubts=doubts) == 20
    assert snapshots().target(20, again=False, doubts=doubts) is None


def test_the_older_snapshot_stays_while_on_probation():
    kept = snapshots(steps=[10, 20])
    kept.take(30, {}, None, probation=True)
    assert kept.steps == [10, 30]
    kept.take(40, {}, None, probation=False)
    assert kept.steps == [30, 40]


def test_a_return_forgets_what_is_newer_and_keeps_the_next_one_four_updates_later():
    kept = snapshots(steps=[10, 20])
    assert kept.restore(10, 25).step == 10
    assert kept.steps == [10]
    assert kept.due == 29
    assert kept.restore(5, 25) is None
    assert kept.restore(None, 25) is None


def test_memory_that_is_free_is_used_again():
    kept = snapshots(steps=[10, 20])
    size = kept.cost.bytes
    assert size == 2 * kept.look(10).bytes
    kept.restore(10, 25)
    assert kept.cost.bytes == size
    kept.take(30, {}, None, probation=False)
    assert kept.cost.bytes == size
    kept.restart(40)
    assert (kept.cost.bytes, kept.steps, kept.due) == (0, [], 40)


def test_a_state_that_is_not_finite_takes_no_snapshots_place():
    model, optimizer = linear()
    subject, store = Subject(model, [optimizer]), MemoryStore()
    assert store.put(subject, 1, {})
    assert store.put(subject, 2, {})
    with torch.no_grad():
        model.weight.fill_(math.nan)
    assert not store.put(subject, 3, {})
    assert store.steps == [2]


def test_a_file_is_a_snapshot_by_its_name(tmp_path):
    for name in ("a.12.0f.pt", "b.3.0f.pt", "a.x.0f.pt", "a.12.pt", "weights.pt", "a.7.0f.part"):
        Path(tmp_path, name).touch()
    assert [(one.run, one.step, one.digest) for one in saved_in(tmp_path)] == [("b", 3, "0f"), ("a", 12, "0f")]


# What a run remembers.


def moment(step, event=""):
    return Moment(step=step, loss=1.0, rate=0.1, event=event)


def test_of_a_long_history_a_checkpoint_has_the_last_moments_the_told_ones_and_some_between():
    short = [moment(k) for k in range(400)]
    assert thinned(short) == short
    long = [moment(k, "told" if k % 7 == 3 and k < 2000 else "") for k in range(3200)]
    kept = thinned(long)
    assert kept[-200:] == long[-200:]
    told = [m.step for m in kept[:-200] if m.event]
    assert set(range(3, 2000, 7)[-100:]) <= set(told)
    assert {m.step for m in kept[:-200] if not m.event} <= set(range(0, 3000, 30))
    assert set(range(0, 3000, 30)) <= {m.step for m in kept}
    assert [m.step for m in kept] == sorted(m.step for m in kept)


def event(action="back", kind="jump", step=5, **more):
    return Event(step=step, action=action, kind=kind, reason="so it was", loss=1.0, gradient_norm=1.0, **more)


def sharpness(rate, limit):
    return Sharpness(largest=None, limit=limit, rate=rate)


@pytest.mark.parametrize(
    ("events", "rescues", "advice"),
    [
        ([event(kind="broken loss"), event("stop", "broken loss")], 1, "look at the data and at the loss"),
        ([event(kind="broken gradient"), event("stop", "broken gradient")], 1, "in the backward pass"),
        ([event(kind="broken loss"), event("stop", "broken gradient")], 1, "smaller rate, or look at the data"),
        ([event(), event("stop", "broken loss")], 0, "look at the data and at the loss"),
        ([event(), event(kind="broken loss"), event("stop", "broken loss")], 1, "look at the data and at the loss"),
        ([event(), event(kind="broken loss"), event("stop", "broken loss")], 2, "smaller rate, or look at the data"),
        ([event(sharpness=sharpness(3.0, 2.0)), event(sharpness=sharpness(1.0, 2.0)), event("stop")], 2,
         "the rate was 1.5 x the stability limit"),
        ([event(sharpness=sharpness(3.0, None)), event("stop")], 1, "smaller rate, or look at the data"),
    ],
)  # fmt: skip
def test_a_diagnosis_goes_by_the_returns_in_a_row(events, rescues, advice):
    said = diagnosis(events, rescues)
    assert advice in said
    assert f"after {rescues} rescue{'' if rescues == 1 else 's'} in a row" in said


def test_a_diagnosis_shows_the_last_twelve_events():
    said = diagnosis([event(step=k, undone=1) for k in range(20)], 2)
    assert "step 7:" not in said
    assert said.count("rolled back") == 12


def test_an_event_counts_its_updates():
    assert "rolled back 1 step; rate x 1" in str(event(undone=1))
    assert "rolled back 2 steps" in str(event(undone=2, factor=0.25))
    assert str(event(undone=2, factor=0.25, recovered=9)).endswith("rate x 0.25; recovered by step 9")
    assert str(event("skip")).endswith("so it was; batch left out")
    assert str(event("warn")) == "step 5: so it was"


def test_batches_left_out_are_behind_at_the_next_update_and_returns_when_the_loss_is_down():
    log = History()
    for one in (event("skip"), event("back"), event("go")):
        log.add(one)
    log.close(7, down=False)
    assert [e.recovered for e in log.events] == [7, None, None]
    log.close(9, down=True)
    assert [e.recovered for e in log.events] == [7, 9, None]
    assert log.open == []


def test_a_remark_is_made_once_while_it_stays_the_same():
    log = History()
    for said in ("a", "a", "b", "a"):
        log.remark(1, "note", said)
    assert [e.reason for e in log.events] == ["a", "b", "a"]


def test_a_long_log_keeps_its_last_hundred_events_and_which_of_them_are_open():
    log = History()
    for step in range(130):
        log.add(event("back" if step in (29, 30, 129) else "note", step=step))
    again = History.read(log.to_dict())
    assert [e.step for e in again.events] == list(range(30, 130))
    assert [again.events[i].step for i in again.open] == [30, 129]


# The judge.


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


# Rates of groups.


def groups(*rates):
    return torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates], lr=0.1)


def rates_of(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def test_a_rule_decides_the_first_positive_rate_and_ratios_stay():
    optimizer = groups(0.0, 0.5, 0.25)
    rates = Rates([optimizer], driven=True, named=False)
    assert rates.read() == ""
    rates.write(3.0)
    assert rates_of(optimizer) == [0.0, 3.0, 1.5]
    assert rates.in_force == (0.0, 3.0, 1.5)
    assert rates.first == 0.0
    rates.settle()
    assert rates_of(optimizer) == [0.0, 3.0, 1.5]
    with pytest.raises(InvalidInput, match="0, 0: no ratio"):
        Rates([groups(0.0, 0.0)], driven=True, named=False)


def test_what_changes_a_rate_during_the_update_is_undone_unless_a_scheduler_owns_it():
    optimizer = groups(1.0)
    rates = Rates([optimizer], driven=True, named=False)
    rates.read()
    rates.write(2.0)
    optimizer.param_groups[0]["lr"] = 9.0
    rates.settle()
    assert rates_of(optimizer) == [2.0]
    optimizer.param_groups[0] |= {"lr": 9.0, "initial_lr": 1.0}
    rates.settle()
    assert rates_of(optimizer) == [9.0]


def test_a_hand_on_one_group_multiplies_its_weight_and_is_told_once():
    optimizer = groups(1.0, 1.0)
    rates = Rates([optimizer], driven=True, named=False)
    rates.read()
    rates.write(2.0)
    rates.settle()
    optimizer.param_groups[1]["lr"] = 1.0
    assert "group 1 from 2 to 1; that group's rates are 0.5 times" in rates.read()
    rates.write(4.0)
    rates.settle()
    assert rates_of(optimizer) == [4.0, 2.0]
    optimizer.param_groups[0]["lr"] = 8.0
    assert rates.read() == ""
    rates.write(1.0)
    assert rates_of(optimizer) == [2.0, 0.5]


def test_a_group_added_later_has_the_rate_it_came_with_over_the_first():
    optimizer = groups(0.5)
    rates = Rates([optimizer], driven=True, named=False)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))], "lr": 1.0})
    rates.read()
    rates.write(3.0)
    assert rates_of(optimizer) == [3.0, 6.0]


def test_the_users_rates_are_lent_for_an_update_and_given_back():
    optimizer = groups(1.0, 3.0)
    rates = Rates([optimizer], driven=False, named=False)
    rates.write(0.5)
    assert rates_of(optimizer) == [0.5, 1.5]
    assert rates.in_force == (0.5, 1.5)
    rates.settle()
    assert rates_of(optimizer) == [1.0, 3.0]
    rates.write(1.0)
    optimizer.param_groups[0]["lr"] = 9.0
    rates.settle()
    assert rates_of(optimizer) == [9.0, 3.0]


@pytest.mark.parametrize("at_peak", [False, True])
def test_a_schedulers_rate_over_its_peak_multiplies_unless_at_the_peak(at_peak):
    optimizer = groups(1.0, 2.0)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 0.1)
    rates = Rates([optimizer], driven=True, named=True)
    assert rates.scheduled
    rates.read()
    rates.write(5.0, at_peak=at_peak)
    assert rates_of(optimizer) == pytest.approx([5.0, 10.0] if at_peak else [0.5, 1.0])
    rates.settle()
    assert rates_of(optimizer) == pytest.approx([0.1, 0.2])


# The step and the sense for clipped oscillation.


class Scaler:
    def is_enabled(self):
        return True


def test_twenty_overflows_in_a_row_are_the_loss_scales():
    model, optimizer = linear()
    step = TrainingStep(model, [optimizer], Scaler())
    assert [step.overflowed(1.0, math.inf) for _ in range(21)] == [True] * 20 + [False]
    assert not step.overflowed(math.nan, math.inf)
    assert step.overflowed(1.0, math.nan)
    assert not step.overflowed(1.0, 1.0)
    assert not TrainingStep(model, [optimizer]).overflowed(1.0, math.inf)


def oscillate(levels, norms=None, cosine=-1.0):
    """What is told of gradients that turn back, for a row of mean losses and one of norms."""
    sense, weight = ClippedOscillation(1.0), nn.Parameter(torch.zeros(2))
    said = []
    for k, level in enumerate(levels):
        weight.grad = torch.tensor([1.0, 0.0] if k % 2 else [cosine, math.sqrt(1 - cosine**2)])
        norm = 2.0 if norms is None else norms[k]
        if turns := sense.see(k, norm, level, [weight]):
            said.append((k, turns))
    return said


# As documented: twenty that are cut, twenty more that turn back; news again a hundred updates later.
LEAST, EPISODE = 40, 100


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("fall", "told"), [(0.009, True), (0.011, False)])
def test_a_mean_loss_that_falls_by_a_hundredth_is_progress(fall, told, sign):
    levels = [sign * 1.0] * 10 + [sign * 1.0 - fall] * (LEAST - 9)
    assert bool(oscillate(levels)) == told


def test_what_is_told_of_a_clipped_oscillation():
    ((step, turns),) = oscillate([1.0] * (LEAST + 1), [2.0, 5.0] * LEAST, cosine=-0.95)
    assert step == LEAST
    assert (turns.cap, turns.clipped) == (1.0, LEAST + 1)
    assert turns.excess == 3.5
    assert turns.cosine == pytest.approx(-0.95)


def test_a_norm_at_the_cap_is_not_cut():
    assert oscillate([1.0] * 100, [1.0] * 100) == []
    assert len(oscillate([1.0] * (LEAST + 1), [1.001] * 100)) == 1


@pytest.mark.parametrize(("pause", "told"), [(EPISODE - 1, [LEAST]), (EPISODE, [LEAST, LEAST + EPISODE])])
def test_it_is_news_again_a_hundred_updates_after_it_was_last_seen(pause, told):
    norms = [2.0] * (LEAST + 1) + [0.5] * (pause - LEAST - 1) + [2.0] * (LEAST + 1)
    assert [k for k, _ in oscillate([1.0] * len(norms), norms)] == told
    assert len(oscillate([1.0] * 1000)) == 1  # seen again and again, so never a hundred updates ago


# Curvature at a return.


@pytest.mark.parametrize(("limit", "ratio"), [(2.0, 1.5), (None, None), (0.0, None), (math.inf, None)])
def test_the_ratio_of_rate_and_limit(limit, ratio):
    assert sharpness(3.0, limit).ratio == ratio


def test_a_loss_without_second_derivatives_is_a_note():
    model, optimizer = linear()
    found = measure(model, lambda: model.weight.sum() * math.nan, optimizer, 0.1)
    assert found.largest is found.limit is None
    assert str(found).startswith("sharpness not measured: ")


# The length of a run.


@pytest.mark.parametrize(("total", "cooling"), [(100, 20), (3, 1), (1, 1)])
def test_the_last_fifth_of_a_run_is_its_cool_down(total, cooling):
    model, optimizer = linear()
    pilot = Pilot(model, optimizer, "constant:0.1", total_steps=total)
    x = torch.ones(4, 2, dtype=torch.float64)
    parts = []
    for k in range(total):
        assert pilot._updates.until_cooldown == max(total - cooling - k, 0)
        parts.append(pilot._updates.remaining)
        pilot.step(lambda: (model(x) - 1).square().mean())
    assert parts == pytest.approx([1.0] * (total - cooling) + [(cooling - k) / cooling for k in range(cooling)])


def test_a_run_of_unknown_length_never_cools_down():
    model, optimizer = linear()
    guard = Guard(model, optimizer, accumulate=2)
    assert guard._updates.remaining == 1
    assert guard._updates.until_cooldown == math.inf


def test_a_history_is_thinned_from_four_hundred_moments_on():
    assert len(thinned([moment(k) for k in range(401)])) == 67 + 200


def test_a_directory_is_made_with_its_parents_and_keeps_two_snapshots(tmp_path):
    model, optimizer = linear()
    kept = Snapshots(Subject(model, [optimizer]), tmp_path / "runs" / "first", None, "run")
    for step in (1, 2, 3, 3):
        assert kept.take(step, {"at": step}, None, probation=False) == ""
    assert kept.steps == [2, 3]
    assert len(list((tmp_path / "runs" / "first").iterdir())) == 2
    assert kept.look(2).note == {"at": 2}
    kept.take(4, {}, None, probation=True)
    assert kept.steps == [2, 4]
