import copy
import math
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from training.cases import CASES

from surefoot import noise, problems
from surefoot.errors import InvalidInput, InvalidType, NotFinite, NotRepeatable
from surefoot.training import (
    gauss_newton,
    gradient_noise,
    hessian,
    mean_square_limits,
    optimizer_limits,
    stochastic_curvature,
    supervised,
)
from surefoot.training.model.batches import gather
from surefoot.training.model.parameters import select
from surefoot.training.noise._sources import SampleSource

mse = supervised(functional.mse_loss)
cross_entropy = supervised(functional.cross_entropy)


@pytest.fixture(autouse=True)
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


def classifier(samples=300, width=6):
    x = torch.randn(samples, 5)
    y = (x[:, :3] + torch.randn(samples, 3)).argmax(1)
    return nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Linear(width, 3)), cross_entropy, (x, y)


def one_by_one(model, loss, data):
    """The gradients of single samples, shape (n, P)."""
    rows = []
    for i in range(len(data[0])):
        value = loss(model, tuple(t[i : i + 1] for t in data))
        found = torch.autograd.grad(value, [p for p in model.parameters() if p.requires_grad], allow_unused=True)
        rows.append(
            torch.cat(
                [
                    torch.zeros(p.numel()) if g is None else g.flatten()
                    for g, p in zip(found, model.parameters(), strict=True)
                ]
            )
        )
    return torch.stack(rows).numpy()


def test_all_there_is_gives_the_definition():
    model, loss, data = classifier()
    g = one_by_one(model, loss, data)
    G = g.mean(axis=0)
    trace = ((g - G) ** 2).sum(axis=1).mean()
    noise = gradient_noise(model, loss, data, whole=True)
    assert noise.variance == pytest.approx(trace, rel=1e-10)
    assert noise.scale == pytest.approx(trace / (G @ G), rel=1e-10)
    sampled = gradient_noise(model, loss, data)
    assert sampled.variance == pytest.approx(trace * 300 / 299, rel=1e-10)
    assert sampled.square == pytest.approx(G @ G - sampled.variance / 300, rel=1e-9)
    assert sampled.groups == 300
    assert sampled.gradients == 2


def test_torch_and_numpy_agree():
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal((30, 3)), rng.standard_normal(30)
    model = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        model.weight[:] = torch.tensor([[0.5, -1.0, 2.0]])

    def half(model, batch):
        return mse(model, batch) / 2

    here = gradient_noise(model, half, (torch.tensor(A), torch.tensor(b)[:, None]), whole=True)
    there = noise.gradient_noise(problems.LeastSquares(A, b), [0.5, -1.0, 2.0])
    assert here.variance == pytest.approx(there.variance, rel=1e-10)
    assert here.scale == pytest.approx(there.scale, rel=1e-10)


def test_a_list_of_batches_is_the_same_as_one():
    model, loss, (x, y) = classifier()
    parts = [(x[:100], y[:100]), (x[100:140], y[100:140]), (x[140:], y[140:])]
    one, three = (gradient_noise(model, loss, data, whole=True) for data in ((x, y), parts))
    assert three.variance == pytest.approx(one.variance, rel=1e-9)
    assert three.scale == pytest.approx(one.scale, rel=1e-9)


def test_mini_batches_agree_with_samples():
    model, loss, data = classifier(2000)
    exact = gradient_noise(model, loss, data, whole=True)
    grouped = [gradient_noise(model, loss, data, groups=40, rng=seed) for seed in range(20)]
    assert all(noise.groups == 40 and noise.samples == 2000 for noise in grouped)
    assert np.mean([noise.variance for noise in grouped]) == pytest.approx(exact.variance, rel=0.08)
    # of 20 intervals at 95% five misses or more have a probability of .003
    assert sum(not noise.variance_bounds.contains(exact.variance) for noise in grouped) < 5
    assert sum(not noise.scale_bounds.contains(exact.scale) for noise in grouped) < 5


@pytest.mark.parametrize("name", ["LSTM", "checkpointed", "BatchNorm2d train"])
def test_what_vmap_cannot_do_is_measured_by_mini_batches(name):
    model, loss, data = CASES[name]()
    noise = gradient_noise(model, loss, data)
    assert "mini-batches" in noise.source
    assert "single samples fail" in noise.note
    with pytest.raises(InvalidInput, match="single samples"):
        gradient_noise(model, loss, data, whole=True)


@pytest.mark.parametrize(
    "name", ["Conv2d", "attention causal", "tied weights", "unused parameters", "RMSNorm", "Embedding"]
)
def test_per_sample_gradients_are_those_of_single_samples(name):
    model, loss, data = CASES[name]()
    batches = gather(data, loss)
    source = SampleSource(model, loss, batches, select(model))
    mean = source.mean()
    away = torch.cat([d for _, d in source.deviations(mean)])
    np.testing.assert_allclose(away + mean, one_by_one(model, loss, data), atol=1e-10)


def test_weighted_samples_count_by_what_they_change():
    """Of class weights: the variance of the gradients of batches drawn from the data, times the batch."""
    model, _, data = classifier()
    loss = supervised(nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 0.2])))
    noise = gradient_noise(model, loss, data, whole=True)
    generator, batch = torch.Generator().manual_seed(0), 100
    rows = []
    for _ in range(2000):
        index = torch.randint(300, (batch,), generator=generator)
        value = loss(model, (data[0][index], data[1][index]))
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))]))
    drawn = batch * float(torch.stack(rows).var(dim=0).sum())
    assert noise.variance == pytest.approx(drawn, rel=0.1)


def test_ignored_samples_add_nothing():
    model, loss, (x, y) = classifier()
    y = y.clone()
    y[::3] = -100
    noise = gradient_noise(model, loss, (x, y), whole=True)
    kept = gradient_noise(model, loss, (x[y >= 0], y[y >= 0]), whole=True)
    assert noise.square == pytest.approx(kept.square, rel=1e-9)
    # a batch of B then holds 2 B/3 of them
    assert noise.variance == pytest.approx(1.5 * kept.variance, rel=1e-9)


def test_with_curvature():
    model, loss, data = classifier(640)
    G = gauss_newton(model, loss, data)
    noise = gradient_noise(model, loss, data, curvature=G)
    g = one_by_one(model, loss, data)
    mean, away = g.mean(axis=0), g - g.mean(axis=0)
    bent = np.stack([G.matvec(d) for d in away])
    scale = (away * bent).sum(axis=1).mean() / (mean @ G.matvec(mean))
    assert noise.curvature_scale_bounds.contains(scale)
    assert noise.curvature_scale == pytest.approx(scale, rel=0.5)
    assert "33 products" in noise.note


def state_of(model, data):
    return (
        [p.detach().clone() for p in model.parameters()],
        [b.clone() for b in model.buffers()],
        [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        [m.training for m in model.modules()],
        [p.requires_grad for p in model.parameters()],
        torch.get_rng_state(),
        torch.from_numpy(np.random.get_state()[1].astype(np.int64)),  # noqa: NPY002
        random.getstate(),
        [t.clone() for t in data],
    )


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return one == other


@pytest.mark.parametrize("norm", ["train", "eval"])
def test_nothing_of_the_run_is_changed(norm):
    _, loss, data = classifier()
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))
    loss(model, data).backward()
    model.train(norm == "train")
    model[0].bias.requires_grad_(False)
    identities = [id(p) for p in model.parameters()]
    before = copy.deepcopy(state_of(model, data))
    noise = gradient_noise(model, loss, data)
    assert ("mini-batches" in noise.source) == (norm == "train")
    stochastic_curvature(model, loss, data, 16, draws=2)
    stochastic_curvature(model, loss, data, 16, draws=2, rate=0.1)
    gradient_noise(model, loss, data, curvature=gauss_newton(model.eval(), loss, data))
    model.train(norm == "train")
    assert same(before, state_of(model, data))
    assert identities == [id(p) for p in model.parameters()]


def test_the_same_call_gives_the_same_numbers():
    model, loss, data = classifier()
    assert gradient_noise(model, loss, data, groups=10) == gradient_noise(model, loss, data, groups=10)
    assert gradient_noise(model, loss, data, groups=10, rng=1) != gradient_noise(model, loss, data, groups=10)
    assert gradient_noise(model, loss, data, samples=50).samples == 50


def bad_data():
    model, loss, (x, y) = classifier()
    x = x.clone()
    x[7, 0] = math.nan
    return model, loss, (x, y)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gradient_noise(*bad_data()), NotFinite, "nan|NaN"),
        (
            lambda: gradient_noise(nn.Sequential(nn.Linear(5, 3), nn.Dropout()), *classifier()[1:]),
            NotRepeatable,
            "dropout",
        ),
        (lambda: gradient_noise(*classifier(), groups=2), InvalidInput, ">= 3"),
        (lambda: gradient_noise(*classifier(), samples=1), InvalidInput, ">= 3"),
        (lambda: gradient_noise(*classifier(2)), InvalidInput, "at least 3"),
        (lambda: gradient_noise(*classifier(), failure=0.0), InvalidInput, "failure"),
        (lambda: gradient_noise(*classifier(), whole=True, groups=5), InvalidInput, "whole"),
        (lambda: gradient_noise(*classifier(), curvature=np.eye(3)), InvalidType, "operator"),
        (
            lambda: gradient_noise(*classifier(), curvature=hessian(*classifier(), parameters=["2"])),
            InvalidInput,
            "same",
        ),
        (lambda: gradient_noise(nn.BatchNorm1d(5), cross_entropy, classifier(3)[2]), InvalidInput, "more than one"),
        (lambda: mean_square_limits(*classifier(300, width=100), 1), InvalidInput, "samples=266"),
        (lambda: mean_square_limits(*classifier(30), 0), InvalidInput, "batch"),
        (lambda: mean_square_limits(*classifier(30), 1, max_memory=10), InvalidInput, "max_memory"),
        (lambda: stochastic_curvature(*classifier(), 200), InvalidInput, "one pass holds 1"),
        (lambda: stochastic_curvature(*classifier(), 16, draws=1), InvalidInput, "draws"),
        (lambda: stochastic_curvature(*classifier(), 16, rate=-1.0), InvalidInput, "rate"),
        (lambda: stochastic_curvature(*classifier(), 16, width=0.0), InvalidInput, "width"),
        (lambda: stochastic_curvature(*classifier(), 16, failure=2.0), InvalidInput, "failure"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---- mean-square stability ------------------------------------------------------------------------------


def test_mean_square_limit_of_a_linear_model_is_the_problems_own():
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal((30, 4)), rng.standard_normal(30)
    model = nn.Linear(4, 1, bias=False)
    for batch in (1, 5):
        here = mean_square_limits(model, mse, (torch.tensor(A), torch.tensor(b)[:, None]), batch, rtol=1e-6)
        there = noise.mean_square_limits(problems.LeastSquares(math.sqrt(2) * A, b), batch, rtol=1e-6)
        assert here.stable == pytest.approx(there.stable, rel=1e-5)
    classes = rng.integers(0, 3, 30)
    W = rng.standard_normal((3, 4))
    model = nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        model.weight[:] = torch.tensor(W)
    here = mean_square_limits(model, cross_entropy, (torch.tensor(A), torch.tensor(classes)), 2, rtol=1e-6)
    there = noise.mean_square_limits(problems.Softmax(A, classes), 2, at=W.ravel(), rtol=1e-6)
    assert here.stable == pytest.approx(there.stable, rel=1e-5)


def test_mean_square_limit_of_a_network_from_both_sides():
    """More parameters than samples: a network that fits its data; its own second moments, every batch of one."""
    x = torch.randn(4, 2)
    model = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1))
    limit = mean_square_limits(model, mse, (x, model(x).detach()), 1).stable
    parameters = list(model.parameters())
    J = torch.stack(
        [torch.cat([g.flatten() for g in torch.autograd.grad(model(x)[i, 0], parameters)]) for i in range(4)]
    ).numpy()
    r = np.linalg.qr(J.T).R
    for factor, grows in ((0.97, False), (1.03, True)):
        steps = [np.eye(4) - factor * limit * 2 * np.outer(row, row) for row in r.T]
        radius = np.abs(np.linalg.eigvals(sum(np.kron(A, A) for A in steps) / 4)).max()
        assert (radius > 1) == grows


def test_coupled_or_unequal_samples_are_refused():
    _, loss, (x, y) = classifier(30)
    normed = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
    with pytest.raises(InvalidInput, match="batch normalisation"):
        mean_square_limits(normed, loss, (x, y), 1)
    y = y.clone()
    y[0] = -100
    with pytest.raises(InvalidInput, match="weigh"):
        mean_square_limits(nn.Linear(5, 3), loss, (x, y), 1)


# ---- curvature through mini-batches ---------------------------------------------------------------------


def test_curvature_of_equal_batches_is_exact():
    model = nn.Linear(2, 1, bias=False)
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).repeat(32, 1)
    # batches dealt out in pairs, so that each has the same Hessian diag(1, 4)
    batches = [(x[i : i + 2], 3 * torch.ones(2, 1)) for i in range(0, 64, 2)]
    seen = stochastic_curvature(model, mse, batches, 2)
    assert seen.largest_upper == pytest.approx(4.0, rel=1e-6)
    H, u = hessian(model, mse, batches), hessian(model, mse, batches[:1]).gradient()
    assert seen.along == pytest.approx(u @ H.matvec(u) / (u @ u), rel=1e-9)
    assert seen.along_upper == pytest.approx(seen.along, rel=1e-9)
    assert seen.stable == pytest.approx(0.5, rel=1e-6)


def test_secant_of_a_quadratic_is_its_curvature_and_small_steps_tend_to_it():
    x = torch.randn(400, 3)
    data = (x, x @ torch.randn(3, 1) + torch.randn(400, 1))
    linear = nn.Linear(3, 1)
    point, secant = (stochastic_curvature(linear, mse, data, 32, draws=3, rate=rate) for rate in (None, 0.5))
    assert secant.along == pytest.approx(point.along, rel=1e-9)
    model, loss, data = classifier(400)
    point = stochastic_curvature(model, loss, data, 32, draws=3)
    short, long = (stochastic_curvature(model, loss, data, 32, draws=3, rate=rate) for rate in (1e-4, 1.0))
    assert short.along == pytest.approx(point.along, rel=1e-3)
    assert abs(long.along - point.along) > abs(short.along - point.along)


def test_largest_is_bounded_for_all_data_and_tightens_with_the_batch():
    model, loss, data = classifier(2000)
    full = np.linalg.eigvalsh(np.stack([hessian(model, loss, data).matvec(e) for e in np.eye(57)]))[-1]
    found = [stochastic_curvature(model, loss, data, batch) for batch in (8, 32, 128)]
    assert all(seen.largest_upper >= full for seen in found)  # nominally 95% each, and biased upwards
    assert found[0].largest_upper > found[2].largest_upper
    assert all(seen.safe == pytest.approx(seen.stable / 2) for seen in found)
    wide = stochastic_curvature(model, loss, data, 32, width=2.0)
    assert wide.largest_upper > found[1].largest_upper
    assert "interval of 2" in str(wide)
    assert type(wide).from_dict(wide.to_dict()) == wide


def test_an_optimizer_is_measured_in_its_own_metric():
    model, loss, data = classifier(400)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    plain, heavy = (
        stochastic_curvature(model, loss, data, 32, draws=3),
        stochastic_curvature(model, loss, data, 32, draws=3, optimizer=sgd),
    )
    assert (heavy.along, heavy.largest_upper) == (plain.along, plain.largest_upper)
    assert heavy.stable == pytest.approx(1.9 * plain.stable)
    adam = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    loss(model, data).backward()
    adam.step()
    point = stochastic_curvature(model, loss, data, 32, draws=3, optimizer=adam)
    secant = stochastic_curvature(model, loss, data, 32, draws=3, optimizer=adam, rate=1e-7)
    assert secant.along == pytest.approx(point.along, rel=1e-3)
    whole = optimizer_limits(hessian(model, loss, data), adam)
    assert 0.3 * whole.curvature_limit < point.stable < whole.curvature_limit
    coupled = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.5)
    for rate in (None, 1e-5):
        decayed = stochastic_curvature(model, loss, data, 32, draws=3, optimizer=coupled, rate=rate)
        bare = stochastic_curvature(model, loss, data, 32, draws=3, rate=rate)
        assert decayed.along == pytest.approx(bare.along + 0.5, rel=1e-6)
