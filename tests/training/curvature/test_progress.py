"""Curvature over a loader of many batches says how far it is, and computes the same."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from surefoot.training import empirical_fisher, fisher, gauss_newton, hessian, supervised

loss = supervised(nn.functional.cross_entropy)


@pytest.fixture
def problem():
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(22, 3), torch.randint(2, (22,)))
    return nn.Linear(3, 2), DataLoader(data, batch_size=4)


@pytest.mark.parametrize("make", [hessian, gauss_newton, fisher, empirical_fisher])
def test_every_batch_of_every_product_is_told(problem, make):
    model, loader = problem
    told = []
    operator = make(model, loss, loader, progress=lambda *seen: told.append(seen))
    assert {seen[2] for seen in told} == {"loss"}
    told.clear()
    v = np.ones(operator.shape[0])
    first, second = operator @ v, operator @ v
    assert [seen[:2] for seen in told] == 2 * [(i, 6) for i in range(1, 7)]
    assert len({seen[2] for seen in told}) == 2
    assert {seen[3] for seen in told} == {None}
    quiet = make(model, loss, loader)
    assert (quiet @ v).tolist() == first.tolist() == second.tolist()


def test_a_gradient_is_told_and_a_block_inherits(problem):
    model, loader = problem
    told = []
    operator = hessian(model, loss, loader, progress=lambda *seen: told.append(seen))
    told.clear()
    operator.gradient()
    assert [seen[2] for seen in told] == 6 * ["gradient"]
    told.clear()
    operator.restricted(["weight"]) @ np.ones(6)
    assert told
    operator.progress = None
    told.clear()
    operator.gradient()
    assert not told
