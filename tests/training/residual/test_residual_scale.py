"""Scaling branches: exactly x + h g(x), exactly undone, and what it buys in training."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from training.residual.residual_cases import MLP, PreNorm, inputs, stack

from surefoot.errors import InvalidInput, InvalidType, MissingExtra, NotRepeatable
from surefoot.targets import resolve
from surefoot.training import ResidualStability, ResidualTask, resnet_mlp_task, scale_residuals, supervised


class Functional(nn.Linear):
    """Its branch ends in a function: there is no module whose output a hook could scale, only the block's own."""

    def forward(self, x):
        return x + torch.tanh(super().forward(x))


class InATuple(Functional):
    """The same, and the block returns a tuple."""

    def forward(self, x):
        x = x[0] if isinstance(x, tuple) else x
        return super().forward(x), None


class Doubled(nn.Linear):
    """Two such branches."""

    def forward(self, x):
        x = x + torch.tanh(super().forward(x))
        return x + torch.sin(super().forward(x))


class Transposed(nn.Module):
    """The branch's module acts on the other axis, and its output is turned back and weighed."""

    def __init__(self, width):
        super().__init__()
        self.mix = nn.Linear(width, width)
        self.gain = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, x):
        return x + self.gain * self.mix(x.transpose(0, 1)).transpose(0, 1)


@pytest.mark.parametrize("block", [MLP, lambda n: Functional(n, n).double(), Transposed])
@pytest.mark.parametrize("h", [0.25, 0.03, 1.7])
def test_every_block_becomes_the_step(block, h):
    torch.manual_seed(0)
    blocks = [block(6).double() for _ in range(4)]
    model, x = nn.Sequential(*blocks), inputs(6, 6).double()
    expected = x
    for one in blocks:
        expected = expected + h * (one(expected) - expected)
    before = model(x)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    scales = scale_residuals(model, x, h)
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    scales.remove()
    assert torch.equal(model(x), before)
    assert not any(m._forward_hooks for m in model.modules())


def test_a_block_that_returns_a_tuple():
    block, x = InATuple(4, 4).double(), inputs(3, 4).double()
    expected = x + 0.5 * (block(x)[0] - x)
    with scale_residuals(nn.Sequential(block), x, 0.5):
        torch.testing.assert_close(block(x)[0], expected)
        assert block(x)[1] is None


def test_both_branches_of_a_transformer_layer():
    torch.manual_seed(0)
    layer, x, h = PreNorm(8).double(), inputs(2, 3, 8).double(), 0.3
    y = layer.norm1(x)
    middle = x + h * layer.attention(y, y, y, need_weights=False)[0]
    expected = middle + h * layer.mlp(layer.norm2(middle))
    with scale_residuals(nn.Sequential(layer), x, h) as scales:
        assert scales.scales == {"0.attention": h, "0.mlp": h}
        torch.testing.assert_close(layer(x), expected)
    plain = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, norm_first=True, batch_first=True).double()
    before = plain(x)
    with scale_residuals(plain, x) as scales:
        assert list(scales.scales) == ["dropout1", "dropout2"]
        assert set(scales.scales.values()) == {2**-0.5}
        assert not torch.allclose(plain(x), before)
    assert torch.equal(plain(x), before)


@pytest.mark.parametrize("scale", [[0.5, 2.0], np.array([0.5, 2.0])], ids=["list", "array"])
def test_one_scale_each(scale):
    model, x = nn.Sequential(MLP(4), MLP(4)).double(), inputs(3, 4).double()
    middle = x + 0.5 * (model[0](x) - x)
    expected = middle + 2 * (model[1](middle) - middle)
    with scale_residuals(model, x, scale) as scales:
        torch.testing.assert_close(model(x), expected)
        assert scales.scales == {"0": 0.5, "1": 2.0}
        assert "0.5 .. 2" in repr(scales)
    assert "removed" in repr(scales)


@pytest.mark.parametrize("block", [MLP, lambda n: Functional(n, n)])
def test_scales_multiply_and_come_off_one_by_one(block):
    torch.manual_seed(0)
    model, x = nn.Sequential(block(4), block(4)).double(), inputs(3, 4).double()
    before = model(x)
    with scale_residuals(model, x, 0.5):
        half = model(x)
        with scale_residuals(model, x, 0.5):
            quarter = model(x)
        assert torch.equal(model(x), half)
    with scale_residuals(model, x, 0.25):
        torch.testing.assert_close(model(x), quarter)
    assert torch.equal(model(x), before)


def test_copies_and_pickles_keep_the_scales_and_state_dicts_fit():
    model, x = stack(3), inputs(5, 8)
    plain = copy.deepcopy(model)
    scales = scale_residuals(model, x)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(copied(x), model(x))
    plain.load_state_dict(model.state_dict())
    scales.remove()
    assert torch.equal(plain(x), model(x))


def test_gradients_of_a_branch_carry_the_scale():
    model, x = nn.Sequential(MLP(4)).double(), inputs(3, 4).double()
    model(x).sum().backward()
    plain = model[0].outer.weight.grad.clone()
    model.zero_grad()
    with scale_residuals(model, x, 0.125):
        model(x).sum().backward()
    torch.testing.assert_close(model[0].outer.weight.grad, plain / 8)


def shared():
    block = MLP(4)
    return nn.Sequential(block, block)


def also_elsewhere():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Linear(4, 4)

        def forward(self, x):
            return self.mix(x + self.mix(x))

    return Net()


@pytest.mark.parametrize(
    ("make", "arguments", "error", "message"),
    [
        (lambda: stack(2, 4), (0.0,), InvalidInput, "positive and finite; got 0.0"),
        (lambda: stack(2, 4), (float("nan"),), InvalidInput, "positive and finite"),
        (lambda: stack(2, 4), ([0.1, 0.2, 0.3],), InvalidInput, "2 branches need as many scales; got 3"),
        (lambda: stack(2, 4), ("1/L^2",), InvalidInput, r"1/sqrt\(L\) or 1/L; got '1/L\^2'"),
        (lambda: stack(2, 4), (None,), InvalidType, "scale must be a number"),
        (lambda: [lambda x: x], (), InvalidType, "model must be a torch.nn.Module; got"),
        (lambda: nn.Sequential(MLP(4), nn.Dropout()), (), NotRepeatable, "dropout"),
        (lambda: nn.Sequential(Doubled(4, 4)), (), InvalidInput, "ends in no module whose output a hook could scale"),
        (shared, ([0.1, 0.2],), InvalidInput, "0.outer ends several branches and can have one scale"),
        (also_elsewhere, (), InvalidInput, "mix runs 2 times and ends a residual branch in 1 of them"),
        (lambda: nn.Sequential(nn.Linear(4, 4)), (), InvalidInput, r"no x \+ g\(x\)"),
    ],
)
def test_refusals_leave_the_model_alone(make, arguments, error, message):
    model = make()
    with pytest.raises(error, match=message):
        scale_residuals(model, inputs(3, 4), *arguments)
    if isinstance(model, nn.Module):
        assert not any(m._forward_hooks for m in model.modules())


def test_a_shared_block_takes_one_scale():
    model, x = shared().double(), inputs(3, 4).double()
    expected = x
    for _ in range(2):
        expected = expected + 0.5 * (model[0](expected) - expected)
    with scale_residuals(model, x, 0.5):
        torch.testing.assert_close(model(x), expected)


def trained(depth, scale, rate):
    """The loss of a short AdamW run on a fixed batch, guessing if it fails."""
    model, x = stack(depth, width=16), inputs(64, 16)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    if scale is not None:
        scale_residuals(model, x[:2], scale)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    for _ in range(25):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    final = loss.item()
    return final if final < 10 else 10.0


def test_scaling_buys_training_at_depth():
    """The same start, steps and rates; each with the best of them."""
    rates = (3e-4, 1e-3, 3e-3)
    plain, scaled = (min(trained(48, scale, rate) for rate in rates) for scale in (None, "1/sqrt(L)"))
    assert scaled < 0.7 < 1.0986 < plain


def test_the_built_in_network():
    pytest.importorskip("sklearn")
    (task,) = resolve("resnet-mlp-6")
    assert (task.name, resolve("resnet-mlp")[0].name) == ("resnet-mlp-6", "resnet-mlp")
    assert isinstance(task, ResidualTask)
    (found,) = task.details()
    assert isinstance(found, ResidualStability)
    assert [block.name for block in found.blocks] == [f"blocks.{i}" for i in range(6)]
    assert found.scalings[0].forward[-1] == pytest.approx(2**3, rel=0.5)
    assert resnet_mlp_task(depth=6).initial_loss() == task.initial_loss()
    assert resnet_mlp_task(rng=1, depth=6).initial_loss() != task.initial_loss()


@pytest.mark.parametrize("depth", [3, 257])
def test_depths_out_of_range(depth):
    with pytest.raises((InvalidInput, MissingExtra), match=r"whole number from 4 to 256|scikit-learn"):
        resolve(f"resnet-mlp-{depth}")


def test_a_task_of_ones_own_has_the_details():
    x = inputs(32, 8)
    task = ResidualTask(stack(4), supervised(nn.functional.mse_loss), (x, x[:, :3]), blocks="[1-4]")
    (found,) = task.details()
    assert found.depth == 4
