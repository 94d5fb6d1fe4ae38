"""When snapshots are taken, which one is gone back to, and what they leave in memory and in a folder."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from surefoot.training import Guard
from surefoot.training.loop._storage import saved_in, write_atomically
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


def test_the_newest_snapshot_before_the_trouble_is_the_target_and_the_oldest_the_second_time():
    kept = snapshots(steps=[10, 20])
    assert kept.target(20, again=False) == 20
    assert kept.target(19, again=False) == 10
    assert kept.target(9, again=False) == 10
    assert kept.target(1000, again=True) == 10
    assert snapshots().target(20, again=False) is None


@pytest.mark.parametrize(("kind", "since", "left_out", "target"), [
    ("lost ground", 100, 0, 10), ("jump", 100, 2, 10), ("broken state", 100, 0, 25), ("broken state", 20, 0, 25),
    ("broken state", 19, 0, 10),
])  # fmt: skip
@pytest.mark.parametrize("rescues", [0, 1])
def test_a_snapshot_is_trusted_four_updates_before_trouble_and_at_once_if_it_broke_suddenly(
    kind, since, left_out, target, rescues
):
    model, optimizer = linear()
    updates = Guard(model, optimizer)._updates
    for step in (10, 25):
        updates.snapshots.take(step, {}, None, probation=False)
    state = replace(updates.judge.state, since=since, left_out=left_out, rescues=rescues)
    updates.count = 28
    assert updates._target(state, kind) == target
    updates.count = 29 + max(left_out - 1, 0)
    again = rescues and (kind, since >= 20) != ("broken state", True)
    assert updates._target(state, kind) == (10 if again else 25)


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


class Runs:
    """What a hostile pickle does: it calls something when it is loaded."""

    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_a_file_that_would_run_code_is_no_snapshot_and_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved = write_atomically({"step": 3, "trap": Runs()}, tmp_path, "run", 3)
    assert saved.read() is None
    assert not Path("ran").exists()
    torch.load(saved.path, weights_only=False)
    assert Path("ran").exists()  # it is one that runs where it is trusted


def test_files_that_somebody_else_removed_are_not_missed(tmp_path):
    model, optimizer = linear()
    guard = Guard(model, optimizer, keep=tmp_path, every=10)
    for k in range(60):
        guard.step(lambda: model(torch.ones(4, 2, dtype=torch.float64)).square().mean())
        if k == 35:
            for path in tmp_path.glob("*.pt"):
                path.unlink()
    assert guard.history == []
    assert [saved.step for saved in saved_in(tmp_path)] == [50]  # the older one is kept until a newer has proved good
