"""The range test: its answer beside closed forms, what it leaves untouched, when it abstains."""

import copy
import math
import random
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from surefoot.errors import InvalidInput, InvalidType, NotFinite
from surefoot.solvers import Ending
from surefoot.training import RangeTest, Rehearsal, range_test, supervised
from surefoot.training.model.batches import gather
from surefoot.training.range_tests._rehearsal import Stage
from surefoot.training.range_tests._search import SAME, Search, rate_of, search

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
    assert found.limit == pytest.approx(1.0, rel=1e-4)
    assert found.steps <= 100


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_rate_scales_with_the_inverse_of_the_curvature(factor):
    model = linear()
    base = range_test(model, squares, line(), sgd(model))

    def scaled(m, batch):
        return factor * squares(m, batch)

    other = range_test(model, scaled, line(), sgd(model))
    assert other.rate * factor == pytest.approx(base.rate, rel=0.01)  # a thousand lies on the grid
    assert other.limit * factor == pytest.approx(base.limit, rel=1e-4)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_the_suggestion_stays_twice_below_the_smallest_rate_that_failed(factor):
    """The loss is a number up to 1.02 only: the rates that do best lie right below those that fail."""
    model = nn.Module()
    model.w = nn.Parameter(torch.zeros(1))

    def walled(m, _):
        return factor * (m.w - 1).square().mean() * (1.0 if m.w.abs().max() < 1.02 else math.nan)

    found = range_test(model, walled, [(torch.zeros(2), torch.zeros(2))] * 24, sgd(model))
    assert found.rate == pytest.approx(found.cliff / 2, rel=1e-12)
    assert found.interval[1] >= found.rate


def test_momentum_stays_below_its_limit_and_says_that_it_was_lowered():
    model = linear()
    heavy = range_test(model, squares, line(), sgd(model, momentum=0.9))
    assert heavy.limit == pytest.approx(2 * 1.9 / 2, rel=1e-4)
    assert heavy.rate < heavy.limit
    assert "momentum builds up" in heavy.reason


def test_the_share_that_momentum_builds_up():
    model = linear()
    batches = gather(line(), squares)
    stage = Stage(model, squares, sgd(model, momentum=0.9), batches, 16, 4, 0)
    expected = 1 - 0.9 * (1 - 0.9**16) / (16 * (1 - 0.9))  # the sum of the geometric series
    assert stage.buildup == pytest.approx(expected, rel=1e-12)
    assert Stage(model, squares, sgd(model), batches, 16, 4, 0).buildup == 1.0
    adam = torch.optim.AdamW(model.parameters())
    assert Stage(model, squares, adam, batches, 16, 4, 0).buildup == 1.0
    assert Stage(model, squares, adam, batches, 16, 4, 0).warmup == 4


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_curvature_along_the_first_update_is_the_quotient(momentum):
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 2.0]]))
    x, y = torch.diag(torch.tensor([1.0, 3.0])), torch.zeros(2, 1)  # H = diag(1, 9)
    stage = Stage(model, squares, sgd(model, momentum=momentum, lr=0.37), gather((x, y), squares), 16, 4, 0)
    g = np.array([1.0, 18.0])
    along, note = stage.along(2)
    assert along == pytest.approx(g @ g / (g @ np.diag([1.0, 9.0]) @ g), rel=1e-5)
    assert note == ""
    assert stage.spent == 6


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
    range_test(model, entropy, loader, optimizer, steps=70)
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
    one = range_test(model, entropy, clusters(), optimizer)
    with torch.no_grad():
        assert range_test(model, entropy, clusters(), optimizer) == one
    assert range_test(model, entropy, clusters(), optimizer, rng=1) != one


@pytest.mark.parametrize("steps", [60, 100, 250])
@pytest.mark.parametrize("repeats", [1, 2])
def test_the_budget_holds(steps, repeats):
    model = linear()
    if repeats == 2 and steps < 108:
        with pytest.raises(InvalidInput, match="give at least 108"):
            range_test(model, squares, line(), sgd(model), steps=steps, repeats=repeats)
        steps = 108
    found = range_test(model, squares, line(), sgd(model), steps=steps, repeats=repeats)
    assert 0 < found.steps <= steps
    assert {run.repeat for run in found.rehearsals} == set(range(repeats))
    taken = sum(len(run.losses) + len(run.finals) / 3 for run in found.rehearsals) + repeats * 4 / 3 + 6
    stopped = sum(1 for run in found.rehearsals if run.stopped)
    assert taken <= found.steps + 1e-9 <= taken + stopped + 1e-6


def test_what_was_spent_is_what_was_run():
    model = linear()
    calls = {"gradients": 0, "evaluations": 0}

    def counted(m, batch):
        calls["gradients" if torch.is_grad_enabled() else "evaluations"] += 1
        return squares(m, batch)

    found = range_test(model, counted, line(), sgd(model))
    # two of the evaluations with a gradient are those of the products, worth three each
    assert found.steps == pytest.approx(calls["gradients"] - 2 + 6 + calls["evaluations"] / 3)


def test_a_minimum_makes_it_abstain():
    model = linear()
    with torch.no_grad():
        model[0].weight.copy_(torch.linspace(-1, 1, 8)[None])
    found = range_test(model, squares, line(noise=1.0), sgd(model))
    assert found.abstained
    assert found.suggested == 0.0
    assert found.interval == (0.0, 0.0)
    assert "no rate suggested" in str(found)
    with pytest.raises(InvalidInput, match="abstained"):
        _ = found.rate
    assert all(math.isfinite(value) for run in found.rehearsals for value in run.losses)


def test_a_loss_without_curvature_begins_at_the_optimizers_rate_and_says_so():
    model = nn.Linear(2, 1)

    def slope(m, batch):
        return m(batch).mean() + 50.0

    found = range_test(model, slope, torch.ones(4, 2), sgd(model, lr=0.01))
    assert found.rehearsals[0].rate == pytest.approx(0.01)
    assert found.limit == math.inf
    assert found.abstained  # the loss only falls the faster, at every rate
    assert "the largest rate" in found.abstained


def test_losses_below_zero_are_compared_by_their_differences():
    model = linear()

    def shifted(m, batch):
        return squares(m, batch) - 100.0

    found = range_test(model, shifted, line(), sgd(model))
    assert 0.1 < found.rate < 1.0


def test_dead_units_count_as_failure():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 4))
    stage = Stage(model, entropy, sgd(model), gather(clusters(), entropy), 16, 4, 0)
    assert not stage.rehearse(0.1, 0, 1e9).stopped

    def pushed(m, batch):  # drives the biases of the hidden layer down until nothing passes
        return 0.01 * entropy(m, batch) + 0.05 * m[0].bias.sum() + 10

    stage = Stage(model, pushed, sgd(model), gather(clusters(), entropy), 16, 4, 0)
    collapsed = stage.rehearse(20.0, 0, 1e9)
    assert "no longer depends on the input" in collapsed.stopped
    assert collapsed.ending is Ending.COLLAPSED


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "RMSprop", "NAdam", "Adagrad", "Rprop", "Adadelta"])
def test_every_optimizer_gets_a_number_or_a_reason(kind):
    model = network()
    found = range_test(model, entropy, clusters(), getattr(torch.optim, kind)(model.parameters(), lr=1e-2))
    if found.abstained:
        assert found.suggested == 0.0
    else:
        assert 0 < found.interval[0] <= found.rate <= found.interval[1] < math.inf
        assert found.rate <= found.cliff / 2


def test_groups_keep_their_ratios():
    model = network()
    groups = [{"params": model[0].parameters(), "lr": 1e-2}, {"params": model[4].parameters(), "lr": 1e-3}]
    batches = gather(clusters(), entropy)
    seen = []

    class Spy(torch.optim.SGD):
        def step(self, closure=None):
            seen.append([group["lr"] for group in self.param_groups])
            return super().step(closure)

    Stage(model, entropy, Spy(groups), batches, 16, 4, 0).rehearse(0.5, 0, 1e9)
    assert seen[3] == pytest.approx([0.5, 0.05])  # a kind that is not known is warmed up over a quarter
    assert all(first == pytest.approx(10 * second) for first, second in seen)
    assert seen[-1][0] < 0.01


class TestSearch:
    @staticmethod
    def found(gain_of, first, most=9):
        runs = []

        def rehearse(rate):
            if len(runs) == most:
                return None
            runs.append(rate)
            gain = gain_of(4 * math.log10(rate))
            finals = () if gain == -math.inf else (math.exp(-gain),)
            return Rehearsal(rate=rate, repeat=0, losses=(1.0,), finals=finals)

        result = Search((1.0,))
        search(result, first, rehearse)
        return result, len(runs)

    @given(top=st.integers(-20, 8), off=st.integers(-5, 5), width=st.floats(2.0, 6.0))
    @settings(max_examples=60, deadline=None)
    def test_a_hill_is_climbed_to_its_top(self, top, off, width):
        result, _ = self.found(lambda i: 2 * math.exp(-(((i - top) / width) ** 2)), top + off, most=30)
        assert result.best() == top
        assert abs(result.centre() - top) < 1

    @given(top=st.integers(-20, 8), off=st.integers(-4, 4))
    @settings(max_examples=40, deadline=None)
    def test_a_cliff_right_above_the_best_rate_is_found(self, top, off):
        gain = lambda i: -math.inf if round(i) > top else 10 ** ((i - top) / 4)  # noqa: E731
        result, _ = self.found(gain, top + off, most=30)
        assert result.best() == top
        assert min(result.failing) in (top + 1, top + 2)
        assert result.centre() <= top

    def test_tiny_gains_are_left_by_decades(self):
        result, spent = self.found(lambda i: 0.5 * 10 ** ((i - 0) / 4) if i <= 0 else -math.inf, -16, most=12)
        assert result.best() == 0
        assert spent <= 9  # by half decades alone 12

    def test_what_is_as_good_is_the_plateau(self):
        gains = {0: 0.5, 2: 1.0, 3: 1 - SAME / 2, 4: 0.99, 6: -math.inf}
        result = Search((1.0,))
        for i, gain in gains.items():
            finals = () if gain == -math.inf else (math.exp(-gain),)
            ending = Ending.SLOW if finals else Ending.DIVERGED
            result.runs[i] = Rehearsal(rate=rate_of(i), repeat=0, losses=(1.0,), finals=finals, ending=ending)
        assert result.plateau() == (2, 4)
        assert 2 < result.centre() < 4
        assert result.failing == [6]
        assert [run.ending for run in result.ended()] == ["slow", "good", "good", "good", "diverged"]


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"steps": 30}, InvalidInput, "give at least"),
        ({"repeats": 0}, InvalidInput, "at least 1"),
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
    options = {key: arguments.pop(key) for key in ("steps", "repeats") if key in arguments}
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
    assert len(taken) == 20


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
    assert "linear limit at the start" in svg
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
