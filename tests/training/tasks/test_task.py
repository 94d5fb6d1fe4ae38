"""A training problem as `surefoot.advise` sees it."""

import math

import numpy as np
import pytest
import torch
from torch import nn, optim
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import surefoot as sf
from surefoot.errors import InvalidInput
from surefoot.targets import Target
from surefoot.training import Task, digits_task, supervised

cross_entropy = supervised(functional.cross_entropy)
mse = supervised(functional.mse_loss)


@pytest.fixture(scope="module")
def digits():
    return digits_task()


def blobs(n=96):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 3
    return torch.randn(n, 4, generator=generator) + 3 * functional.one_hot(y, 4), y


def network(dropout=0.0):
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 3))


def test_it_is_a_target(digits):
    assert isinstance(digits, Target)
    assert digits.name == "digits"
    facts = digits.describe()
    assert facts["parameters"] == "8,970"
    assert facts["samples"] == "1,797"
    assert facts["batch size"] == "64"
    assert all(isinstance(value, str) for value in facts.values())
    assert digits.initial_loss() == pytest.approx(math.log(10), abs=0.05)
    assert digits.constant_loss() == pytest.approx(math.log(10), abs=1e-3)


def test_candidates(digits):
    labels = [candidate.label for candidate in digits.candidates()]
    assert labels == ["SGD", "SGD momentum 0.9", "SGD Nesterov 0.9", "AdamW"]
    sgd, momentum, nesterov, adamw = digits.candidates()
    assert sgd.method == sf.methods.GradientDescent()
    assert momentum.method == sf.methods.HeavyBall(0.9)
    assert nesterov.method == sf.methods.Nesterov(0.9)
    assert adamw.method == sf.methods.EMAMomentum(0.9)
    assert digits.operator(sgd) is digits.operator(momentum) is digits.operator(nesterov)
    assert digits.operator(adamw) is not digits.operator(sgd)
    assert "28 batches" in adamw.note


def test_a_run_learns_repeats_and_leaves_the_start_alone(digits):
    momentum = digits.candidates()[1]
    state = torch.get_rng_state()
    first, second = digits.trial(momentum, 0.1, 60), digits.trial(momentum, 0.1, 60)
    assert first == second
    assert len(first) == 61
    assert first[-1] < 0.5 * digits.initial_loss()
    assert torch.equal(torch.get_rng_state(), state)
    assert digits.initial_loss() == digits_task().initial_loss()


def test_a_run_that_blows_up_stops(digits):
    losses = digits.trial(digits.candidates()[0], 1e8, 50)
    assert len(losses) < 51
    assert math.isnan(losses[-1])


def test_the_order_is_the_same_for_each_rate(digits):
    sgd = digits.candidates()[0]
    slow, slower = digits.trial(sgd, 1e-9, 5), digits.trial(sgd, 1e-10, 5)
    np.testing.assert_allclose(slow, slower, rtol=1e-5)


def test_the_callers_model_is_never_touched():
    torch.manual_seed(0)
    model = network(dropout=0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    task = Task(model, cross_entropy, blobs(), batch_size=16)
    for candidate in task.candidates():
        sf.spectrum(task.operator(candidate), rtol=0.1)
        task.trial(candidate, 0.1, 5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert all(module.training for module in model.modules())
    with torch.no_grad():
        model[0].weight.zero_()  # and the task keeps its own start
    assert task.initial_loss() == Task(task.model, cross_entropy, blobs()).initial_loss()


def test_dropout_is_off_for_curvature_and_said_to_be():
    task = Task(lambda: network(dropout=0.5), cross_entropy, blobs())
    assert "off while curvature is measured" in task.describe()["dropout"]
    task.operator(task.candidates()[0])
    sgd = task.candidates()[0]
    assert task.trial(sgd, 0.05, 10) == task.trial(sgd, 0.05, 10)


@pytest.mark.parametrize("form", ["whole", "list", "loader"])
def test_forms_of_data(form):
    x, y = blobs()
    data = {
        "whole": (x, y),
        "list": [(x[i : i + 16], y[i : i + 16]) for i in range(0, 96, 16)],
        "loader": DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True),
    }[form]
    task = Task(nn.Linear(4, 3), cross_entropy, data, batch_size=16)
    assert task.describe()["batch size"] == "16"
    assert task.describe()["samples"] == "96"
    losses = task.trial(task.candidates()[0], 0.5, 40)
    assert losses[-1] < 0.5


def test_curvature_on_a_part_of_the_data():
    x, y = blobs()
    batches = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 96, 16)]
    for data in ((x, y), batches):
        task = Task(nn.Linear(4, 3), cross_entropy, data, curvature_samples=40)
        part = sum(task.curvature().batches.counts)
        assert part == (40 if data is not batches else 48)
        assert f"{part:.0f} samples" in task.describe()["curvature measured on"]


def test_own_optimizers_and_the_optimizers_terrain():
    task = Task(
        nn.Linear(4, 3).double(),
        cross_entropy,
        (blobs()[0].double(), blobs()[1]),
        optimizers={
            "ridge": lambda p, rate: optim.SGD(p, lr=rate, weight_decay=0.5),
            "RMSprop": lambda p, rate: optim.RMSprop(p, lr=rate),
        },
    )
    plain = np.linalg.eigvalsh(np.stack([task.curvature() @ e for e in np.eye(15)]))
    ridge, rmsprop = task.candidates()
    shifted = np.linalg.eigvalsh(np.stack([task.operator(ridge) @ e for e in np.eye(15)]))
    np.testing.assert_allclose(shifted, plain + 0.5, atol=1e-12)
    assert rmsprop.method == sf.methods.GradientDescent()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Task("model", mse, blobs()), "a function; got 'model'"),
        (lambda: Task(lambda: 3, mse, blobs()), "factory must return"),
        (lambda: Task(nn.Linear(4, 3), nn.MSELoss(), blobs()), "wrap it: supervised"),
        (lambda: Task(nn.Linear(4, 3), mse, []), "no batch"),
        (lambda: Task(nn.Linear(4, 3), mse, blobs(), batch_size=0), "batch_size must be a whole number >= 1"),
        (lambda: Task(nn.Linear(4, 3), lambda m, b: m(b[0]), blobs()).initial_loss(), "take its mean"),
    ],
)
def test_refusals(make, says):
    with pytest.raises(sf.errors.SurefootError, match=says):
        make()


def test_a_loss_that_is_not_finite_is_nan():
    model = nn.Linear(4, 3)
    nn.init.constant_(model.weight, math.inf)
    assert math.isnan(Task(model, cross_entropy, blobs()).initial_loss())


def test_advise_on_a_small_task():
    advice = sf.advise(Task(lambda: network(), cross_entropy, blobs(), batch_size=16, name="blobs"), trial_steps=30)
    assert not advice.abstained
    assert all(recommendation.suggested for recommendation in advice.recommendations)
    assert all(check.agrees is not False for r in advice.recommendations for check in r.verification)
    assert "blobs" in str(advice)


def test_a_model_without_anything_to_train_is_refused():
    loss = supervised(nn.functional.cross_entropy)
    batch = (torch.randn(6, 3), torch.randint(2, (6,)))
    with pytest.raises(InvalidInput, match="nothing to train"):
        Task(nn.ReLU(), loss, batch)
    with pytest.raises(InvalidInput, match="nothing to train"):
        Task(nn.Linear(3, 2).requires_grad_(False), loss, batch)


def test_a_trial_that_collapsed_says_what_a_constant_predictor_reaches():
    """At a rate far too large all units die: the loss that is left is that of a constant, whatever the criterion is."""
    torch.manual_seed(0)
    x = torch.randn(256, 8) + 3
    y = (x @ torch.linspace(-1, 1, 8) > 0).long()
    task = Task(
        lambda: nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)),
        lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
        (x, y),
    )
    _, momentum, _, adamw = task.candidates()
    assert task.constant_loss() is None
    assert task.trial(momentum, 0.01, 100)[-1] < 0.2
    assert task.constant_loss() is None  # this one has learnt
    final = task.trial(adamw, 0.3, 100)[-1]
    assert task.constant_loss() == final
    assert final == pytest.approx(math.log(2), rel=0.02)
