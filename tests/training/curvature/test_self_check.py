"""The check that a second derivative is one: what it lets pass, what it finds, what it cannot decide."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import surefoot as sf
from surefoot.training import hessian, supervised

mse = supervised(functional.mse_loss)


def batch():
    torch.manual_seed(0)
    return torch.randn(40, 3), torch.randn(40, 2)


class Square(torch.autograd.Function):
    """x^2 with the right gradient and a second derivative that is 30% too large."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * g * (1.3 * x - 0.3 * x.detach())


@pytest.mark.parametrize("cast", [lambda z: z, torch.Tensor.float], ids=["any precision", "single inside"])
def test_a_wrong_second_derivative_is_found(cast):
    model = nn.Linear(3, 2)

    def loss(model, batch):
        return Square.apply(cast(model(batch[0]))).mean()

    with pytest.raises(sf.errors.NotSmooth, match=r"wrong by 2\d"):
        hessian(model, loss, batch())
    assert hessian(model, loss, batch(), check=False).checked == "not asked for"


def test_a_right_one_passes():
    for model in (nn.Linear(3, 2), nn.Sequential(nn.Linear(3, 200), nn.ReLU(), nn.Linear(200, 2))):
        assert hessian(model, mse, batch()).checked.startswith("agrees with a difference of gradients")


def test_a_model_made_for_one_precision_is_not_checked():
    model = nn.Linear(3, 2)

    def loss(model, batch):
        if batch[0].dtype != torch.float32:
            raise TypeError("float32 only")
        return mse(model, batch)

    assert "does not run in float64 (TypeError: float32 only)" in hessian(model, loss, batch()).checked


def test_rounding_inside_the_model_is_no_alarm():
    model = nn.Sequential(nn.Linear(3, 20), nn.Tanh(), nn.Linear(20, 2))

    def loss(model, batch):
        return mse(lambda x: model(x).float(), (batch[0], batch[1].float()))

    assert hessian(model, loss, batch()).checked.split()[0] in ("agrees", "not")


def test_the_check_leaves_random_states_alone():
    model = nn.Linear(3, 2)
    data = batch()
    state = torch.get_rng_state()
    hessian(model, mse, data)
    assert torch.equal(torch.get_rng_state(), state)
