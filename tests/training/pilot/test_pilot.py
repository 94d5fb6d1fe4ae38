"""The pilot's sensors, copies and rates: exact where they can be, and without a trace."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from surefoot.errors import InvalidInput, InvalidType
from surefoot.rules import PI, Autopilot, Confident, Constant, Cosine, Decision, Sharpness
from surefoot.rules.training.watch import CONFIRMED
from surefoot.training import Pilot
from surefoot.training.loop._line_minimum import line_minimum
from surefoot.training.loop._sensors import along
from surefoot.training.loop.copies import Copies
from surefoot.training.loop.group_rates import Rates
from surefoot.training.loop.training_step import TrainingStep


def data(n=256, width=6, classes=3):
    g = torch.Generator().manual_seed(1)
    x = torch.randn(n, width, generator=g)
    return x, (x @ torch.randn(width, classes, generator=g)).argmax(1)


def network(dropout=0.0):
    """Batch normalisation, dropout: everything that a second look could disturb."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))


def sgd(model, lr=0.1):
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)


def adamw(model, lr=0.1):
    return torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.1)


def batches(steps, x, y, size=32):
    for k in range(steps):
        i = torch.arange(size * k, size * (k + 1)) % len(x)
        yield x[i], y[i]


def fly(make, steps, *, pilot_steps=None, dropout=0.0, lr=0.1, **settings):
    x, y = data()
    model = network(dropout)
    optimizer = make(model, lr)
    torch.manual_seed(7)
    pilot = Pilot(model, optimizer, **settings)
    for a, b in batches(steps if pilot_steps is None else pilot_steps, x, y):
        pilot.step(lambda a=a, b=b: cross_entropy(model(a), b))
    return model, optimizer, pilot


def plain(make, steps, rate, dropout=0.0):
    """The optimizer alone, at one rate or at one for each step."""
    x, y = data()
    model = network(dropout)
    rates = rate if isinstance(rate, list) else [rate] * steps
    optimizer = make(model, rates[0])
    torch.manual_seed(7)
    for (a, b), lr in zip(batches(steps, x, y), rates, strict=True):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        cross_entropy(model(a), b).backward()
        optimizer.step()
    return model, optimizer


def same(model, other):
    return all(torch.equal(p, q) for p, q in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("make", [sgd, adamw])
def test_a_constant_rate_is_the_plain_optimizer_to_the_bit(make):
    model, _, pilot = fly(make, 40, rule=Constant(step=0.05), dropout=0.3)
    assert same(model, plain(make, 40, 0.05, dropout=0.3)[0])
    assert {m.rate for m in pilot.history} == {0.05}


@pytest.mark.parametrize("make", [sgd, adamw])
def test_the_copy_that_wins_is_the_plain_run_at_its_rates_to_the_bit(make, monkeypatch):
    decisions, decide = [], Autopilot.update

    def spy(self, state, observation):
        decision, state = decide(self, state, observation)
        decisions.append(decision)
        return decision, state

    monkeypatch.setattr(Autopilot, "update", spy)
    model, optimizer, pilot = fly(make, 40, total_steps=100, dropout=0.3)
    assert len(pilot.history) == 40
    assert "chose" in pilot.history[16].event
    # from the end back: each copy continued one of those before
    rates, which = [], 0
    for decision in reversed(decisions):
        which, rate = decision.copies[which] if decision.copies else (0, decision.step)
        rates.append(rate)
    other, its = plain(make, 40, rates[::-1], dropout=0.3)
    assert same(model, other)
    moments = optimizer.state_dict()["state"], its.state_dict()["state"]
    for mine, theirs in zip(moments[0].values(), moments[1].values(), strict=True):
        assert all(torch.equal(torch.as_tensor(mine[k]), torch.as_tensor(theirs[k])) for k in mine)


def test_random_states_are_those_of_a_run_without_trials():
    fly(adamw, 40, total_steps=400, dropout=0.3)
    after = torch.get_rng_state()
    plain(adamw, 40, 0.01, dropout=0.3)
    assert torch.equal(after, torch.get_rng_state())


def test_parameters_stay_where_they_were():
    x, y = data()
    model = network()
    places = [t.data_ptr() for t in [*model.parameters(), *model.buffers()]]
    pilot = Pilot(model, adamw(model), total_steps=100)
    for a, b in batches(100, x, y):
        pilot.step(lambda a=a, b=b: cross_entropy(model(a), b))
    assert places == [t.data_ptr() for t in [*model.parameters(), *model.buffers()]]


@pytest.mark.parametrize("make", [sgd, adamw])
@pytest.mark.parametrize("lr", [1e-9, 1e6])
def test_the_rate_at_the_start_plays_no_part(make, lr):
    assert same(fly(make, 120, total_steps=120, lr=lr)[0], fly(make, 120, total_steps=120)[0])


@pytest.mark.parametrize("make", [sgd, adamw])
def test_it_trains_and_cools_down_to_zero(make):
    _, optimizer, pilot = fly(make, 200, total_steps=200)
    held = pilot.history[150].rate
    assert [m.rate for m in pilot.history[-40:]] == pytest.approx([held * k / 40 for k in range(40, 0, -1)])
    assert sum(m.loss for m in pilot.history[-8:]) / 8 < 0.1
    assert optimizer.param_groups[0]["lr"] == pilot.history[-1].rate


def test_a_run_of_unknown_length_is_finished_on_call():
    x, y = data()
    model = network()
    pilot = Pilot(model, adamw(model))
    for k, (a, b) in enumerate(batches(150, x, y)):
        if k == 100:
            pilot.finish(50)
        pilot.step(lambda a=a, b=b: cross_entropy(model(a), b))
    held = pilot.history[99].rate
    assert [m.rate for m in pilot.history[100:]] == pytest.approx([held * k / 50 for k in range(50, 0, -1)])
    assert pilot._updates.remaining == 0


def test_ratios_between_groups_are_kept_and_a_hand_on_one_of_them_counts():
    x, y = data()
    model = network()
    groups = [{"params": model[0].parameters(), "lr": 0.5}, {"params": model[4].parameters(), "lr": 0.05}]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    pilot = Pilot(model, optimizer, total_steps=80)
    for k, (a, b) in enumerate(batches(80, x, y)):
        if k == 70:
            optimizer.param_groups[1]["lr"] *= 3
        pilot.step(lambda a=a, b=b: cross_entropy(model(a), b))
        first, second = (group["lr"] for group in optimizer.param_groups)
        assert second / first == pytest.approx(0.1 if k < 70 else 0.3)


def test_a_scheduler_multiplies_and_sees_its_own_rates_only():
    x, y = data()
    model, other = network(), network()
    optimizer, alone = sgd(model, 0.5), sgd(other, 0.5)
    scheduler, its = (torch.optim.lr_scheduler.ExponentialLR(o, 0.9) for o in (optimizer, alone))
    pilot = Pilot(model, optimizer, rule=Constant(step=0.01), scheduler=scheduler)
    for k, (a, b) in enumerate(batches(10, x, y)):
        pilot.step(lambda a=a, b=b: cross_entropy(model(a), b))
        assert pilot.history[-1].rate == pytest.approx(0.01 * 0.9**k)
        alone.step()
        scheduler.step()
        its.step()
        assert optimizer.param_groups[0]["lr"] == alone.param_groups[0]["lr"]


def test_schedules_by_name_and_as_objects():
    _, _, named = fly(sgd, 50, rule="cosine:0.1", total_steps=50)
    _, _, given = fly(sgd, 50, rule=Cosine(step=0.1, steps=50))
    assert [m.rate for m in named.history] == [m.rate for m in given.history]
    assert named.history[25].rate == pytest.approx(0.05)


# At half the limit (the default) momentum on such noisy batches is chaotic: the last bits of the products decide.
@pytest.mark.parametrize(
    ("make", "rule"),
    [(sgd, Sharpness(safety=0.1)), (adamw, "sharpness"), (sgd, "along-step"), (adamw, "along-step")],
    ids=["sgd-sharpness", "adamw-sharpness", "sgd-along-step", "adamw-along-step"],
)
def test_measured_rules_train(rule, make):
    x, y = data()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    pilot = Pilot(model, make(model, 1e-12), rule=rule, total_steps=80)
    for a, b in batches(80, x, y):
        pilot.step(lambda a=a, b=b: cross_entropy(model(a), b))
    losses = [m.loss for m in pilot.history]
    assert sum(losses[-8:]) < 0.7 * sum(losses[:8])
    assert any(math.isfinite(m.limit) for m in pilot.history)


def test_polyaks_step_is_the_gap_over_the_squared_gradient():
    model, A, closure = quadratic()
    pilot = Pilot(model, torch.optim.SGD(model.parameters(), lr=1.0), rule="polyak:0")
    g = A @ model.weight[0].detach()
    gap = closure().item()
    pilot.step(closure)
    assert pilot.rate == pytest.approx(gap / (g @ g).item(), rel=1e-9)
    for _ in range(300):
        value = pilot.step(closure)
    assert value < 0.01 * gap


def quadratic():
    """f = x'Ax/2 with a dense A, in one parameter."""
    g = torch.Generator().manual_seed(3)
    root = torch.randn(5, 5, generator=g, dtype=torch.float64)
    model = nn.Linear(5, 1, bias=False, dtype=torch.float64)
    A = root @ root.T

    def closure():
        x = model.weight[0]
        return x @ A @ x / 2

    return model, A, closure


def test_slope_and_curvature_along_a_direction_are_exact():
    model, A, closure = quadratic()
    d = torch.randn(1, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    slope, curvature, change = along(model, closure, [model.weight], [d])
    assert change == pytest.approx((A @ d[0]).norm().item(), rel=1e-12)
    assert slope == pytest.approx((model.weight[0].detach() @ A @ d[0]).item(), rel=1e-12)
    assert curvature == pytest.approx((d[0] @ A @ d[0]).item(), rel=1e-12)
    assert model.weight.grad is None


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_line_minimum_of_a_quadratic(scale):
    model, A, closure = quadratic()
    x = model.weight.detach()[0].clone()
    d = -(A @ x)[None] * scale
    best = ((d[0] @ d[0]) / scale / (d[0] @ A @ d[0])).item()
    found = line_minimum(model, closure, [model.weight], [d])
    assert best / 10**0.2 < found < best * 10**0.2
    assert torch.equal(model.weight[0], x)
    assert math.isnan(line_minimum(model, closure, [model.weight], [-d]))


def test_a_copy_whose_output_collapsed_has_lost_also_after_a_resume():
    x, y = data()
    model = network()
    optimizer = sgd(model)

    def made():
        return Copies(TrainingStep(model, [optimizer]), Rates([optimizer], driven=True, named=False))

    def both(*parents):
        return Decision(step=0.0, copies=tuple((i, 1e-30) for i in parents))  # nothing moves

    copies = made()
    copies.begin(both(0, 0), 1.0, 1.0, 100.0, first=True)
    for weight in (t for t in copies._all[1].tensors if t.ndim == 2):
        weight.zero_()  # the second copy's output is now the same whatever the input

    for _ in range(CONFIRMED):
        assert all(map(math.isfinite, copies.losses))
        copies.evaluate(lambda: cross_entropy(model(x), y), 1.0, fresh=True)
        copies.finish(1.0, torch.device("cpu"))
    assert copies.losses[0] < copies.losses[1] == math.inf
    copies.go_on(both(0, 1), 1.0)
    again = made()
    again.parse(copies.state_dict())()
    assert again.losses[1] == math.inf


def test_a_closure_that_raises_leaves_no_trace_in_a_trial():
    model, _, pilot = fly(adamw, 5, total_steps=100)
    before = {k: v.clone() for k, v in model.state_dict().items()}

    def broken():
        model(torch.randn(8, 6))
        raise RuntimeError("the data ran out")

    with pytest.raises(RuntimeError, match="ran out"):
        pilot.step(broken)
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in before.items())
    assert len(pilot.history) == 5


def test_parts_of_a_batch_that_raised_do_not_bring_the_cool_down_nearer():
    model = network()
    pilot = Pilot(model, adamw(model), total_steps=100, accumulate=3)
    x, y = data(32)

    def broken():
        raise RuntimeError("the data ran out")

    for _ in range(2):
        pilot.step(lambda: cross_entropy(model(x), y))
    with pytest.raises(RuntimeError, match="ran out"):
        pilot.step(broken)
    assert pilot._updates.until_cooldown == pytest.approx(80 / 3)


def test_a_broken_batch_in_a_trial_is_left_out():
    model, _, pilot = fly(adamw, 5, total_steps=100)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    x, y = data(32)
    pilot.step(lambda: cross_entropy(model(x * float("nan")), y))
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in before.items())
    assert pilot.history[-1].rate == 0
    assert "left out" in pilot.history[-1].event


@pytest.mark.parametrize("at", [3, 12, 64])
@pytest.mark.parametrize("make", [sgd, adamw])
def test_it_resumes_to_the_bit(make, at, tmp_path):
    x, y = data()
    whole, _, whole_pilot = fly(make, 100, total_steps=100)
    model, optimizer, pilot = fly(make, 100, pilot_steps=at, total_steps=100)
    path = tmp_path / "run.pt"
    torch.save([model.state_dict(), optimizer.state_dict(), pilot.state_dict()], path)
    saved = torch.load(path, weights_only=True)
    model = network()
    optimizer = make(model)
    pilot = Pilot(model, optimizer, total_steps=100)
    for thing, state in zip((model, optimizer, pilot), saved, strict=True):
        thing.load_state_dict(state)
    for k, (a, b) in enumerate(batches(100, x, y)):
        if k >= at:
            pilot.step(lambda a=a, b=b: cross_entropy(model(a), b))
    assert same(model, whole)
    assert [m.to_dict() for m in pilot.history] == [m.to_dict() for m in whole_pilot.history]


def test_accumulated_batches_choose_as_whole_ones_do():
    x, y = data()
    rates = []
    for parts in (1, 2):
        model = network()
        pilot = Pilot(model, sgd(model), total_steps=100 * parts, accumulate=parts)
        for a, b in batches(40, x, y):
            for _ in range(parts):
                pilot.step(lambda a=a, b=b, model=model: cross_entropy(model(a), b))
        rates.append([m.rate for m in pilot.history])
    assert len(rates[0]) == len(rates[1]) == 40
    assert rates[0] == pytest.approx(rates[1], rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"rule": "atuo"}, InvalidInput, "did you mean auto"),
        ({"rule": "cosine:0.1"}, InvalidInput, "known length"),
        ({"rule": "auto:3"}, InvalidInput, "no argument"),
        ({"rule": PI(first=0.1, order=4)}, InvalidInput, "cannot supply"),
        ({"rule": "polyak:0"}, InvalidInput, "plain gradients"),
        ({"rule": 0.1}, InvalidType, "a text or a Rule"),
        ({"total_steps": 0}, InvalidInput, "must be a whole number >= 1"),
        ({"lr": 0.0}, InvalidInput, "no ratio"),
    ],
)
def test_refuses(settings, error, says):
    settings = dict(settings)
    model = network()
    with pytest.raises(error, match=says):
        Pilot(model, sgd(model, settings.pop("lr", 0.1)), **settings)


def test_finish_needs_a_rule_that_heeds_it():
    _, _, pilot = fly(sgd, 2, rule=Constant(step=0.1))
    with pytest.raises(InvalidInput, match="Cooldown"):
        pilot.finish(10)
    _, _, pilot = fly(sgd, 2, rule=Autopilot())
    with pytest.raises(InvalidInput, match="must be a whole number >= 1"):
        pilot.finish(0)


def test_a_closure_must_return_the_loss():
    x, y = data()
    model = network()
    pilot = Pilot(model, sgd(model), total_steps=50)
    pilot.step(lambda: cross_entropy(model(x), y))
    with pytest.raises(InvalidType, match="one number"):
        pilot.step(lambda: mse_loss(model(x), torch.zeros(256, 3), reduction="none"))


def test_confident_steps_stay_below_the_inverse_curvature():
    model, A, closure = quadratic()
    pilot = Pilot(model, torch.optim.SGD(model.parameters(), lr=1.0), rule=Confident(first=1e-3))
    start = closure().item()
    for _ in range(300):
        value = pilot.step(closure)
    assert value < 1e-3 * start
    least, most = torch.linalg.eigvalsh(A)[[0, -1]].tolist()
    rates = [moment.rate for moment in pilot.history[50:]]
    assert 1 / most < max(rates) < 1.01 / least


def test_a_confident_run_goes_on_after_a_rescue():
    x, y = data()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    pilot = Pilot(model, sgd(model, 1.0), rule=Confident(first=0.01, longest=0.1))
    for k, (a, b) in enumerate(batches(160, x, y)):
        if k == 60:
            with torch.no_grad():
                model[0].weight[0, 0] = math.nan
        pilot.step(lambda a=a, b=b: cross_entropy(model(a), b))
    assert any(event.action == "back" for event in pilot.events)
    losses = [m.loss for m in pilot.history]
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
    assert pilot.rate > 1e-3


def test_a_trial_becomes_part_of_the_one_memory_of_the_run():
    x, y = data()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    pilot = Pilot(model, sgd(model, 0.1), total_steps=125)
    for a, b in batches(21, x, y):
        pilot.step(lambda a=a, b=b: cross_entropy(model(a), b))
    assert "chose" in pilot.history[20].event
    usual, past = pilot._judge.state.usual, pilot._updates.copies.past
    assert len(past) == 20
    assert usual.count == 21  # the batch before it too
    assert usual.peak == max(usual.peak, *(norm for _, norm in past))
    assert usual.first == pilot.history[0].loss


def test_a_loss_scale_too_large_for_every_copy_is_halved_until_a_gradient_is_finite():
    torch.manual_seed(0)
    model, x = nn.Linear(2, 1), torch.randn(64, 2)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    pilot = Pilot(model, torch.optim.SGD(model.parameters(), lr=1.0), total_steps=100, scaler=scaler)
    for k in range(8):
        if k == 3:  # the rehearsal runs in four copies by now
            scaler.update(2.0**127)
        pilot.step(lambda: 1e3 * mse_loss(model(x), x.sum(1, keepdim=True)))
        assert scaler.get_scale() == (1024.0 if k < 3 else 2.0 ** (129 - k))


def test_a_moment_has_the_noise_that_the_guard_has_seen_where_the_rule_names_none():
    torch.manual_seed(0)
    model, x = nn.Linear(2, 1), torch.randn(64, 2)
    pilot = Pilot(model, torch.optim.SGD(model.parameters(), lr=0.01), total_steps=60)
    for _ in range(60):
        pilot.step(lambda: mse_loss(model(x), x.sum(1, keepdim=True)))
    assert all(0 < moment.noise < math.inf for moment in pilot.history[25:])


def test_a_rule_of_ones_own_by_its_factory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["from surefoot import methods, rules", "def rule():", "    return rules.Constant(step=0.01)"]
    (tmp_path / "pilots_own.py").write_text(
        "\n".join([*lines, "def method():", "    return methods.Heun()", "def none(): ..."])
    )
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    assert Pilot(model, optimizer, rule="pilots_own:rule").rule == Constant(step=0.01)
    for name, said in (("method", "returned a Heun; return a surefoot.rules.Rule"), ("none", "returned None")):
        with pytest.raises(InvalidType, match=said):
            Pilot(model, optimizer, rule=f"pilots_own:{name}")
    with pytest.raises(InvalidInput, match="did you mean constant"):
        Pilot(model, optimizer, rule="constnat:safe")
