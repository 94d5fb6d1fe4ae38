"""What a run remembers: moments, events, the diagnosis of a run that is given up, and what a checkpoint keeps of it."""

import pytest

from surefoot.training.loop._history import Event, History, Moment, diagnosis, thinned
from surefoot.training.loop._sharpness import Sharpness


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


def test_a_history_is_thinned_from_four_hundred_moments_on():
    assert len(thinned([moment(k) for k in range(401)])) == 67 + 200
