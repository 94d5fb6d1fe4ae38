"""What people bring to a training run: odd losses, odd closures, odd optimizers, changed models, damaged files."""

import copy
import math
import os
import time

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from training.guard.guard_runs import X, Y, adamw, batches, everything, final, guarded, network, plain, same, sgd

from surefoot.errors import InvalidInput, InvalidType
from surefoot.rules import Armijo, BarzilaiBorwein
from surefoot.training import Guard, Pilot
from surefoot.training.loop import _storage as storage


def fly(pilot, closure, steps):
    for _ in range(steps):
        value = pilot.step(closure)
    return value


# Losses.


def test_where_nothing_is_left_to_gain_the_rate_is_held():
    torch.manual_seed(0)
    x = torch.cat([torch.randn(50, 2) + 6, torch.randn(50, 2) - 6])
    y = torch.arange(100) // 50
    model = nn.Linear(2, 2)
    pilot = Pilot(model, torch.optim.SGD(model.parameters(), lr=0.1), total_steps=300)
    assert fly(pilot, lambda: cross_entropy(model(100 * x), y), 300) == 0
    assert not any("trying" in m.event for m in pilot.history[61:])
    line = nn.Linear(1, 1).double()
    z = torch.linspace(-1, 1, 32, dtype=torch.float64)[:, None]
    pilot = Pilot(line, torch.optim.SGD(line.parameters(), lr=0.1), total_steps=400)
    assert fly(pilot, lambda: mse_loss(line(z), 2 * z), 400) < 1e-12


def test_a_loss_without_a_minimum_is_said():
    model = nn.Linear(3, 2)
    pilot = Pilot(model, torch.optim.SGD(model.parameters(), lr=0.1), total_steps=100)
    with pytest.raises(InvalidInput, match=r"curvature is 0 and the loss falls without end.*check its sign"):
        pilot.step(lambda: model(torch.ones(4, 3)).sum())


def test_a_loss_in_bfloat16_is_trained_on():
    model = network()
    pilot = Pilot(model, sgd(model), total_steps=200)
    for x, y in batches(200):
        pilot.step(lambda x=x, y=y: cross_entropy(model(x), y).bfloat16())
    assert final(model) < 0.7
    assert not any("left out" in moment.event for moment in pilot.history)


def test_raw_targets_of_any_size_are_reached():
    torch.manual_seed(0)
    x = torch.randn(256, 4)
    y = 2e5 + 1e4 * x.sum(1, keepdim=True)
    model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    pilot = Pilot(model, torch.optim.Adam(model.parameters(), lr=1e-3), total_steps=400)
    first = pilot.step(lambda: mse_loss(model(x), y))
    assert fly(pilot, lambda: mse_loss(model(x), y), 399) < 1e-2 * first


# Closures.


def test_weights_make_micro_batches_of_unequal_size_one_mean():
    model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(model.weight)
    guard = Guard(model, torch.optim.SGD(model.parameters(), lr=0.5), accumulate=2)
    for target, size in ((1.0, 8), (-1.0, 2)):
        ones = torch.ones(size, 1, dtype=torch.float64)
        guard.step(lambda o=ones, t=target: mse_loss(model(o), t * o), weight=size)
    assert model.weight.item() == pytest.approx(0.6, rel=1e-12)
    with pytest.raises(InvalidInput, match="weight must be positive"):
        guard.step(lambda: model.weight.sum(), weight=0)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda loss: loss.detach(), InvalidInput, "detached"),
        (lambda loss: loss.detach().long(), InvalidType, "floating-point"),
        (lambda loss: loss * (1 + 0j), InvalidType, "floating-point"),
        (lambda loss: loss.repeat(2), InvalidType, r"shape \(2,\)"),
        (lambda loss: loss.item(), InvalidType, "a float"),
        (lambda loss: (loss.backward(), loss)[1], InvalidInput, "backward itself"),
    ],
)
def test_slips_of_the_closure_are_named_and_leave_no_trace(make, error, says):
    model = network()
    guard = Guard(model, adamw(model))
    guarded(guard, 5)
    before = everything(model, guard.optimizers[0])
    with pytest.raises(error, match=says):
        guard.step(lambda: make(cross_entropy(model(X[:32]), Y[:32])))
    assert same(before, everything(model, guard.optimizers[0]))
    assert all(p.grad is None for p in model.parameters())


def test_sparse_gradients_under_a_pilot():
    torch.manual_seed(0)
    model = nn.Sequential(nn.EmbeddingBag(20, 8, sparse=True), nn.Linear(8, 4))
    pilot = Pilot(model, torch.optim.SGD(model.parameters(), lr=0.1), total_steps=60)
    ids, y = torch.randint(0, 20, (64, 5)), torch.randint(0, 4, (64,))
    first = pilot.step(lambda: cross_entropy(model(ids), y))
    assert fly(pilot, lambda: cross_entropy(model(ids), y), 59) < first


# Rules that search may drive: on full batches they are what they are on a problem.


@pytest.mark.parametrize("rule", [BarzilaiBorwein(), Armijo()], ids=["Barzilai-Borwein", "Armijo"])
def test_a_search_drives_a_loop(rule):
    torch.manual_seed(0)
    x = torch.randn(64, 3, dtype=torch.float64)
    model = nn.Linear(3, 1, dtype=torch.float64)
    pilot = Pilot(model, torch.optim.SGD(model.parameters(), lr=1.0), rule=rule)
    assert fly(pilot, lambda: mse_loss(model(x), x.sum(1, keepdim=True) + 1), 60) < 1e-8


# Optimizers.


class Wrapped(torch.optim.Optimizer):
    """As Accelerate does: an Optimizer by its class, without an Optimizer's inside."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    @property
    def param_groups(self):
        return self.optimizer.param_groups

    @property
    def state(self):
        return self.optimizer.state

    def step(self, closure=None):
        self.optimizer.step(closure)

    def zero_grad(self, set_to_none=None):
        self.optimizer.zero_grad()


def test_a_wrapped_optimizer_is_unwrapped():
    model = network()
    guard = Guard(model, Wrapped(adamw(model)))

    def before(k):
        if k == 40:
            with torch.no_grad():
                model[0].weight[0, 0] = math.nan

    guarded(guard, 80, before=before)
    assert [event.action for event in guard.history] == ["back"]
    assert math.isfinite(final(model))


class Counting(torch.optim.SGD):
    """Does something of its own where gradients are forgotten, as those do that hold them in one buffer."""

    zeroed = 0

    def zero_grad(self, set_to_none=True):
        self.zeroed += 1
        super().zero_grad(set_to_none)


def test_an_optimizers_own_zero_grad_is_called_at_each_update():
    model = network()
    optimizer = Counting(model.parameters(), lr=0.1)
    guarded(Guard(model, optimizer), 30)
    assert optimizer.zeroed == 30


class Prodigy(torch.optim.SGD):
    """By name and groups one of those that find their own rate."""


def test_an_optimizer_that_finds_its_own_rate_keeps_it():
    model = network()
    pilot = Pilot(model, Prodigy(model.parameters(), lr=0.1), total_steps=50)
    for x, y in batches(50):
        pilot.step(lambda x=x, y=y: cross_entropy(model(x), y))
    assert {m.rate for m in pilot.history[:39]} == {0.1}
    assert "Prodigy finds a rate of its own" in pilot.explain()


# Models that change.


def unfreeze(model, optimizer):
    optimizer.add_param_group({"params": model[0].parameters(), "lr": 1e-3})


def double(model, optimizer):
    model.double()
    optimizer.state.clear()


@pytest.mark.parametrize("driver", [Guard, Pilot])
@pytest.mark.parametrize("change", [unfreeze, double])
def test_a_structure_that_changes_makes_snapshots_void_and_the_run_goes_on(driver, change):
    model = network()
    optimizer = torch.optim.AdamW(model[2:].parameters(), lr=1e-2)
    loop = driver(model, optimizer)
    data = list(batches(260))

    def go(first, last):
        for x, y in data[first:last]:
            x = x.to(model[0].weight.dtype)
            loop.step(lambda x=x, y=y: cross_entropy(model(x), y))

    go(0, 150)
    change(model, optimizer)
    go(150, 180)
    with torch.no_grad():
        model[0].weight[0, 0] = math.nan
    go(180, 260)
    assert [event.kind for event in loop.events] == ["structure", "broken state"]
    assert loop.events[-1].undone <= 20
    assert final(model.float()) < 1.2


# Files.


def saved_run(folder, seed, steps):
    model = network(seed)
    guard = Guard(model, adamw(model), keep=folder, every=5)
    guarded(guard, steps)
    return model, guard


def test_two_runs_in_one_folder_are_told_apart(tmp_path):
    saved_run(tmp_path, 0, 30)
    model, _ = saved_run(tmp_path, 1, 12)
    names = {saved.run: saved.step for saved in storage.saved_in(tmp_path)}
    twin = network(2)
    guard = Guard(twin, adamw(twin), keep=tmp_path)
    before = everything(twin, guard.optimizers[0])
    with pytest.raises(InvalidInput, match="snapshots of 2 runs"):
        guard.recover()
    assert same(before, everything(twin, guard.optimizers[0]))
    short = min(names, key=lambda name: names[name])
    assert guard.recover(run=short) == 10
    for x, y in list(batches(12))[10:]:
        guard.step(lambda x=x, y=y: cross_entropy(twin(x), y))
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), twin.parameters(), strict=True))


@pytest.mark.parametrize(
    "other",
    [
        lambda: nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1), nn.ReLU(), nn.Linear(1, 4)),
        lambda: network().double(),
    ],
)
def test_the_snapshot_of_another_model_is_refused_with_nothing_touched(other, tmp_path):
    saved_run(tmp_path, 0, 12)
    model = other()
    guard = Guard(model, adamw(model), keep=tmp_path)
    before = everything(model, guard.optimizers[0])
    with pytest.raises(InvalidInput, match="another model or optimizer"):
        guard.recover()
    assert same(before, everything(model, guard.optimizers[0]))
    model = network()
    with pytest.raises(InvalidInput, match="another model or optimizer"):
        Guard(model, sgd(model), keep=tmp_path).recover()


def test_a_file_that_is_not_what_was_written_is_none(tmp_path):
    saved_run(tmp_path, 0, 12)
    older, newest = storage.saved_in(tmp_path)
    whole = newest.path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    for place in torch.randint(0, len(whole), (12,), generator=generator).tolist():
        newest.path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        assert newest.read() is None
    newest.path.write_bytes(b"random bytes")
    model = network()
    assert Guard(model, adamw(model), keep=tmp_path).recover() == older.step


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    model = network()
    guard = Guard(model, adamw(model), keep=tmp_path)
    guarded(guard, 20)
    run = storage.saved_in(tmp_path)[-1].run
    own, others, old = (tmp_path / f"{name}.5.7.part" for name in (run, "other", "older"))
    for path in (own, others, old):
        path.write_bytes(b"half")
    for path, age in ((others, 3500), (old, 3700)):
        os.utime(path, (time.time() - age,) * 2)
    again = Guard(model, adamw(model), keep=tmp_path)
    # another run may be writing it at this moment; in an hour nothing was added
    assert set(tmp_path.glob("*.part")) == {own, others}
    again.recover()
    assert list(tmp_path.glob("*.part")) == [others]


def test_memory_that_is_short_costs_the_snapshot_and_not_the_run(monkeypatch):
    model = network()
    guard = Guard(model, adamw(model))
    guarded(guard, 20)

    def short(*_args, **_kwargs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1000 bytes")

    monkeypatch.setattr(type(guard._snapshots.subject), "capture_if_sound", short)
    guarded(guard, 30)
    assert [event.kind for event in guard.history] == ["snapshot"]
    assert "memory" in guard.explain()


def test_a_snapshot_that_is_finite_and_poisoned_is_gone_back_behind():
    model = network()
    optimizer = adamw(model)
    guard = Guard(model, optimizer, every=10)

    def before(k):
        if k == 249:  # just before the one of 250
            for state in optimizer.state.values():
                state["exp_avg_sq"].mul_(-1)

    guarded(guard, 300, before=before)
    assert 1 <= sum(event.action == "back" for event in guard.history) <= 3
    assert all(state["exp_avg_sq"].min() >= 0 for state in optimizer.state.values())
    assert final(model) < 1.2


# States.


@pytest.mark.parametrize("at", [12, 60])
def test_a_state_that_was_tampered_with_changes_nothing(at):
    def start():
        model = network()
        return model, Pilot(model, adamw(model), total_steps=200)

    model, pilot = start()
    for x, y in list(batches(200))[:at]:
        pilot.step(lambda x=x, y=y: cross_entropy(model(x), y))
    data = pilot.state_dict()
    twin, other = start()
    for x, y in list(batches(200))[:5]:
        other.step(lambda x=x, y=y: cross_entropy(twin(x), y))
    before = copy.deepcopy([twin.state_dict(), other.state_dict()])
    refused = 0
    for name in data:
        for value in ({}, None, "x", 3, [1], {"a": 1}):
            tampered = {**data, name: value}
            try:
                other.load_state_dict(tampered)
            except InvalidInput:
                refused += 1
                assert same(before, [twin.state_dict(), other.state_dict()]), (name, value)
            else:
                other.load_state_dict(before[1])
                twin.load_state_dict(before[0])
        missing = {key: entry for key, entry in data.items() if key != name}
        with pytest.raises(InvalidInput):
            other.load_state_dict(missing)
    assert refused > 50
    large = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    with pytest.raises(InvalidInput, match="another model"):
        Pilot(large, adamw(large), total_steps=200).load_state_dict(data)


def test_a_checkpoint_does_not_grow_with_the_run():
    model = nn.Linear(8, 4)
    pilot = Pilot(model, torch.optim.SGD(model.parameters(), lr=0.1), rule="constant:0.01")
    sizes = []
    for k in range(3000):
        pilot.step(lambda k=k: cross_entropy(model(X[k % 400 : k % 400 + 32]), Y[k % 400 : k % 400 + 32]))
        if k in (999, 2999):
            sizes.append(len(repr(pilot.state_dict())))
    assert sizes[1] < 1e5
    assert sizes[1] < 1.1 * sizes[0]
    assert len(pilot.history) == 3000


# Buffers.


def test_a_batch_that_only_the_running_statistics_notice_is_left_out():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
    guard = Guard(model, adamw(model, 1e-2))
    guarded(guard, 300, corrupt=lambda k, x: 1e4 * x if k == 250 else x)
    assert [(event.step, event.action) for event in guard.history] == [(250, "skip")]
    assert final(model.eval()) < 1


def test_the_plain_run_with_normalisation_is_left_alone():
    def net():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))

    one, other = net(), net()
    a, b = adamw(one), adamw(other)
    plain(one, a, 300)
    guard = Guard(other, b)
    guarded(guard, 300)
    assert not guard.history
    assert same(everything(one, a), everything(other, b))


@pytest.mark.parametrize("make", [Guard, lambda m, o: Pilot(m, o, total_steps=50)], ids=["guard", "pilot"])
def test_a_loss_that_is_to_rise_is_refused(make):
    model = network()
    with pytest.raises(InvalidInput, match="maximize=True; minimise the negative loss"):
        make(model, torch.optim.SGD(model.parameters(), lr=0.1, maximize=True))


@pytest.mark.parametrize("unit", [1e-30, 1e-9, 1e9, 1e30])
def test_the_unit_of_the_loss_is_of_no_account(unit):
    """Squares leave single precision; updates at a rate of 1 are lost in the parameters, or far beyond them."""

    def run(unit):
        ends = []
        for make in (Guard, lambda m, o: Pilot(m, o, total_steps=120)):
            model = network()
            driver = make(model, torch.optim.SGD(model.parameters(), lr=0.1 / unit, momentum=0.9))
            for x, y in batches(120):
                driver.step(lambda x=x, y=y, model=model: unit * cross_entropy(model(x), y))
            assert driver.events == []
            ends.append(final(model))
        return ends

    assert run(unit) == pytest.approx(run(1.0), rel=1e-3)


def test_a_loss_whose_graph_is_used_up_is_refused():
    model = torch.nn.Linear(2, 1)
    loss = model(torch.ones(4, 2)).square().mean()
    loss.backward()
    model.zero_grad()
    with pytest.raises(InvalidInput, match="no graph to go backward through any more"):
        Guard(model, torch.optim.SGD(model.parameters(), lr=0.1)).step(lambda: loss)
