"""Blocks of a curvature matrix, and the matrix as an optimizer sees it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import surefoot as sf
from surefoot.errors import InvalidInput, InvalidType
from surefoot.training import blocks, gauss_newton, hessian, optimizer_curvature, optimizer_limits, supervised

mse = supervised(functional.mse_loss)


def problem(curvature=hessian):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.LayerNorm(4), nn.Linear(4, 2)).double()
    return model, curvature(model, mse, (torch.randn(11, 3).double(), torch.randn(11, 2).double()))


def dense(H):
    return np.stack([H @ e for e in np.eye(H.shape[0])])


def places(H, names):
    edges = np.cumsum([0, *(p.numel() for p in H.parameters)])
    return np.concatenate([np.arange(edges[i], edges[i + 1]) for i, name in enumerate(H.names) if name in names])


@pytest.mark.parametrize("curvature", [hessian, gauss_newton])
@pytest.mark.parametrize("by", ["layers", "parameters"])
def test_each_block_is_the_block_of_the_matrix(curvature, by):
    _, H = problem(curvature)
    matrix, found = dense(H), blocks(H, by)
    assert sum(block.shape[0] for block in found.values()) == H.shape[0]
    for block in found.values():
        rows = places(H, block.names)
        np.testing.assert_allclose(dense(block), matrix[np.ix_(rows, rows)], atol=1e-13)
        assert block.psd == H.psd


def test_names_of_blocks():
    model, H = problem()
    assert list(blocks(H)) == ["0", "2", "3"]
    assert list(blocks(H, "parameters")) == list(H.names)
    assert {k: b.names for k, b in blocks(H, ["0", "3.bias"]).items()} == {
        "0": ("0.weight", "0.bias"),
        "3.bias": ("3.bias",),
    }
    assert {k: b.names for k, b in blocks(H, {"biases": ["0.bias", model[3].bias], "norm": "2"}).items()} == {
        "biases": ("0.bias", "3.bias"),
        "norm": ("2.weight", "2.bias"),
    }


def test_groups_of_an_optimizer():
    model, H = problem()
    weights, biases = [p for p in model.parameters() if p.ndim > 1], [p for p in model.parameters() if p.ndim == 1]
    named = {"params": biases, "name": "biases"} if "name" in torch.optim.SGD.__doc__ else {"params": biases}
    optimizer = torch.optim.SGD([{"params": weights}, named], lr=0.1)
    found = blocks(H, "groups", optimizer=optimizer)
    assert [block.names for block in found.values()] == [
        ("0.weight", "3.weight"),
        ("0.bias", "2.weight", "2.bias", "3.bias"),
    ]


def test_interlacing():
    _, H = problem()
    whole = np.linalg.eigvalsh(dense(H))
    for block in blocks(H).values():
        values = np.linalg.eigvalsh(dense(block))
        assert whole[0] - 1e-12 <= values[0]
        assert values[-1] <= whole[-1] + 1e-12


def test_blocks_follow_the_model():
    model, H = problem()
    block = blocks(H)["0"]
    with torch.no_grad():
        model[0].weight.mul_(2)
    rows = places(H, block.names)
    np.testing.assert_allclose(dense(block), dense(H)[np.ix_(rows, rows)], atol=1e-13)


@pytest.mark.parametrize(
    ("by", "message"),
    [("layer", "layers"), ("groups", "optimizer"), ([], "no block"), (["head"], "head"), ({"a": []}, "nothing")],
)
def test_blocks_that_are_none(by, message):
    with pytest.raises(InvalidInput, match=message):
        blocks(problem()[1], by)


def test_a_block_must_be_of_the_operator():
    _, H = problem()
    with pytest.raises(InvalidInput, match="block"):
        H.restricted(["0"]).restricted(["3"])
    with pytest.raises(InvalidType, match="curvature operator"):
        blocks(np.eye(3))  # type: ignore[arg-type]


def test_preconditioned_by_the_second_moment():
    model, H = problem()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        mse(model, H.batches.items[0]).backward()
        optimizer.step()
    v = torch.cat([optimizer.state[p]["exp_avg_sq"].flatten() for p in H.parameters])
    d = 1 / np.sqrt((v / (1 - 0.999**3)).sqrt().numpy() + 1e-8)
    expected = d[:, None] * (dense(H) + 0.1 * np.eye(H.shape[0])) * d
    found = optimizer_curvature(H, optimizer)
    np.testing.assert_allclose(dense(found), expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())
    limit = optimizer_limits(H, optimizer, rtol=1e-6).curvature_limit
    assert limit == pytest.approx(38 / sf.spectrum(found, rtol=1e-6).largest.upper, rel=1e-5)


def test_plain_gradient_descent_sees_the_matrix_itself():
    model, H = problem()
    assert optimizer_curvature(H, torch.optim.SGD(model.parameters(), lr=0.1)) is H
    with pytest.raises(InvalidType, match="Adagrad"):
        optimizer_curvature(H, torch.optim.Adagrad(model.parameters()))
