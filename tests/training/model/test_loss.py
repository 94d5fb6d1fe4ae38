"""What a criterion knows beyond its value."""

import functools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from surefoot.training import supervised

labels = torch.tensor([0, 0, 0, 1, 2, -100])
ENTROPY = -(0.6 * math.log(0.6) + 2 * 0.2 * math.log(0.2))

WITHOUT_2 = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))


@pytest.mark.parametrize(
    ("criterion", "target", "expected"),
    [
        (functional.cross_entropy, labels, ENTROPY),
        (nn.CrossEntropyLoss(), labels, ENTROPY),
        (nn.NLLLoss(), labels, ENTROPY),
        (functools.partial(functional.cross_entropy, ignore_index=2), labels[:5], WITHOUT_2),
        (nn.CrossEntropyLoss(label_smoothing=0.1), labels, None),
        (nn.CrossEntropyLoss(weight=torch.ones(3)), labels, None),
        (nn.MSELoss(), torch.tensor([[0.0, 1.0], [2.0, 1.0]]), 0.5),
        (functional.mse_loss, torch.tensor([1.0, 3.0]), 1.0),
        (nn.BCEWithLogitsLoss(), torch.tensor([0.0, 0.0, 1.0, 1.0]), math.log(2)),
        (nn.BCELoss(), torch.tensor([1.0, 1.0]), 0.0),
        (nn.L1Loss(), torch.tensor([1.0, 3.0]), None),
    ],
)  # fmt: skip
def test_the_best_constant(criterion, target, expected):
    found = supervised(criterion).constant_loss([(None, target[:1]), (None, target[1:])])
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-12))


@pytest.mark.parametrize(
    ("criterion", "target", "expected"),
    [
        (functional.cross_entropy, labels, 5),
        (nn.CrossEntropyLoss(ignore_index=0), labels.clamp(min=0), 2),
        (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 4.0])), labels, 9),
        (functional.cross_entropy, labels.view(2, 3), 5),
        (functional.cross_entropy, torch.rand(6, 3), 6),
        (functional.mse_loss, torch.rand(6, 3), 6),
        (functional.mse_loss, torch.tensor(3.0), 1),
    ],
)
def test_what_a_batch_weighs(criterion, target, expected):
    assert supervised(criterion).weight((None, target)) == expected


def test_names_and_convexity():
    assert supervised(nn.MSELoss()).convex
    assert supervised(functools.partial(functional.cross_entropy, label_smoothing=0.1)).convex
    assert not supervised(lambda z, y: (z * y).mean()).convex
    assert repr(supervised(functional.cross_entropy)) == "supervised(cross_entropy)"


def test_several_inputs():
    model = nn.Bilinear(2, 3, 1)
    batch = (torch.ones(4, 2), torch.ones(4, 3), torch.zeros(4, 1))
    expected = functional.mse_loss(model(batch[0], batch[1]), batch[2])
    assert torch.equal(supervised(functional.mse_loss)(model, batch), expected)
