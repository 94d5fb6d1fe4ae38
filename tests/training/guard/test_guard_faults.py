"""Each fault in turn: training goes on or stops with a diagnosis, and nothing good is lost."""

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import cache

import pytest
import torch
from torch.nn import functional
from training.guard.guard_runs import (
    CONSTANT,
    STEPS,
    AveragedSGD,
    adamw,
    cosine,
    everything,
    final,
    guarded,
    network,
    plain,
    same,
    sgd,
)
from training.rank_runs import run_ranks

from surefoot.errors import Diverged
from surefoot.training import Guard
from surefoot.training.loop import _storage as storage

MAKERS = {"AdamW": adamw, "SGD": sgd, "schedule-free": lambda m: AveragedSGD(m.parameters(), lr=0.5)}
AT = 300


@cache
def fault_free(make):
    model = network()
    optimizer = make(model)
    plain(model, optimizer, scheduler=cosine(optimizer))
    return final(model)


def poison_batch(at, value):
    return {"corrupt": lambda k, x: torch.full_like(x, value) if k == at else x}


def poison_gradient(model):
    now = []
    model[0].weight.register_hook(lambda g: g.clone().fill_(math.nan) if now == [AT] else None)
    return {"before": lambda k: now.__setitem__(slice(None), [k])}


def poison_parameter(model):
    def before(k):
        if k == AT:
            with torch.no_grad():
                model[2].weight[0, 0] = math.nan

    return {"before": before}


def poison_state(optimizer, name):
    def before(k):
        if k == AT:
            state = next(iter(optimizer.state.values()))
            state[name].view(-1)[0] = math.nan

    return {"before": before}


FAULTS = {
    "NaN in a batch": lambda m, o: poison_batch(AT, math.nan),
    "Inf loss": lambda m, o: poison_batch(AT, math.inf),
    "spike": lambda m, o: poison_batch(AT, 1e4),
    "NaN in a gradient": lambda m, o: poison_gradient(m),
    "NaN in a parameter": lambda m, o: poison_parameter(m),
    "NaN in the optimizer's state": lambda m, o: poison_state(
        o, {"AdamW": "exp_avg", "SGD": "momentum_buffer", "AveragedSGD": "z"}[type(o).__name__]
    ),
    "NaN in the first batch": lambda m, o: poison_batch(0, math.nan),
}


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler:UserWarning")  # the first update left out
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("optimizer", MAKERS)
def test_one_fault_costs_almost_nothing(optimizer, fault):
    make = MAKERS[optimizer]
    model = network()
    opt = make(model)
    schedule = cosine(opt)
    guard = Guard(model, opt, scheduler=schedule)
    guarded(guard, scheduler=schedule, **FAULTS[fault](model, opt))
    assert guard.history, "the fault went unseen"
    wasted = sum(event.undone for event in guard.history) + sum(e.action == "skip" for e in guard.history)
    assert wasted <= 0.02 * STEPS
    assert all(event.recovered is not None and event.recovered <= event.step + 50 for event in guard.history)
    clean = fault_free(make)
    assert final(model) - clean <= 0.01 * (CONSTANT - clean)
    assert guard.factor == 1


def test_without_the_guard_one_nan_ends_the_run():
    model = network()
    optimizer = adamw(model)
    for k in range(3):
        x = torch.full((4, 8), math.nan) if k == 1 else torch.ones(4, 8)
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
    assert not torch.isfinite(model[0].weight).all()


@pytest.mark.parametrize("optimizer", MAKERS)
def test_a_corrupted_batch_each_hundred_steps(optimizer):
    steps, make = 2000, MAKERS[optimizer]
    generator = torch.Generator().manual_seed(5)

    def corrupt(k, x):
        return 1e3 * torch.randn(x.shape, generator=generator) if k % 100 == 99 else x

    clean = network()
    plain(clean, make(clean), steps)
    model = network()
    guard = Guard(model, make(model))
    guarded(guard, steps, corrupt=corrupt)
    assert [event.step for event in guard.history] == list(range(99, steps, 100))
    assert all(event.action == "skip" for event in guard.history)
    assert final(model) - final(clean) <= 0.01 * (CONSTANT - final(clean))


@pytest.mark.parametrize("insist", [False, True], ids=["once", "at every step"])
@pytest.mark.parametrize("optimizer", MAKERS)
def test_the_rate_multiplied_by_a_hundred_in_mid_run(optimizer, insist):
    model = network()
    opt = MAKERS[optimizer](model)
    rate = opt.param_groups[0]["lr"]
    at_fault = []

    def before(k):
        if k == AT:
            at_fault.append(final(model))
        if k == AT or (insist and k > AT):
            opt.param_groups[0]["lr"] = 100 * rate

    guard = Guard(model, opt)
    guarded(guard, before=before)
    assert any(event.action == "back" for event in guard.history)
    assert all(event.step > AT for event in guard.history)
    if insist:
        assert guard.factor < 1
    else:
        assert opt.param_groups[0]["lr"] == rate  # it went back with the rest
    assert final(model) <= at_fault[0] + 0.1 * (CONSTANT - at_fault[0])


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_from_the_start_a_hundred_times_too_fast(make):
    model = network()
    optimizer = make(model)
    for group in optimizer.param_groups:
        group["lr"] *= 100
    guarded(Guard(model, optimizer))
    assert final(model) < CONSTANT


def test_a_closure_that_raises_changes_nothing():
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 4))
    optimizer = adamw(model)
    guard = Guard(model, optimizer)
    x, y = torch.randn(16, 8), torch.zeros(16, dtype=torch.long)
    for _ in range(5):
        guard.step(lambda: functional.cross_entropy(model(x), y))
    before = everything(model, optimizer)

    def broken():
        model(x)  # moves the running statistics
        raise OSError("the loader's disk is gone")

    with pytest.raises(OSError, match="loader's disk"):
        guard.step(broken)
    assert same(before, everything(model, optimizer))
    assert all(p.grad is None for p in model.parameters())
    guard.step(lambda: functional.cross_entropy(model(x), y))
    assert not guard.history


def test_a_closure_that_is_always_nan_ends_with_a_diagnosis():
    model = network()
    guard = Guard(model, adamw(model))
    guarded(guard, 250)

    def nothing_but_nan():
        for _ in range(200):
            guard.step(lambda: model(torch.ones(4, 8)).sum() * math.nan)

    with pytest.raises(Diverged, match=r"gave up.*look at the data") as caught:
        nothing_but_nan()
    assert caught.value.history == tuple(guard.history)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert guard.history[-1].action == "stop"
    assert guard.history[-1].step == guard.updates
    optimizer = guard.optimizers[0]
    assert optimizer.state[model[0].weight]["step"] == 240  # the last snapshot


def test_in_its_first_steps_a_run_that_fails_again_goes_back_to_its_start():
    """What it reached so soon before failing has not proved good."""
    model = network()
    guard = Guard(model, adamw(model), every=10)
    start = everything(model, guard.optimizers[0])
    guarded(guard, 100)

    def rise(k):
        model[4].bias.data += 3 * torch.randn(4)  # what a rate far too high looks like from outside

    torch.manual_seed(0)
    returns = []
    while len(returns) < 2:
        guarded(guard, 1, before=rise)
        returns = [event for event in guard.history if event.action == "back"]
    first, second = returns
    assert 0 < first.undone <= 30
    assert second.undone == second.step  # all of it
    assert same(start, everything(model, guard.optimizers[0]))


def test_a_full_disk_costs_the_snapshot_and_not_the_run(tmp_path, monkeypatch):
    model = network()
    guard = Guard(model, adamw(model), keep=tmp_path)
    full = []

    def save(*args):
        if full:
            raise RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing file")
        return real(*args)

    real = storage.torch.save
    monkeypatch.setattr(storage.torch, "save", save)
    guarded(guard, 50)
    kept = storage.saved_in(tmp_path)[-1].step
    full.append(True)
    guarded(guard, 50)
    assert [event.kind for event in guard.history] == ["snapshot"]
    assert "no snapshot could be" in guard.explain()
    assert storage.saved_in(tmp_path)[-1].step == kept
    assert not list(tmp_path.glob("*.part"))
    with torch.no_grad():
        model[0].weight.fill_(math.nan)
    guarded(guard, 50)
    assert torch.isfinite(model[0].weight).all()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_really_full_device_is_an_oserror(tmp_path, monkeypatch):
    (tmp_path / f"run.0.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left|could be written"):
        storage.write_atomically({"x": torch.zeros(1 << 16)}, tmp_path, "run", 0)
    assert list(tmp_path.iterdir()) == []


KILLED = """
    import sys, torch
    from pathlib import Path
    from surefoot.training import Guard
    torch.manual_seed(0)
    model = torch.nn.Linear(300, 300)
    guard = Guard(model, torch.optim.AdamW(model.parameters()), keep=Path(sys.argv[1]), every=1)
    x = torch.randn(4, 300)
    while True:
        guard.step(lambda: model(x).square().mean())
        print(guard._snapshots.steps[-1], guard.updates, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.004])
def test_killed_while_a_snapshot_is_written(tmp_path, delay):
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines = [process.stdout.readline() for _ in range(20)]
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    lines += process.communicate()[0].splitlines(keepends=True)
    kept, updates = (int(number) for number in next(line for line in reversed(lines) if line.endswith("\n")).split())
    found = [snapshot for saved in storage.saved_in(tmp_path) if (snapshot := saved.read()) is not None]
    assert all(bool(flat.isfinite().all()) for snapshot in found for flat in snapshot.flats.values())
    assert kept <= found[-1].step <= updates


RANKS = """
    from surefoot.training import Guard
    (fault,) = arguments
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    parallel = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    guard = Guard(parallel, optimizer, keep=where if fault == "disk" else "device", every=5)
    torch.manual_seed(rank)
    unlucky = rank == 1
    if fault == "disk" and unlucky:
        import surefoot.training.loop._storage as storage
        real = storage.write_atomically
        def write(data, *arguments):
            if guard.updates in (220, 225):
                raise OSError("no space left on device")
            return real(data, *arguments)
        storage.write_atomically = write
    steps = 250 if fault == "disk" else 60
    for k in range(steps):
        x = torch.randn(16, 8)
        if unlucky and fault == "nan" and k == 30:
            x.fill_(math.nan)
        if unlucky and k == steps - 15:
            with torch.no_grad():
                model[0].weight[0, 0] = math.nan
        def closure():
            if unlucky and fault == "raise" and k == 10:
                raise OSError("the loader's disk is gone")
            return (parallel(x) - x[:, :1]).square().mean()
        guard.step(closure)
        if fault == "disk" and k in (220, 225, 226, 230):
            print(k, guard._snapshots.steps)
    def size():
        return sum(p.double().sum().item() for p in model.parameters())
    print([(e.step, e.action, e.kind, e.undone) for e in guard.history if e.action != "note"], size())
    if fault == "disk":
        print(Guard(parallel, optimizer, keep=where).recover(), size())
"""


@pytest.mark.slow
def test_two_ranks_decide_alike(tmp_path):
    codes, said, errors = run_ranks(RANKS, tmp_path, "nan")
    assert codes == [0, 0], errors
    assert said[0] == said[1]
    assert "(30, 'skip', 'broken loss', 0)" in said[0]
    assert "'back', 'broken state'" in said[0]
    assert "nan" not in said[0]


@pytest.mark.slow
def test_a_snapshot_that_one_rank_cannot_write_is_kept_by_none(tmp_path):
    codes, said, errors = run_ranks(RANKS, tmp_path, "disk")
    assert codes == [0, 0], errors
    assert said[0] == said[1]
    assert said[0].splitlines()[:4] == ["220 [215]", "225 [215]", "226 [215]", "230 [215, 230]"]
    assert "nan" not in said[0]


@pytest.mark.slow
def test_an_exception_on_one_rank_does_not_leave_the_other_waiting(tmp_path):
    codes, _, errors = run_ranks(RANKS, tmp_path, "raise")
    assert codes[0] != 0
    assert codes[1] != 0
    assert "the loader's disk is gone" in errors[1]
    assert "RuntimeError" in errors[0] or "DistBackendError" in errors[0]


def test_a_weight_that_breaks_long_after_a_return_costs_no_more_than_a_snapshots_distance():
    """On probation too: a rate does its damage slowly, and this broke all of a sudden."""
    model = network()
    guard = Guard(model, adamw(model), every=10)

    def spoil(k):
        if k in (100, 150):
            with torch.no_grad():
                model[0].weight[0, 0] = math.nan

    guarded(guard, 220, before=spoil)
    assert [event.action for event in guard.history] == ["back", "back"]
    assert all(event.undone <= 15 for event in guard.history)


def test_a_checkpoint_of_a_state_that_goes_wrong_holds_the_way_back():
    model = network()
    optimizer = adamw(model)
    guard = Guard(model, optimizer)
    guarded(guard, 250)
    assert guard.state_dict()["snapshots"] == []
    with torch.no_grad():
        model[0].weight[0] *= 1e8
    guarded(guard, 1)  # left out: as yet it may be the batch
    saved = everything(model, optimizer, guard)
    twin = network(1)
    other = adamw(twin)
    resumed = Guard(twin, other)
    for thing, state in zip((twin, other, resumed), saved, strict=True):
        thing.load_state_dict(state)
    guarded(resumed, 60)
    assert [event.action for event in resumed.history] == ["skip", "back"]
    assert resumed.history[1].undone < 20
    assert final(twin) < 1.2


def test_without_a_state_to_go_back_to_it_says_so():
    model = network()
    guard = Guard(model, adamw(model), every=10**9)
    guarded(guard, 30)
    guard._snapshots.restart(10**9)
    with torch.no_grad():
        model[0].weight[0, 0] = math.nan
    with pytest.raises(Diverged, match=r"nothing was put back.* Model and optimizer are as they were\."):
        guarded(guard, 30)
    assert "rolled back" not in guard.explain()
