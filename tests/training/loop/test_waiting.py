"""How often an update waits for the device, and that judging there changes nothing.

The device is the CPU, treated as one that works on while the host does.
"""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from training.guard.guard_runs import adamw, batches, everything, network, same, sgd

from surefoot.rules import Watch
from surefoot.training import Guard, Pilot
from surefoot.training.loop import _reading
from surefoot.training.loop._updates import Updates

READS = {
    "item",
    "tolist",
    "__bool__",
    "__float__",
    "__int__",
    "__index__",
    "numpy",
    "cpu",
    "nonzero",
    "__array__",
    "equal",
}


class Reads(TorchFunctionMode):
    """Counts what would wait for the device: reading a tensor that was computed since it was entered.

    What was computed before, in the last update, is there by now or about to be.
    """

    def __init__(self):
        super().__init__()
        self.count = 0
        self._work = Work()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        self.count += name in READS and isinstance(args[0], torch.Tensor) and self._work.made(args[0])
        return function(*args, **(kwargs or {}))

    def __enter__(self):
        self._work.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._work.__exit__(*error)


class Work(TorchDispatchMode):
    """Remembers what is computed, and keeps it, so that no memory is used twice."""

    def __init__(self):
        super().__init__()
        self._kept = {}

    def made(self, tensor):
        return tensor.untyped_storage().data_ptr() in self._kept

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for one in found if isinstance(found, tuple | list) else [found]:
            if isinstance(one, torch.Tensor):
                self._kept[one.untyped_storage().data_ptr()] = one
        return found


@pytest.fixture(autouse=True)
def cpu_ahead(monkeypatch):
    monkeypatch.setattr(_reading, "AHEAD", ("cpu",))


def fused_adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)


def fused_sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, fused=True)


def fused_adagrad(model):
    return torch.optim.Adagrad(model.parameters(), lr=0.03, fused=True)


def normalised():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 4))


def count(guard, steps, every, accumulate=1):
    """The most reads in an update that keeps no snapshot, and reads in all."""
    most = total = 0
    for k, (x, y) in enumerate(batches(steps)):
        reads = Reads()
        with reads:
            guard.step(lambda x=x, y=y: cross_entropy(guard.model(x), y))
        total += reads.count
        update = k // accumulate
        if update >= 10 and update % every:
            most = max(most, reads.count)
    return most, total


def test_the_counter_counts():
    old = torch.ones(())
    for read in (lambda x: x.item(), lambda x: x.tolist(), bool, float, lambda x: torch.equal(x, x)):
        reads = Reads()
        with reads:
            new = old + 1
            read(old)
            assert reads.count == 0
            read(new)
        assert reads.count == 1


@pytest.mark.parametrize("options", [{}, {"clip": 1.0}, {"accumulate": 2}], ids=str)
@pytest.mark.parametrize("build", [network, normalised])
@pytest.mark.parametrize("make", [fused_adamw, fused_sgd, fused_adagrad])
def test_no_ordinary_update_waits_for_the_device(make, build, options):
    model = build()
    optimizer = make(model)
    if make is fused_adagrad and not getattr(optimizer, "_step_supports_amp_scaling", False):
        pytest.skip("this PyTorch cannot leave out an update of this optimizer on the device")
    guard = Guard(model, optimizer, every=20, **options)
    most, total = count(guard, 100, 20, options.get("accumulate", 1))
    assert most == 0
    assert total > 0  # the first ones, and those that keep a snapshot


def test_where_the_optimizer_cannot_be_masked_an_update_reads_once():
    for build in (network, normalised):
        model = build()
        assert count(Guard(model, sgd(model), every=20), 60, 20)[0] == 1
    model = network()
    pilot = Pilot(model, fused_sgd(model), "constant:0.1", every=20)
    assert count(pilot, 60, 20)[0] == 1


@pytest.mark.parametrize("make", [fused_adamw, fused_sgd, fused_adagrad])
def test_judged_on_the_device_the_run_is_bitwise_the_plain_one(make):
    kept, plain = normalised(), normalised()
    optimizers = make(kept), make(plain)
    torch.manual_seed(1)
    guard = Guard(kept, optimizers[0])
    for x, y in batches(200):
        guard.step(lambda x=x, y=y: cross_entropy(kept(x), y))
    torch.manual_seed(1)
    for x, y in batches(200):
        optimizers[1].zero_grad()
        cross_entropy(plain(x), y).backward()
        optimizers[1].step()
    assert guard.history == []
    assert same(everything(kept, optimizers[0]), everything(plain, optimizers[1]))


BAD = {
    "NaN": lambda x: torch.full_like(x, math.nan),
    "Inf": lambda x: torch.full_like(x, math.inf),
    "a spike": lambda x: 1e4 * x,
    "a spike in the buffers": lambda x: x + 1e3,
    "a loss of minus infinity": lambda x: x,  # with gradients like any other's
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("make", [fused_adamw, fused_sgd, fused_adagrad])
def test_the_device_leaves_out_what_the_host_would(make, bad, monkeypatch):
    """To the bit, also two in a row, and with a batch on which the host has to read at once."""

    def run():
        model = normalised()
        optimizer = make(model)
        guard = Guard(model, optimizer, every=20)
        for k, (x, y) in enumerate(batches(140)):
            off = 0.0
            if k in (33, 60, 77, 78):
                x, off = BAD[bad](x), -math.inf if "minus" in bad else 0.0
            guard.step(lambda x=x, y=y, off=off: cross_entropy(model(x), y) + off)
        return everything(model, optimizer), guard.history

    state, history = run()
    monkeypatch.setattr(Updates, "_may_wait", lambda self: False)
    at_once, told = run()
    assert [(e.step, e.action, e.kind, e.reason, e.recovered) for e in history] == [
        (e.step, e.action, e.kind, e.reason, e.recovered) for e in told
    ]
    assert {33, 60, 77} <= {event.step for event in history}
    assert same(state, at_once)


def test_a_broken_state_is_found_one_update_later_and_put_back():
    model = network()
    optimizer = fused_adamw(model)
    guard = Guard(model, optimizer, every=10)
    for k, (x, y) in enumerate(batches(120)):
        if k == 75:
            with torch.no_grad():
                model[2].weight[0, 0] = math.nan
        guard.step(lambda x=x, y=y: cross_entropy(model(x), y))
    (event,) = guard.history
    assert (event.step, event.action, event.kind) == (75, "back", "broken state")
    assert all(bool(p.isfinite().all()) for p in model.parameters())


def test_the_last_batch_counts_too():
    """Whoever asks is told, though no update has followed."""
    model = network()
    guard = Guard(model, fused_adamw(model))
    for k, (x, y) in enumerate(batches(76)):
        x = torch.full_like(x, math.nan) if k == 75 else x
        guard.step(lambda x=x, y=y: cross_entropy(model(x), y))
    assert "batch left out" in guard.explain()
    assert guard.updates == 76


def test_a_state_taken_in_between_goes_on_bit_for_bit():
    def run(split):
        model = network()
        optimizer = fused_sgd(model)
        guard = Guard(model, optimizer)
        for k, (x, y) in enumerate(batches(120)):
            if k == split:
                saved = everything(model, optimizer, guard)
                model = network(1)
                optimizer = fused_sgd(model)
                guard = Guard(model, optimizer)
                for thing, state in zip((model, optimizer, guard), saved, strict=True):
                    thing.load_state_dict(state)
            x = torch.full_like(x, math.nan) if k == 64 else x
            guard.step(lambda x=x, y=y, model=model: cross_entropy(model(x), y))
        return everything(model, optimizer), guard.explain()

    whole, said = run(None)
    for split in (64, 65, 66, 83):
        again, also = run(split)
        assert same(whole, again)
        assert also == said


def test_calm_is_where_the_next_batch_can_only_be_taken_or_left_out():
    watch = Watch(patience=3)
    state = watch.init()
    assert not watch.calm(state)
    model = network()
    guard = Guard(model, adamw(model), rule=watch)
    for x, y in batches(30):
        guard.step(lambda x=x, y=y: cross_entropy(model(x), y))

    state = guard.state_dict()["watch"]
    state = watch.load(state)
    assert watch.calm(state)
    for change in ({"rescues": 1}, {"left_out": 1}, {"constant": 1}, {"lost": 2}, {"still": 2}):
        assert not watch.calm(replace(state, **change))
    assert watch.calm(replace(state, lost=1, still=1))
