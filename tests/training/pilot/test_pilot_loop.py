"""A pilot in other people's loops: under a constant rule it is the plain loop, and auto trains in all of them."""

import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, StepLR

from surefoot.training import Pilot

RATE, STEPS = 0.05, 40
ADAMW = {"weight_decay": 0.1, "betas": (0.8, 0.95)}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def batches(size=32):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(512, 6, generator=generator)
    y = (x @ torch.randn(6, 3, generator=generator)).argmax(1)
    return lambda k: (x[i := torch.arange(size * k, size * (k + 1)) % 512], y[i])


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=RATE, momentum=0.9, weight_decay=1e-3)


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=RATE, **ADAMW)


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def plain(make, *, steps=STEPS, before=None, scheduler=None):
    """The loop without a pilot."""
    model, batch = network(), batches()
    optimizer = make(model.parameters())
    schedule = None if scheduler is None else scheduler(optimizer)
    for k in range(steps):
        optimizer.zero_grad()
        loss(model, batch(k)).backward()
        if before is not None:
            before(model)
        optimizer.step()
        if schedule is not None:
            schedule.step()
    return model


def piloted(make, *, steps=STEPS, rule=f"constant:{RATE}", total=STEPS, scheduler=None, **settings):
    model, batch = network(), batches()
    optimizer = make(model.parameters())
    schedule = None if scheduler is None else scheduler(optimizer)
    pilot = Pilot(model, optimizer, rule=rule, total_steps=total, scheduler=schedule, **settings)
    for k in range(steps):
        pilot.step(lambda k=k: loss(model, batch(k)))
        if schedule is not None:
            schedule.step()
    return model, pilot


def same(model, other, tolerance=0.0):
    for (name, value), found in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(found, value, rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.parametrize("make", [sgd, adamw])
def test_a_constant_rate_is_the_plain_loop_bit_for_bit(make):
    """Weight decay, momentum, and the running statistics of batch normalisation included."""
    model, pilot = piloted(make)
    same(plain(make), model)
    assert [moment.rate for moment in pilot.history] == [RATE] * STEPS


@pytest.mark.parametrize("make", [sgd, adamw])
def test_a_torch_scheduler_multiplies(make):
    def halving(optimizer):
        return StepLR(optimizer, 10, 0.5)

    model, pilot = piloted(make, scheduler=halving)
    same(plain(make, scheduler=halving), model, 1e-6)
    assert pilot.optimizers[0].param_groups[0]["lr"] == RATE * 0.5 ** (STEPS // 10)


def test_a_scheduler_that_is_not_named_replaces_nothing_and_is_followed():
    """One that multiplies the present rate is taken up as a change of the group's weight."""
    model, batch = network(), batches()
    optimizer = sgd(model.parameters())
    pilot = Pilot(model, optimizer, rule=f"constant:{RATE}", total_steps=STEPS)
    rates = []
    for k in range(STEPS):
        pilot.step(lambda k=k: loss(model, batch(k)))
        rates.append(optimizer.param_groups[0]["lr"])
        if k % 10 == 9:
            optimizer.param_groups[0]["lr"] *= 0.5
    assert rates == pytest.approx([RATE * 0.5 ** (k // 10) for k in range(STEPS)])


@pytest.mark.parametrize("rule", ["auto", "along-step", "cosine:0.05"])
def test_ratios_between_groups_are_kept(rule):
    model, batch = network(), batches()
    first, last = {"params": model[0].parameters(), "lr": 0.01}, {"params": model[3].parameters(), "lr": 0.03}
    optimizer = torch.optim.AdamW([first, last])
    pilot = Pilot(model, optimizer, rule=rule, total_steps=STEPS)
    for k in range(STEPS):
        pilot.step(lambda k=k: loss(model, batch(k)))
        a, b = (group["lr"] for group in optimizer.param_groups)
        assert b == pytest.approx(3 * a)


def test_accumulation_is_the_large_batch():
    model, large = nn.Linear(6, 3), nn.Linear(6, 3)
    large.load_state_dict(model.state_dict())
    small_batches, large_batches = batches(8), batches(32)
    pilot = Pilot(model, sgd(model.parameters()), rule=f"constant:{RATE}", total_steps=80, accumulate=4)
    for k in range(80):
        pilot.step(lambda k=k: loss(model, small_batches(k)))
    optimizer = sgd(large.parameters())
    for k in range(20):
        optimizer.zero_grad()
        loss(large, large_batches(k)).backward()
        optimizer.step()
    same(large, model, 1e-5)
    assert len(pilot.history) == 20


def test_clipping_is_torchs():
    model, _ = piloted(sgd, clip=0.3)
    same(plain(sgd, before=lambda model: nn.utils.clip_grad_norm_(model.parameters(), 0.3)), model, 1e-6)
    free = plain(sgd)
    assert not torch.allclose(free[0].weight, model[0].weight, atol=1e-4), "the clip must do something"


def test_a_grad_scaler_changes_nothing_and_its_overflow_is_left_out():
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=10**6)
    model, _ = piloted(sgd, scaler=scaler)
    same(plain(sgd), model, 1e-5)
    model, batch = network(), batches()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=10**6)
    pilot = Pilot(model, sgd(model.parameters()), rule=f"constant:{RATE}", total_steps=STEPS, scaler=scaler)
    for k in range(20):
        before = model[0].weight.detach().clone()
        broken = math.inf if k == 12 else 1.0
        pilot.step(lambda k=k, broken=broken: loss(model, batch(k)) * broken)
        moved = not torch.equal(before, model[0].weight)
        assert moved == (k != 12)
    assert all(p.isfinite().all() for p in model.parameters())
    assert [m.step for m in pilot.history if m.rate == 0] == [12]


AUTO = {
    "plain": {},
    "clipped": {"clip": 1.0},
    "scaled": {"scaler": lambda: torch.amp.GradScaler("cpu", init_scale=2.0**8)},
    "scheduled": {"scheduler": lambda optimizer: LambdaLR(optimizer, lambda k: 1.0)},
    "accumulated": {"accumulate": 2},
}


@pytest.mark.parametrize("make", [sgd, adamw])
@pytest.mark.parametrize("kind", AUTO)
def test_auto_trains_in_all_of_them(kind, make):
    settings = dict(AUTO[kind])
    if "scaler" in settings:
        settings["scaler"] = settings["scaler"]()
    model, pilot = piloted(make, rule="auto", steps=160, total=160, **settings)
    batch = batches(512)(0)
    start = loss(network().eval(), batch)
    assert loss(model.eval(), batch) < 0.4 * start, pilot.explain()


@pytest.mark.parametrize("rule", ["along-step", "sharpness", "bb"])
def test_a_parameter_that_the_loss_does_not_use_changes_nothing(rule):
    runs = []
    for unused in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(2, 1, dtype=torch.float64)
        if unused:
            model.register_parameter("unused", nn.Parameter(torch.zeros(3, dtype=torch.float64)))
        pilot = Pilot(model, torch.optim.SGD(model.parameters(), lr=0.1), rule, total_steps=8)
        x = torch.eye(2, dtype=torch.float64)
        for _ in range(8):
            pilot.step(lambda model=model, x=x: (model(x) - 1).square().mean())
        runs.append([moment.rate for moment in pilot.history])
    assert runs[0] == pytest.approx(runs[1], nan_ok=True)
