"""When snapshots are taken, which one is gone back to, and what they leave in memory and in a folder."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from surefoot.training.loop._storage import MemoryStore, saved_in
from surefoot.training.loop.snapshots import Snapshots
from surefoot.training.model.snapshot import Subject


def linear(rate=0.1, **options):
    torch.manual_seed(0)
    model = nn.Linear(2, 1, dtype=torch.float64)
    return model, torch.optim.SGD(model.parameters(), lr=rate, **options)


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
