"""A copy of everything, put back bit for bit, from wherever it was kept."""

import random
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn
from training.guard.guard_runs import AveragedSGD, adamw, everything, guarded, network, plain, same, sgd

from surefoot.errors import InvalidType
from surefoot.training import Guard
from surefoot.training.loop._storage import DirectoryStore, saved_in, write_atomically
from surefoot.training.loop.snapshots import Snapshots
from surefoot.training.model.snapshot import Snapshot, Subject

MAKERS = {
    "AdamW": adamw,
    "SGD": sgd,
    "schedule-free": lambda m: AveragedSGD(m.parameters()),
    "Rprop": lambda m: torch.optim.Rprop(m.parameters()),
    "capturable rate": lambda m: torch.optim.AdamW(m.parameters(), lr=torch.tensor(1e-3)),
}


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_capture_then_restore_is_the_identity(make, fresh):
    model = network()
    optimizer = make(model)
    if not fresh:
        plain(model, optimizer, 5)
    before = everything(model, optimizer)
    subject = Subject(model, [optimizer])
    snapshot = subject.capture(5)
    plain(model, optimizer, 7)
    optimizer.param_groups[0]["lr"] = 123.0
    assert not same(before, everything(model, optimizer))
    subject.restore(snapshot)
    assert same(before, everything(model, optimizer))
    plain(model, optimizer, 7)  # and the copy is not what training now changes
    subject.restore(snapshot)
    assert same(before, everything(model, optimizer))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_through_a_file_too(make, tmp_path):
    model = network()
    optimizer = make(model)
    plain(model, optimizer, 5)
    before = everything(model, optimizer)
    subject = Subject(model, [optimizer], random_states=True)
    saved = write_atomically(subject.capture(5).plain(), tmp_path, "run", 5)
    plain(model, optimizer, 7)
    subject.restore(saved.read())
    assert same(before, everything(model, optimizer))


def test_layouts_and_kinds_of_numbers():
    torch.manual_seed(0)
    model = nn.Module()
    model.conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    model.half = nn.Linear(2, 2).half()
    model.complex = nn.Parameter(torch.randn(3, dtype=torch.complex64))
    model.register_buffer("count", torch.tensor(3))
    model.register_buffer("hidden", torch.randn(2, dtype=torch.float64), persistent=False)
    subject = Subject(model, [sgd(model)])
    copies = [t.clone() for t in [*model.parameters(), *model.buffers()]]
    strides = model.conv.weight.stride()
    snapshot = subject.capture(0)
    with torch.no_grad():
        for t in [*model.parameters(), *model.buffers()]:
            t.zero_()
    subject.restore(snapshot)
    assert all(torch.equal(a, b) for a, b in zip(copies, [*model.parameters(), *model.buffers()], strict=True))
    assert model.conv.weight.stride() == strides


def test_the_memory_of_an_old_snapshot_is_used_again():
    model = network()
    optimizer = adamw(model)
    plain(model, optimizer, 3)
    subject = Subject(model, [optimizer])
    old = subject.capture(3)
    new = subject.capture(4, into=old)
    assert {k: f.data_ptr() for k, f in old.flats.items()} == {k: f.data_ptr() for k, f in new.flats.items()}
    assert new.bytes == old.bytes == sum(p.numel() for p in model.parameters()) * 12 + 4 * 6


def test_random_states_of_three_libraries():
    model = network()
    subject = Subject(model, [sgd(model)], random_states=True)

    def draw():
        return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()  # noqa: NPY002

    snapshot = Snapshot.from_plain(subject.capture(0).plain())
    first = draw()
    subject.restore(snapshot)
    assert draw() == first


def test_schedulers_with_their_own_containers(tmp_path):
    model = network()
    optimizer = sgd(model)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 3, 6])
    subject = Subject(model, [optimizer], [scheduler])
    saved = write_atomically(subject.capture(0).plain(), tmp_path, "run", 0)
    plain(model, optimizer, 5, scheduler)
    subject.restore(saved.read())
    assert scheduler.milestones == Counter([3, 3, 6])
    assert scheduler.last_epoch == 0
    assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("probation", [False, True])
@pytest.mark.parametrize("keep", ["device", "cpu", "disk"])
def test_an_unsound_state_takes_no_snapshots_place(keep, probation, tmp_path):
    model = network()
    subject = Subject(model, [adamw(model)])
    kept = Snapshots(subject, tmp_path if keep == "disk" else keep, None, "run")
    for step in (1, 2):
        with torch.no_grad():
            model[0].bias.fill_(step)
        kept.take(step, {}, None, probation=False)
    with torch.no_grad():
        model[0].bias[0] = torch.nan
    assert kept.take(3, {}, None, probation=probation) == ""
    assert (kept.steps, kept.cost.snapshots, kept.due) == ([1, 2], 2, 13)
    for step in kept.steps:
        subject.restore(kept.look(step))
        assert model[0].bias.tolist() == [step] * 32


def test_two_are_held_and_what_is_newer_is_forgotten(tmp_path):
    for keep in ("device", "cpu", tmp_path):
        model = network()
        subject = Subject(model, [sgd(model)])
        kept = Snapshots(subject, keep, None, "run")
        for step in (0, 1, 2):
            with torch.no_grad():
                model[0].bias.fill_(step)
            kept.take(step, {"n": step}, None, probation=False)
        assert kept.steps == [1, 2]
        kept.take(3, {}, None, probation=True)
        assert kept.steps == [1, 3]
        assert kept.look(1).note == {"n": 1}
        assert kept.restore(1, 4).step == 1
        assert float(model[0].bias.detach()[0]) == 1
        assert kept.steps == [1]
    assert [saved.step for saved in saved_in(tmp_path)] == [1]


@pytest.mark.parametrize("keep", ["device", "cpu", "disk"])
def test_a_checkpoint_of_a_state_that_has_not_proved_good_holds_the_snapshots(keep, tmp_path):
    def made():
        model = network()
        return model, Snapshots(Subject(model, [sgd(model)]), tmp_path if keep == "disk" else keep, None, "run")

    model, kept = made()
    for step in (10, 20):
        with torch.no_grad():
            model[0].bias.fill_(step)
        kept.take(step, {"n": step}, None, probation=False)
    saved = {**kept.state_dict(proved=False), "count": 27}
    kept.take(30, {}, None, probation=False)  # in the memory of the first, which the checkpoint does not share
    other, again = made()
    again.parse(saved)()
    assert (again.steps, again.due) == ([10, 20], 30)
    assert again.restore(10, 27).note == {"n": 10}
    assert other[0].bias.tolist() == [10.0] * 32
    again.parse({**kept.state_dict(proved=True), "count": 27})()
    assert (again.steps, again.due) == ([], 27)


def test_half_a_file_is_no_snapshot(tmp_path):
    model = network()
    store = DirectoryStore(tmp_path, "run")
    subject = Subject(model, [sgd(model)])
    store.put(subject.capture(7), None)
    (saved,) = saved_in(tmp_path)
    whole = saved.path.read_bytes()
    assert saved.read().step == 7
    saved.path.write_bytes(whole[: len(whole) // 2])
    assert saved.read() is None
    assert saved_in(tmp_path / "nowhere") == []


def test_objects_that_a_safe_file_refuses_are_named_at_the_first_snapshot(tmp_path):
    class Odd:
        def state_dict(self):
            return {"thing": Counter, "self": type(self)}

        def load_state_dict(self, state): ...

    model = network()
    guard = Guard(model, sgd(model), also=[Odd()], keep=tmp_path)
    with pytest.raises(InvalidType, match="weights_only"):
        guarded(guard, 1)
