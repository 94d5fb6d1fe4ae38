"""Each fault in turn: training goes on or stops with a diagnosis, and nothing good is lost."""

import math
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from torch.nn import functional
from training.guard_runs import (
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

from surefoot.training import Diverged, Guard
from surefoot.training import _guard_shelf as shelves

MAKERS = {"AdamW": adamw, "SGD": sgd, "schedule-free": lambda m: AveragedSGD(m.parameters(), lr=0.5)}
AT = 300


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
    guarded(guard, 50)
    good = everything(model, guard.optimizers[0])

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
    assert optimizer.state[model[0].weight]["step"] == 30  # the last snapshot but one: a return to it was tried first
    assert good[1]["state"][0]["step"] == 50


def test_a_full_disk_costs_the_snapshot_and_not_the_run(tmp_path, monkeypatch):
    model = network()
    guard = Guard(model, adamw(model), keep=tmp_path)
    full = []

    def save(*args):
        if full:
            raise RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing file")
        return real(*args)

    real = shelves.torch.save
    monkeypatch.setattr(shelves.torch, "save", save)
    guarded(guard, 50)
    kept = shelves.latest(tmp_path).step
    full.append(True)
    guarded(guard, 50)
    assert [event.kind for event in guard.history] == ["snapshot"]
    assert "No space" in guard.explain() or "could not be written" in guard.explain()
    assert shelves.latest(tmp_path).step == kept
    assert not list(tmp_path.glob("*.part"))
    with torch.no_grad():
        model[0].weight.fill_(math.nan)
    guarded(guard, 50)
    assert torch.isfinite(model[0].weight).all()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_really_full_device_is_an_oserror(tmp_path, monkeypatch):
    target = tmp_path / "snapshot-0.pt"
    (tmp_path / f"snapshot-0.pt.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left|could not be written"):
        shelves.write_atomically({"x": torch.zeros(1 << 16)}, target)
    assert not target.exists()


KILLED = """
    import sys, torch
    from pathlib import Path
    from surefoot.training import Guard
    model = torch.nn.Linear(300, 300)
    guard = Guard(model, torch.optim.AdamW(model.parameters()), keep=Path(sys.argv[1]), every=1)
    x = torch.randn(4, 300)
    while True:
        guard.step(lambda: model(x).square().mean())
        print(guard.updates, flush=True)
"""


@pytest.mark.slow
def test_killed_while_a_snapshot_is_written(tmp_path):
    for delay in (0.0, 0.004):
        command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        seen = 0
        while seen < 20:
            seen = int(process.stdout.readline())
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        seen = max([seen, *(int(line) for line in process.communicate()[0].split())])
        found = shelves.latest(tmp_path)
        assert found is not None
        assert found.sound
        assert seen - 2 <= found.step <= seen + 1
        for path in tmp_path.glob("*.part"):
            path.unlink()


RANKS = """
    import math, sys, torch, torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel
    from surefoot.training import Guard
    rank, where = int(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method="file://" + where, rank=rank, world_size=2)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    parallel = DistributedDataParallel(model)
    guard = Guard(parallel, optimizer)
    torch.manual_seed(rank)
    for k in range(60):
        x = torch.randn(16, 8)
        if rank == 1 and k == 30:
            x.fill_(math.nan)
        if rank == 1 and k == 45:
            with torch.no_grad():
                model[0].weight[0, 0] = math.nan
        guard.step(lambda: (parallel(x) - x[:, :1]).square().mean())
    print([(e.step, e.action, e.kind, e.undone) for e in guard.history],
          sum(p.double().sum().item() for p in model.parameters()))
    dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_ranks_decide_alike(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(RANKS)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    ranks = [subprocess.Popen([*command, str(rank), str(tmp_path / "meet")], **pipes) for rank in (0, 1)]
    said = [rank.communicate(timeout=60) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], said
    assert said[0][0] == said[1][0]
    assert "(30, 'skip', 'broken loss', 0)" in said[0][0]
    assert "'back', 'broken state'" in said[0][0]
    assert "nan" not in said[0][0]
