"""Hessian products against central differences of the gradient in float64, layer by layer."""

import inspect
import re

import numpy as np
import pytest
import torch
from torch import nn
from training.cases import CASES, built, cross_entropy, made
from training.more_cases import LAZY, MORE, NOT_TWICE, RANDOM, SHRINKING

import surefoot as sf
from surefoot.errors import InvalidInput, NotRepeatable, NotSmooth
from surefoot.training import hessian

STEP = 1e-5  # balances the third derivative's h^2 against the rounding of gradients, eps/h: both near 1e-10


def differenced(H, v):
    """(g(theta + h v) - g(theta - h v)) / 2h, parameters put back."""
    saved = [p.detach().clone() for p in H.parameters]
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            for p, start, d in zip(H.parameters, saved, H.block.split(torch.from_numpy(v)), strict=True):
                p.copy_(start + sign * STEP * d)
        ends.append(H.gradient())
    with torch.no_grad():
        for p, start in zip(H.parameters, saved, strict=True):
            p.copy_(start)
    return (ends[0] - ends[1]) / (2 * STEP)


@pytest.mark.parametrize("name", CASES)
def test_hessian_is_right_on(name):
    model, loss, data = built(name)
    H = hessian(model, loss, data)
    assert H.kept_batches == len(H.batches.items)
    v = np.random.default_rng(0).standard_normal(H.shape[0])
    product = H @ v
    expected = differenced(H, v)
    assert np.linalg.norm(expected) > 1e-3  # a row of zeros would prove nothing
    assert np.linalg.norm(product - expected) <= 1e-6 * np.linalg.norm(expected)
    rebuilt = hessian(model, loss, data, max_memory=0, check=False)
    assert rebuilt.kept_batches == 0
    np.testing.assert_allclose(rebuilt @ v, product, rtol=1e-9, atol=1e-11)
    # kernels differ between dtypes: a float32 kernel without a right second derivative would show here
    small, loss32, data32 = built(name, dtype=torch.float32)
    low = hessian(small, single(loss32), lowered(data32))
    assert low.precision == torch.finfo(torch.float32).eps
    assert np.linalg.norm(low @ v - product) <= 2e-3 * np.linalg.norm(product)


@pytest.mark.parametrize("name", MORE)
def test_hessian_is_right_with_the_option(name):
    model, loss, data = made(MORE[name])
    H = hessian(model, loss, data)
    if name == "grid_sample" and "is not implemented" in H.checked:
        pytest.skip("this PyTorch has no second derivative of it")
    assert H.checked.startswith("agrees")
    v = np.random.default_rng(0).standard_normal(H.shape[0])
    first = next(iter(model.children()), None)
    row = getattr(first, "padding_idx", None)
    if row is not None:  # padding is a constant of the loss, and no part of the direction
        v[4 * row : 4 * row + 4] = 0
    expected = differenced(H, v)
    assert np.linalg.norm(expected) > 1e-3
    assert np.linalg.norm(H @ v - expected) <= 1e-6 * np.linalg.norm(expected)


@pytest.mark.parametrize("name", SHRINKING)
def test_rows_that_shrink_are_held(name):
    model, loss, data = made(SHRINKING[name])
    before = model[0].weight.detach().clone()
    assert hessian(model, loss, data).checked.startswith("agrees")
    assert torch.equal(model[0].weight, before)


@pytest.mark.parametrize("name", NOT_TWICE)
def test_what_pytorch_cannot_differentiate_twice_is_named(name):
    with pytest.raises(NotSmooth, match=r"cannot be differentiated twice.*replace that operation"):
        sf.spectrum(hessian(*made(NOT_TWICE[name])))


@pytest.mark.parametrize("name", RANDOM)
def test_what_is_random_in_train_mode_is_named(name):
    layer, shape = RANDOM[name]
    model = nn.Sequential(layer(), nn.Flatten(), nn.LazyLinear(3))
    x = torch.randn(*shape)
    model(x)
    with pytest.raises(NotRepeatable):
        hessian(model, cross_entropy, (x, torch.zeros(shape[0], dtype=torch.long)))


@pytest.mark.parametrize("name", LAZY)
def test_what_has_no_shape_yet_is_named(name):
    arguments = () if "Norm" in name else (3,) if "Linear" in name else (3, 2)
    with pytest.raises(InvalidInput, match="lazy"):
        hessian(LAZY[name](*arguments), cross_entropy, (torch.randn(2, 2, 4, 4), torch.zeros(2)))


def test_every_layer_of_pytorch_has_a_case():
    # what holds other modules, or is another's base or old name
    none = {"Module", "Container", "DataParallel", "NLLLoss2d", "RNNBase", "RNNCellBase"}
    names = [*CASES, *MORE, *SHRINKING, *NOT_TWICE, *RANDOM, *LAZY]
    assert len(set(names)) == len(names) >= 252
    seen = {type(m).__name__ for build in (CASES | MORE).values() for m in made(build)[0].modules()} | set(names)
    seen |= {word for name in names for word in re.split(r"\W+", name)}
    seen |= {"MaxUnpool1d", "Fold", "MSELoss"}
    classes = {n for n in dir(nn) if inspect.isclass(value := getattr(nn, n)) and issubclass(value, nn.Module)}
    assert classes - seen == none & classes


def lowered(data):
    if isinstance(data, torch.Tensor):
        return data.float() if data.is_floating_point() else data
    if isinstance(data, dict):
        return {key: lowered(value) for key, value in data.items()}
    return type(data)(lowered(value) for value in data)


def single(loss):
    criterion = getattr(loss, "criterion", None)
    if isinstance(criterion, torch.nn.Module):
        criterion.float()
    return loss
