"""The range test: its answer beside closed forms, what it leaves untouched, when it abstains."""

import copy
import math
import random
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from surefoot.errors import InvalidInput, InvalidType, NotFinite
from surefoot.training import Pilot, RangeTest, range_test, supervised

squares = supervised(functional.mse_loss)
entropy = supervised(functional.cross_entropy)


def line(count=24, size=32, noise=0.0):
    """Batches of a linear regression, the Hessian of each 2 I."""
    g = torch.Generator().manual_seed(1)
    x = torch.linalg.qr(torch.randn(count, size, 8, generator=g))[0] * size**0.5
    y = x @ torch.linspace(-1, 1, 8) + noise * torch.randn(count, size, generator=g)
    return list(zip(x, y, strict=True))


def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 1, bias=False), nn.Flatten(0))


def clusters(count=24, size=32):
    g = torch.Generator().manual_seed(2)
    x = torch.randn(count, size, 10, generator=g)
    return [(one, (one[:, 0] * one[:, 1] > 0).long() + 2 * (one[:, 2] > 0).long()) for one in x]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(10, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 4))


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), **{"lr": 1e-3, **options})


def states():
    return torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002


def same(one, other):
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_gradient_descent_on_a_quadratic_is_within_its_stable_rates():
    model = linear()
    found = range_test(model, squares, line(), sgd(model))
    # curvature 2 in every direction: one step at 1/2 ends it, 1 is the limit of stability
    assert 0.15 < found.rate < 1.0
    assert found.interval[0] <= found.rate <= found.interval[1]
    assert 1.0 <= found.cliff < 10**0.5 * 1.6
    assert found.steps <= 320 + 13


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_rate_scales_with_the_inverse_of_the_curvature(factor):
    model = linear()
    base = range_test(model, squares, line(), sgd(model), steps=100)

    def scaled(m, batch):
        return factor * squares(m, batch)

    other = range_test(model, scaled, line(), sgd(model), steps=100)
    # the reach is found on a grid of quarter decades, so three decades lie on it
    assert other.rate * factor == pytest.approx(base.rate, rel=0.01)
    assert other.cliff * factor == pytest.approx(base.cliff, rel=0.01)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_the_suggestion_stays_below_the_smallest_rate_that_failed(factor):
    """The loss is a number up to 1.02 only: the rates that do best lie right below those that fail."""
    model = nn.Module()
    model.w = nn.Parameter(torch.zeros(1))

    def walled(m, _):
        return factor * (m.w - 1).square().mean() * (1.0 if m.w.abs().max() < 1.02 else math.nan)

    found = range_test(model, walled, [(torch.zeros(2), torch.zeros(2))] * 24, sgd(model))
    assert found.rate < found.cliff / 10**0.5
    assert found.interval[1] < found.cliff
    assert [run.ending for run in found.rehearsals if run.rate >= found.cliff] == ["diverged"]


def test_momentum_stays_below_its_limit():
    model = linear()
    heavy = range_test(model, squares, line(), sgd(model, momentum=0.9))
    assert heavy.rate < 2 * 1.9 / 2


def test_a_long_run_gets_a_lower_rate_and_says_so():
    model = network()
    short, long = (range_test(model, entropy, clusters(), sgd(model), total_steps=t, steps=100) for t in (500, 8000))
    assert long.rate == pytest.approx(short.rate / 2, rel=1e-12)  # (500/8000)^(1/4)
    assert long.interval == pytest.approx((short.interval[0] / 2, short.interval[1] / 2), rel=1e-12)
    assert "lowered for a run of 8000" in long.reason
    assert long.rehearsals == short.rehearsals


def test_it_is_the_rate_that_a_pilot_chooses():
    batches = clusters(81)
    model = network()
    found = range_test(model, entropy, batches, sgd(model))
    torch.manual_seed(0)  # what range_test draws from, for the dropout
    pilot = Pilot(model, sgd(model), total_steps=500)
    for i in torch.randperm(81, generator=torch.Generator().manual_seed(0)):
        pilot.step(lambda i=i: entropy(model, batches[i]))
    assert f"chose {found.rate:.3g}" in pilot.explain()


@pytest.mark.parametrize("kind", ["SGD", "AdamW", "used"])
def test_everything_is_as_it_was_bit_for_bit(kind):
    model = network()
    model[3].eval()
    adam = torch.optim.AdamW(model.parameters(), lr=0.02)
    optimizer = sgd(model, momentum=0.9) if kind == "SGD" else adam
    if kind == "used":
        entropy(model, clusters()[0]).backward()
        optimizer.step()
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 0.5)
    torch.manual_seed(5)
    loader = DataLoader(
        TensorDataset(torch.randn(400, 10), torch.randint(0, 4, (400,))),
        batch_size=20,
        shuffle=True,
        generator=torch.Generator().manual_seed(3),
    )
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    gradients = [(p.grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    identities = [id(p) for group in optimizer.param_groups for p in group["params"]]
    modes = [m.training for m in model.modules()]
    random_states, own = states(), loader.generator.get_state()
    range_test(model, entropy, loader, optimizer, steps=80)
    assert same(before, (model.state_dict(), optimizer.state_dict()))
    for p, (gradient, values) in zip(model.parameters(), gradients, strict=True):
        assert p.grad is gradient
        assert gradient is None or torch.equal(gradient, values)
    assert identities == [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert modes == [m.training for m in model.modules()]
    assert all(map(np.array_equal, random_states[:2], states()[:2]))
    assert random_states[2] == states()[2]
    assert torch.equal(own, loader.generator.get_state())


def test_the_same_call_gives_the_same_numbers_and_another_seed_others():
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    one = range_test(model, entropy, clusters(), optimizer, steps=80)
    with torch.no_grad():
        assert range_test(model, entropy, clusters(), optimizer, steps=80) == one
    assert range_test(model, entropy, clusters(), optimizer, steps=80, rng=1) != one


@pytest.mark.parametrize("steps", [77, 100, 250])
def test_the_budget_holds_and_what_was_spent_is_what_was_run(steps):
    model = linear()
    calls = {"gradients": 0, "evaluations": 0}

    def counted(m, batch):
        calls["gradients" if torch.is_grad_enabled() else "evaluations"] += 1
        return squares(m, batch)

    found = range_test(model, counted, line(), sgd(model), steps=steps)
    assert found.steps == pytest.approx(calls["gradients"] + calls["evaluations"] / 3)
    assert 0 < found.steps <= steps
    assert max(len(run.losses) for run in found.rehearsals) == (steps - 13) // 4


def test_a_minimum_makes_it_abstain():
    model = linear()
    with torch.no_grad():
        model[0].weight.copy_(torch.linspace(-1, 1, 8)[None])
    found = range_test(model, squares, line(noise=1.0), sgd(model))
    assert "at a minimum already" in found.abstained
    assert found.suggested == 0.0
    assert found.interval == (0.0, 0.0)
    assert "no rate suggested" in str(found)
    with pytest.raises(InvalidInput, match="abstained"):
        _ = found.rate
    assert all(math.isfinite(value) for run in found.rehearsals for value in run.losses)


def test_a_loss_without_a_minimum_has_no_rate():
    model = nn.Linear(2, 1)

    def slope(m, batch):
        return m(batch).mean() + 50.0

    found = range_test(model, slope, torch.ones(4, 2), sgd(model, lr=0.01))
    assert "falls without end" in found.abstained


def test_gradients_of_zero_have_no_rate():
    model = network()
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    model[1].eval()
    found = range_test(model, lambda m, batch: 0 * entropy(m, batch) + 1, clusters(), sgd(model), steps=80)
    assert found.abstained
    assert found.suggested == 0.0


def test_losses_below_zero_are_compared_by_their_differences():
    model = linear()

    def shifted(m, batch):
        return squares(m, batch) - 100.0

    found = range_test(model, shifted, line(), sgd(model))
    assert 0.1 < found.rate < 1.0


def test_dead_units_count_as_failure():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 4))

    def pushed(m, batch):  # drives the biases of the hidden layer down, at high rates until nothing passes
        return entropy(m, batch) + 0.05 * m[0].bias.sum() + 10

    found = range_test(model, pushed, clusters(100), sgd(model))
    assert all(run.rate < found.cliff for run in found.rehearsals if run.finals)
    assert found.cliff < math.inf


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "RMSprop", "NAdam", "Adagrad", "Rprop", "Adadelta"])
def test_every_optimizer_gets_a_number_or_a_reason(kind):
    model = network()
    found = range_test(model, entropy, clusters(), getattr(torch.optim, kind)(model.parameters(), lr=1e-2), steps=80)
    if found.abstained:
        assert found.suggested == 0.0
    else:
        assert 0 < found.interval[0] <= found.rate <= found.interval[1] < math.inf
        assert found.rate < found.cliff


def test_groups_keep_their_ratios():
    model = network()
    groups = [{"params": model[0].parameters(), "lr": 1e-2}, {"params": model[4].parameters(), "lr": 1e-3}]
    seen = []

    class Spy(torch.optim.SGD):
        def step(self, closure=None):
            seen.append([group["lr"] for group in self.param_groups])
            return super().step(closure)

    found = range_test(model, entropy, clusters(), Spy(groups), steps=80)
    assert all(first == pytest.approx(10 * second) for first, second in seen)
    assert max(first for first, _ in seen) == pytest.approx(max(run.rate for run in found.rehearsals))


def test_a_lowest_rate_that_alone_is_left_is_said_to_be_the_lowest_tried():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1), nn.Flatten(0))
    x = torch.randn(100, 16, 4, generator=torch.Generator().manual_seed(1))
    found = range_test(model, squares, [(one, one.sum(1)) for one in x], sgd(model))
    assert [run.ending for run in found.rehearsals] == ["good", "diverged", "diverged", "diverged"]
    assert "lower rates may do as well, none was tried" in found.reason
    assert len(found.rehearsals[0].losses) < 80  # with nothing to compare it ends


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"steps": 30}, InvalidInput, ">= 77"),
        ({"total_steps": 0}, InvalidInput, ">= 1"),
        ({"model": "net"}, InvalidType, "torch.nn.Module"),
        ({"loss": nn.MSELoss()}, InvalidType, "supervised"),
        ({"optimizer": "sgd"}, InvalidType, "Optimizer"),
        ({"data": []}, InvalidInput, "no batch"),
        ({"data": [(torch.full((4, 8), math.nan), torch.zeros(4))]}, NotFinite, "at the start"),
    ],
)
def test_refusals(change, error, says):
    model = linear()
    arguments = {"model": model, "loss": squares, "data": line(), "optimizer": sgd(model), **change}
    options = {key: arguments.pop(key) for key in ("steps", "total_steps") if key in arguments}
    with pytest.raises(error, match=says):
        range_test(**arguments, **options)


def test_optimizers_it_cannot_test():
    model = linear()
    with pytest.raises(InvalidType, match="closure"):
        range_test(model, squares, line(), torch.optim.LBFGS(model.parameters()))
    with pytest.raises(InvalidInput, match="trains no parameter"):
        range_test(model, squares, line(), sgd(linear()))
    with pytest.raises(InvalidInput, match="first group's rate"):
        range_test(model, squares, line(), sgd(model, lr=0.0))


def test_an_endless_iterator_is_read_no_further_than_needed():
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield line(1)[0]

    model = linear()
    range_test(model, squares, endless(), sgd(model))
    assert len(taken) == 81


def test_the_record_and_the_figure():
    model = network()
    found = range_test(model, entropy, clusters(), sgd(model, momentum=0.9))
    record = found.to_dict()
    assert RangeTest.from_dict(record) == found
    assert record["kind"] == "range test"
    figures = pytest.importorskip("surefoot.report.figures")
    svg = figures.range_figure(record)
    ElementTree.fromstring(svg)
    assert "suggested" in svg
    record["abstained"], record["suggested"] = "because <b>", 0.0
    assert "suggested" not in figures.range_figure(record)


def test_batches_of_very_different_losses_are_no_failure():
    g = torch.Generator().manual_seed(4)
    x = torch.randn(60, 1, 8, generator=g)
    y = x @ torch.linspace(-1, 1, 8)  # one sample a batch: the first may be fitted already
    model = linear()
    found = range_test(model, squares, list(zip(x, y, strict=True)), sgd(model))
    low = min(found.rehearsals, key=lambda run: run.rate)
    assert not low.stopped
