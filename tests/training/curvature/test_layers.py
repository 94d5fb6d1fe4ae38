"""Hessian products against central differences of the gradient in float64, layer by layer."""

import numpy as np
import pytest
import torch
from training.cases import CASES, built

from surefoot.training import hessian

STEP = 1e-5  # balances the third derivative's h^2 against the rounding of gradients, eps/h: both near 1e-10


def differenced(H, v):
    """(g(theta + h v) - g(theta - h v)) / 2h, parameters put back."""
    saved = [p.detach().clone() for p in H.parameters]
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            for p, start, d in zip(H.parameters, saved, H.block.split(v), strict=True):
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
    v = np.random.default_rng(0).standard_normal(H.shape[0])
    expected = differenced(H, v)
    assert np.linalg.norm(expected) > 1e-3  # a row of zeros would prove nothing
    assert np.linalg.norm(H @ v - expected) <= 1e-6 * np.linalg.norm(expected)


@pytest.mark.parametrize("name", CASES)
def test_rebuilding_gives_the_same(name):
    model, loss, data = built(name)
    kept, rebuilt = hessian(model, loss, data), hessian(model, loss, data, max_memory=0)
    assert kept.kept_batches == len(kept.batches.items)
    assert rebuilt.kept_batches == 0
    v = np.random.default_rng(1).standard_normal(kept.shape[0])
    np.testing.assert_allclose(rebuilt @ v, kept @ v, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_float32_agrees_with_float64(name):
    # kernels differ between dtypes: a float32 kernel without a right second derivative would show here
    model, loss, data = built(name)
    v = np.random.default_rng(2).standard_normal(hessian(model, loss, data).shape[0])
    exact = hessian(model, loss, data) @ v
    small, loss32, data32 = built(name, dtype=torch.float32)
    H = hessian(small, single(loss32), lowered(data32))
    assert H.precision == torch.finfo(torch.float32).eps
    assert np.linalg.norm(H @ v - exact) <= 2e-3 * np.linalg.norm(exact)


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
