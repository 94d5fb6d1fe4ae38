"""What cannot be measured is refused with the reason and what would fix it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from surefoot import errors
from surefoot.training import hessian, supervised

mse = supervised(functional.mse_loss)
x, y = torch.randn(6, 3), torch.randn(6, 2)


def linear():
    return nn.Linear(3, 2)


def frozen():
    return nn.Linear(3, 2).requires_grad_(False)


def poisoned():
    model = nn.Linear(3, 2)
    model.weight.data[0, 0] = float("nan")
    return model


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.exp()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        return g * ctx.saved_tensors[0].exp()


def dropout(model, batch):
    return functional.dropout(model(batch[0]), 0.5).square().mean()


@pytest.mark.parametrize(
    ("model", "loss", "data", "error", "says"),
    [
        (nn.ReLU, mse, (x, y), errors.InvalidInput, "no parameters"),
        (frozen, mse, (x, y), errors.InvalidInput, "frozen; set requires_grad_"),
        (lambda: nn.LazyLinear(2), mse, (x, y), errors.InvalidInput, "lazy"),
        (lambda: nn.Linear(3, 2, dtype=torch.complex64), mse, (x, y), errors.InvalidType, "complex64"),
        (lambda: "model", mse, (x, y), errors.InvalidType, "a torch.nn.Module; got 'model'"),
        (poisoned, mse, (x, y), errors.NotFinite, "the loss is nan"),
        (linear, mse, (x / 0, y), errors.NotFinite, "check the data"),
        (linear, mse, [], errors.InvalidInput, "no batch"),
        (linear, mse, [(x, y), (x[:0], y[:0])], errors.InvalidInput, "batch 1 of 2 weighs 0"),
        (linear, mse, 3, errors.InvalidType, "DataLoader; got a int"),
        (linear, mse, x.numpy(), errors.InvalidType, "as_tensor"),
        (linear, mse, x, errors.InvalidType, r"batches \(x, y\).*got a Tensor"),
        (linear, mse, (x,), errors.InvalidType, "of length 1"),
        (linear, nn.MSELoss(), (x, y), errors.InvalidType, r"supervised\(MSELoss\(\)\)"),
        (linear, "loss", (x, y), errors.InvalidType, "a function"),
        (linear, lambda m, b: (m(b[0]) - b[1]) ** 2, (x, y), errors.InvalidInput, r"shape \(6, 2\): take its mean"),
        (linear, lambda m, b: mse(m, b).item(), (x, y), errors.InvalidType, "got a float"),
        (linear, lambda m, b: mse(m, b).detach(), (x, y), errors.InvalidInput, "detached"),
        (linear, lambda m, b: mse(m, b) * 1j, (x, y), errors.InvalidType, "must be real"),
        (linear, dropout, (x, y), errors.NotRepeatable, "draws random numbers"),
        (
            lambda: nn.Sequential(linear(), nn.Dropout(0.1)),
            mse,
            (x, y),
            errors.NotRepeatable,
            r"\(1\); call model.eval",
        ),
        (lambda: nn.Sequential(linear(), nn.RReLU()), mse, (x, y), errors.NotRepeatable, "train mode"),
        (linear, lambda m, b: np.random.rand() * mse(m, b), (x, y), errors.NotRepeatable, "evaluations"),  # noqa: NPY002
    ],
)
def test_construction_refuses(model, loss, data, error, says):
    with pytest.raises(error, match=says) as caught:
        hessian(model(), loss, data)
    assert isinstance(caught.value, errors.SurefootError)


def test_dropout_before_a_zero_head_is_still_seen():
    # the loss is the same whatever is dropped, its curvature is not
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    nn.init.zeros_(model[2].weight)
    with pytest.raises(errors.NotRepeatable, match="dropout"):
        hessian(model, mse, (x, y))


def test_dropout_off_is_accepted():
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    hessian(model.eval(), mse, (x, y))
    model.train()[1].eval()
    hessian(model, mse, (x, y))


def test_a_seed_fixed_inside_the_loss_is_accepted():
    def loss(model, batch):
        torch.manual_seed(0)
        return dropout(model, batch)

    H = hessian(linear(), loss, (x, y))
    assert (H @ np.ones(8) == H @ np.ones(8)).all()


class Reentrant(nn.Linear):
    def forward(self, x):
        return checkpoint(super().forward, x.requires_grad_(), use_reentrant=True)


@pytest.mark.parametrize(
    ("model", "loss", "data", "says"),
    [
        (linear(), lambda m, b: Once.apply(m(b[0])).mean(), (x, y), "wrong by 100%"),
        (Reentrant(3, 2), mse, (x.clone(), y), "use_reentrant=False"),
    ],
    ids=["once differentiable", "reentrant checkpoint"],
)
def test_what_has_no_second_derivative_is_not_smooth(model, loss, data, says):
    with pytest.raises(errors.NotSmooth, match=says):
        _ = hessian(model, loss, data) @ np.ones(sum(p.numel() for p in model.parameters()))


@pytest.mark.parametrize(
    ("parameters", "error", "says"),
    [
        (["weigth"], errors.InvalidInput, "did you mean weight"),
        ([nn.Parameter(torch.zeros(2))], errors.InvalidInput, "not a parameter of the model"),
        ([], errors.InvalidInput, "selects nothing"),
        ([3], errors.InvalidType, "names or tensors"),
    ],
)
def test_blocks_are_checked(parameters, error, says):
    with pytest.raises(error, match=says):
        hessian(linear(), mse, (x, y), parameters=parameters)


def test_frozen_blocks_are_refused():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    for chosen in (["0"], [model[0].weight]):
        with pytest.raises(errors.InvalidInput, match="frozen"):
            hessian(model, mse, (x, y), parameters=chosen)


@pytest.mark.parametrize(
    ("criterion", "error", "says"),
    [
        (nn.MSELoss, errors.InvalidType, r"give an instance: MSELoss\(\)"),
        (nn.MSELoss(reduction="sum"), errors.InvalidInput, "reduction='mean'"),
        (3, errors.InvalidType, "a function"),
    ],
)
def test_criteria_are_checked(criterion, error, says):
    with pytest.raises(error, match=says):
        supervised(criterion)


def test_negative_memory():
    with pytest.raises(errors.InvalidInput, match="max_memory"):
        hessian(linear(), mse, (x, y), max_memory=-1)
