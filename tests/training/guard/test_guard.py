"""The guard where nothing is wrong: bitwise absent, in every loop that people have."""

import importlib.util
import io
import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional
from training.guard.guard_runs import (
    AveragedSGD,
    adamw,
    batches,
    cosine,
    everything,
    final,
    guarded,
    network,
    plain,
    same,
    sgd,
)

from surefoot.errors import InvalidInput, InvalidType
from surefoot.training import Event, Guard
from surefoot.training.loop import _sensors

OPTIMIZERS = {
    "SGD": sgd,
    "Nesterov": lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9, nesterov=True),
    "AdamW": adamw,
    "AMSGrad": lambda m: torch.optim.Adam(m.parameters(), amsgrad=True),
    "RMSprop": lambda m: torch.optim.RMSprop(m.parameters(), momentum=0.9),
    "tensor rate": lambda m: torch.optim.AdamW(m.parameters(), lr=torch.tensor(3e-3)),
    "groups": lambda m: torch.optim.AdamW(
        [{"params": m[0].parameters()}, {"params": [*m[2].parameters(), *m[4].parameters()], "lr": 1e-2}]
    ),
    "schedule-free": lambda m: AveragedSGD(m.parameters()),
}


# Those that each conformance check is held with; the package itself where it is installed.
HELD = {name: OPTIMIZERS[name] for name in ("AdamW", "SGD", "schedule-free")}
if importlib.util.find_spec("schedulefree"):

    def _schedule_free(model):
        import schedulefree

        optimizer = schedulefree.AdamWScheduleFree(model.parameters(), lr=3e-3)
        optimizer.train()
        return optimizer

    HELD["schedulefree"] = OPTIMIZERS["schedulefree"] = _schedule_free


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_run_is_bitwise_the_unguarded_one(make):
    one, other = network(), network()
    a, b = make(one), make(other)
    schedules = cosine(a), cosine(b)
    plain(one, a, 120, schedules[0])
    guard = Guard(other, b, scheduler=schedules[1])
    guarded(guard, 120, schedules[1])
    assert not guard.history
    assert guard.cost.snapshots >= 10
    assert same(everything(one, a), everything(other, b))


def test_with_clipping_dropout_and_normalisation_too():
    def net():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4))

    one, other = net(), net()
    a, b = adamw(one), adamw(other)
    torch.manual_seed(3)
    for x, y in batches(60):
        a.zero_grad()
        functional.cross_entropy(one(x), y).backward()
        nn.utils.clip_grad_norm_(one.parameters(), 0.1)
        a.step()
    torch.manual_seed(3)
    guard = Guard(other, b, clip=0.1, random_states=True)
    guarded(guard, 60)
    assert same(everything(one, a), everything(other, b))


def test_accumulation_is_that_of_the_plain_loop():
    one, other = network(), network()
    a, b = adamw(one), adamw(other)
    for k, (x, y) in enumerate(batches(80)):
        (functional.cross_entropy(one(x), y) / 4).backward()
        if k % 4 == 3:
            a.step()
            a.zero_grad()
    guard = Guard(other, b, accumulate=4)
    guarded(guard, 80)
    assert guard.updates == 20
    assert same(everything(one, a), everything(other, b))


@pytest.mark.parametrize("make", HELD.values(), ids=HELD)
def test_a_gradient_scaler_with_its_overflows_is_left_alone(make):
    def run(net, step):
        now = [0]
        net[0].weight.register_hook(lambda g: g * math.inf if now[0] == 20 else g)
        for k, (x, y) in enumerate(batches(40)):
            now[0] = k
            step(lambda x=x, y=y: functional.cross_entropy(net(x), y))

    one, other = network(), network()
    a, b = make(one), make(other)
    scalers = [torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=10) for _ in range(2)]

    def unguarded(closure):
        a.zero_grad()
        scalers[0].scale(closure()).backward()
        scalers[0].step(a)
        scalers[0].update()

    run(one, unguarded)
    guard = Guard(other, b, scaler=scalers[1])
    run(other, guard.step)
    assert not guard.history
    assert scalers[0].get_scale() == scalers[1].get_scale() != 2.0**14  # it did back off once
    assert same(everything(one, a, scalers[0]), everything(other, b, scalers[1]))


def test_a_nan_batch_does_not_touch_the_loss_scale():
    model = network()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    guard = Guard(model, adamw(model), scaler=scaler)
    guarded(guard, 30, corrupt=lambda k, x: x * math.nan if k == 20 else x)
    assert [event.action for event in guard.history] == ["skip"]
    assert scaler.get_scale() == 2.0**10


def test_a_foreign_loop_asks_before_it_steps():
    model, twin = network(), network()
    optimizer, other = adamw(model), adamw(twin)
    plain(twin, other, 60)
    guard = Guard(model, optimizer)
    for x, y in batches(60):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        if guard.observe(loss):
            optimizer.step()
    assert same(everything(model, optimizer), everything(twin, other))
    optimizer.zero_grad()
    loss = model(torch.full((4, 8), math.nan)).sum()
    loss.backward()
    before = everything(model, optimizer)
    assert not guard.observe(loss)
    optimizer.step()  # a loop that does not listen has nothing to step with
    assert same(before, everything(model, optimizer))


def test_several_optimizers_go_back_together():
    model = network()
    pair = [torch.optim.SGD(model[0].parameters(), lr=0.1, momentum=0.9), torch.optim.AdamW(model[2:].parameters())]
    guard = Guard(model, pair)

    def before(k):
        if k == 40:
            with torch.no_grad():
                model[4].bias[0] = math.inf

    guarded(guard, 80, before=before)
    assert [event.kind for event in guard.history] == ["broken state"]
    assert final(model) < 1.3
    assert math.isfinite(pair[0].state[model[0].weight]["momentum_buffer"].sum())


def test_a_compiled_model():
    model = network()
    compiled = torch.compile(model, backend="eager")
    guard = Guard(compiled, adamw(model))
    guarded(guard, 25, corrupt=lambda k, x: x * math.nan if k == 15 else x)
    twin = network()
    twin_guard = Guard(twin, adamw(twin))
    guarded(twin_guard, 25, corrupt=lambda k, x: x * math.nan if k == 15 else x)
    assert [event.action for event in guard.history] == ["skip"]
    assert all(torch.allclose(p, q) for p, q in zip(model.parameters(), twin.parameters(), strict=True))


def broken_at(model, steps):
    def before(k):
        if k in steps:
            with torch.no_grad():
                model[0].weight[0, 0] = math.nan

    return before


def test_a_return_is_exact_to_the_last_bit():
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 4))
    optimizer = adamw(model)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=200)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=7)
    average = torch.optim.swa_utils.AveragedModel(model)
    guard = Guard(
        model,
        optimizer,
        scheduler=scheduler,
        scaler=scaler,
        also=[average],
        random_states=True,
        every=10,
        measure=False,
    )
    seen = {}

    def before(k):
        seen[k] = (everything(model, optimizer, scheduler, scaler, average), torch.get_rng_state().clone())
        if k == 37:
            with torch.no_grad():
                model[0].weight[0, 0] = math.nan

    states = []
    real = guard._snapshots.subject.restore
    guard._snapshots.subject.restore = lambda snapshot: (
        real(snapshot),
        states.append((snapshot.step, everything(model, optimizer, scheduler, scaler, average), torch.get_rng_state())),
    )
    for k, (x, y) in enumerate(batches(38)):
        before(k)
        guard.step(lambda x=x, y=y: functional.cross_entropy(model(x), y))
        scheduler.step()
        average.update_parameters(model)
    ((step, found, random),) = states
    assert step == 30
    assert same(seen[step][0], found)
    assert found[3] == seen[step][0][3]
    # random numbers are those after the forward pass of that step, before its update
    assert torch.equal(random, seen[step + 1][1])


def test_the_brake_is_invisible_to_a_scheduler_that_multiplies():
    model = network()
    optimizer = adamw(model)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    guard = Guard(model, optimizer, scheduler=scheduler, measure=False)  # a measurement would acquit the rate
    guarded(guard, 80, scheduler, broken_at(model, [40]))
    (event,) = guard.history
    assert event.factor == 0.25
    taken = 80 - event.undone
    assert optimizer.param_groups[0]["lr"] == pytest.approx(3e-3 * 0.99**taken, rel=1e-12)
    assert guard.factor == 1.0
    assert not optimizer._optimizer_step_pre_hooks


def test_the_braked_update_is_that_much_shorter():
    model = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    guard = Guard(model, optimizer)
    for _ in range(3):
        guard.step(lambda: model(torch.ones(1, 1)).sum())
    guard._judge.state = replace(guard._judge.state, factor=0.25, ceiling=0.25, rescues=1, wait=10)
    before = model.weight.item()
    guard.step(lambda: model(torch.ones(1, 1)).sum())
    assert before - model.weight.item() == pytest.approx(0.1 * guard.factor)
    assert guard.factor == 0.25
    assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("make", HELD.values(), ids=HELD)
def test_a_resumed_run_goes_on_bit_for_bit(make):
    model = network()
    optimizer = make(model)
    guard = Guard(model, optimizer)
    guarded(guard, 60, before=broken_at(model, [40]))
    assert guard.factor < 1
    file = io.BytesIO()
    torch.save([model.state_dict(), optimizer.state_dict(), guard.state_dict()], file)
    json.dumps({name: value for name, value in guard.state_dict().items() if name != "snapshots"})
    twin = network(1)
    other = make(twin)
    resumed = Guard(twin, other)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    twin.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    resumed.load_state_dict(saved[2])
    for one in (guard, resumed):
        guarded(one, 60)
    assert same(everything(model, optimizer), everything(twin, other))
    assert resumed.history == guard.history or str(resumed.history) == str(guard.history)
    assert resumed.explain() == guard.explain()


def test_a_crashed_run_goes_on_from_the_directory(tmp_path):
    model = network()
    optimizer = adamw(model)
    guard = Guard(model, optimizer, keep=tmp_path, every=7)
    guarded(guard, 30)
    whole = everything(model, optimizer)
    twin = network(1)
    other = adamw(twin)
    again = Guard(twin, other, keep=tmp_path, every=7)
    assert again.recover() == 28
    for x, y in list(batches(30))[28:]:
        again.step(lambda x=x, y=y: functional.cross_entropy(twin(x), y))
    assert same(whole, everything(twin, other))
    assert Guard(twin, other, keep=tmp_path / "new").recover() is None
    with pytest.raises(InvalidInput, match="do not outlive"):
        Guard(twin, other).recover()


@pytest.mark.parametrize("keep", ["device", "cpu", "disk"])
def test_snapshots_wherever_they_are(keep, tmp_path):
    model = network()
    guard = Guard(model, adamw(model), keep=tmp_path if keep == "disk" else keep)
    guarded(guard, 240, before=broken_at(model, [225]))
    assert [event.undone for event in guard.history] == [5]
    size = sum(p.numel() for p in model.parameters()) * 4 * 3
    cost = guard.cost
    assert 2 * size <= cost.bytes <= 2 * size + 20_000
    assert cost.seconds > 0
    if keep == "disk":
        assert sorted(path.name.split(".")[1] for path in tmp_path.iterdir()) == ["210", "239"]


def test_only_good_states_are_kept():
    model = network()
    guard = Guard(model, adamw(model), every=1)
    guarded(guard, 20)
    steps = guard._snapshots.steps
    guard.step(lambda: model(torch.full((4, 8), math.nan)).sum())
    assert guard._snapshots.steps == steps
    state = next(iter(guard.optimizers[0].state.values()))
    state["exp_avg_sq"][0, 0] = math.inf  # finite loss and gradient, broken state: seen when it is copied
    guard.step(lambda: model(torch.ones(4, 8)).square().mean())
    assert max(guard._snapshots.steps) == max(steps)


def test_infinities_by_design_are_not_damage():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(8, 4)
            self.register_buffer("mask", torch.full((4, 4), -math.inf).triu(1))

        def forward(self, x):
            return self.inner(x) @ self.mask.softmax(-1)

    torch.manual_seed(0)
    model = Masked()
    guard = Guard(model, adamw(model))
    guarded(guard, 30, corrupt=lambda k, x: x * math.nan if k == 20 else x)
    assert [event.action for event in guard.history] == ["skip"]
    assert guard.cost.snapshots == 3


def test_the_explanation_names_step_limit_and_recovery():
    torch.manual_seed(0)
    x, y = torch.randn(64, 4), torch.randn(64, 1)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    guard = Guard(model, optimizer)

    def closure():
        return functional.mse_loss(model(x), y)

    for k in range(150):
        if k == 60:
            optimizer.param_groups[0]["lr"] = 5.0
        guard.step(closure)
    back = next(event for event in guard.history if event.action == "back")
    design = torch.cat([x, torch.ones(64, 1)], 1)
    largest = float(torch.linalg.eigvalsh(2 * design.T @ design / 64).max())
    assert back.sharpness.largest.lower * 0.999 <= largest <= back.sharpness.largest.upper * 1.001
    assert back.sharpness.ratio == pytest.approx(5.0 / (2 / largest), rel=0.15)
    assert "x the stability limit (sharpness in [" in guard.explain()
    assert "rolled back" in guard.explain()
    assert "recovered by step" in guard.explain()
    assert Event.from_dict(json.loads(json.dumps(back.to_dict()))) == back


def test_nothing_is_measured_until_something_happens(monkeypatch):
    called = []
    monkeypatch.setattr(_sensors, "measure", lambda *a: called.append(a))
    model = network()
    guard = Guard(model, adamw(model))
    guarded(guard, 60)
    assert not called
    guarded(guard, 60, before=broken_at(model, [30]))
    assert len(called) == 1
    assert Guard(model, adamw(model)).explain().startswith("nothing happened")


REFUSED = [
    (lambda m: Guard(lambda x: x, adamw(m)), InvalidType, "model must be"),
    (lambda m: Guard(m, m), InvalidType, "optimizer must be"),
    (lambda m: Guard(m, []), InvalidInput, "no optimizer"),
    (lambda m: Guard(m, torch.optim.LBFGS(m.parameters())), InvalidType, "LBFGS"),
    (lambda m: Guard(m, adamw(m), clip=0), InvalidInput, "clip must be positive"),
    (lambda m: Guard(m, adamw(m), accumulate=0), InvalidInput, "must be a whole number >= 1"),
    (lambda m: Guard(m, adamw(m), keep="tape"), InvalidType, "keep is"),
    (lambda m: Guard(m, adamw(m), scheduler=3), InvalidType, "no state_dict"),
    (lambda m: Guard(m, adamw(m), rule=3), InvalidType, "must be a Watch"),
    (lambda m: Guard(m, adamw(m)).step(lambda: 1.0), InvalidType, "a tensor of one number; got a float"),
    (lambda m: Guard(m, adamw(m)).step(lambda: m(torch.ones(2, 8))), InvalidType, r"shape \(2, 4\)"),
]


@pytest.mark.parametrize(("act", "error", "message"), REFUSED)
def test_refusals_say_what_was_seen(act, error, message):
    with pytest.raises(error, match=message):
        act(network())


# The checks that optimizers are held to, around a guard.


@pytest.mark.parametrize("make", HELD.values(), ids=HELD)
def test_conformance(make):
    model = network()
    model.register_parameter("unused", nn.Parameter(torch.zeros(3)))
    optimizer = make(model)
    guard = Guard(model, optimizer)
    guarded(guard, 20)  # an unused parameter
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 0.9**k)  # a scheduler made later
    guarded(guard, 3, schedule)
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), guard.state_dict()], file)
    file.seek(0)
    torch.load(file, weights_only=True)
    guarded(guard, 10, corrupt=lambda k, x: x * math.nan if k == 5 else x)  # a NaN gradient
    assert all(torch.isfinite(p).all() for p in model.parameters())


@pytest.mark.parametrize("make", HELD.values(), ids=HELD)
def test_bfloat16(make):
    model = network().bfloat16()
    guard = Guard(model, make(model))
    guarded(guard, 40, corrupt=lambda k, x: (x * math.nan if k == 30 else x).bfloat16())
    assert [event.action for event in guard.history] == ["skip"]
    assert guard.cost.snapshots == 4


def test_a_group_added_later_is_watched_and_restored():
    model = network()
    optimizer = torch.optim.AdamW(model[:4].parameters())
    guard = Guard(model, optimizer, every=5)
    guarded(guard, 20)
    optimizer.add_param_group({"params": list(model[4].parameters())})
    guarded(guard, 20, before=broken_at(model, [15]))
    assert [event.kind for event in guard.history] == ["structure", "broken state"]


def test_the_state_of_another_rule_is_refused():
    model = network()
    data = Guard(model, adamw(model)).state_dict()
    data["watch"]["usual"] = 3
    with pytest.raises(InvalidInput):
        Guard(model, adamw(model)).load_state_dict(data)


def test_a_generator_that_its_critic_has_caught_up_with_is_not_sent_back():
    """An earlier generator has the lower loss only because the critic has adapted to the present one."""

    def train(guarded):
        torch.manual_seed(0)
        generator = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
        critic = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
        players = [(net, torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.9))) for net in (critic, generator)]
        guards = [Guard(*player) for player in players] if guarded else []
        draw = torch.Generator().manual_seed(9)
        for _ in range(200):
            turn = torch.randint(0, 8, (64,), generator=draw) * math.pi / 4
            real = 2 * torch.stack([turn.cos(), turn.sin()], 1) + 0.1 * torch.randn(64, 2, generator=draw)
            z = torch.randn(64, 4, generator=draw)

            def against(real=real, z=z):
                return (functional.softplus(-critic(real)) + functional.softplus(critic(generator(z).detach()))).mean()

            def for_it(z=z):
                return functional.softplus(-critic(generator(z))).mean()

            for i, closure in enumerate((against, for_it)):
                if guarded:
                    guards[i].step(closure)
                else:
                    players[i][1].zero_grad()
                    closure().backward()
                    players[i][1].step()
        return everything(critic, generator), [event for guard in guards for event in guard.history]

    state, events = train(guarded=True)
    assert any("trained elsewhere" in event.reason for event in events)
    assert {event.action for event in events} == {"go"}
    assert same(state, train(guarded=False)[0])
