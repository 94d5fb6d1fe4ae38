"""What a criterion knows beyond its value."""

import functools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import surefoot as sf
from surefoot.errors import InvalidType
from surefoot.training import fisher, gauss_newton, gradient_noise, mean_square_limits, supervised

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


class Reader(nn.Module):
    """Takes a tokenizer's mapping and returns an object with a loss and logits."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(10, 4), nn.Linear(4, 3)

    def forward(self, input_ids, attention_mask, labels=None):
        mask = attention_mask[..., None]
        logits = self.head((self.embed(input_ids) * mask).sum(1) / mask.sum(1))
        loss = None if labels is None else functional.cross_entropy(logits, labels)
        return SimpleNamespace(loss=loss, logits=logits)


def own(model, batch):
    return model(**batch).loss


@pytest.fixture
def read():
    torch.manual_seed(0)
    ids, mask = torch.randint(0, 10, (64, 5)), (torch.rand(64, 5) < 0.8).float()
    mask[:, 0] = 1
    return Reader(), {"input_ids": ids, "attention_mask": mask, "labels": torch.randint(0, 3, (64,))}


def test_a_mapping_with_labels_and_an_output_with_logits(read):
    model, batch = read
    loss = supervised(functional.cross_entropy)
    assert loss(model, batch) == own(model, batch)
    assert loss.weight(batch) == 64
    assert loss.constant_loss([batch]) == pytest.approx(1.0940, abs=1e-3)
    noise, other = gradient_noise(model, loss, batch), gradient_noise(model, own, batch)
    assert noise.source == other.source == "gradients of single samples"
    assert noise.variance == pytest.approx(other.variance, rel=1e-6)
    limit = mean_square_limits(model, loss, batch, 8)
    G, F = gauss_newton(model, loss, batch), fisher(model, loss, batch)
    v = np.ones(G.shape[1])
    np.testing.assert_allclose(G @ v, F @ v, rtol=1e-5)
    assert 0 < limit.stable < 2 / sf.spectrum(G, which="largest").largest.lower


@pytest.mark.parametrize("use", [gauss_newton, fisher])
def test_a_loss_of_the_models_own_is_read_through_its_logits(read, use):
    model, batch = read
    found, expected = use(model, own, batch), use(model, supervised(functional.cross_entropy), batch)
    v = np.ones(found.shape[1])
    np.testing.assert_allclose(found @ v, expected @ v, rtol=1e-5)


def test_a_loss_that_hides_its_outputs_is_told_what_to_give(read):
    says = r"function does not give; give supervised\(criterion\)"
    with pytest.raises(InvalidType, match=says):
        mean_square_limits(read[0], own, read[1], 8)
    for use in (gauss_newton, fisher):
        with pytest.raises(InvalidType, match=says):
            use(nn.Linear(2, 1), lambda m, b: m(b).square().mean(), torch.ones(3, 2))


@pytest.mark.parametrize(("model", "batch", "says"), [
    (Reader(), {"input_ids": torch.ones(1)}, 'entry "labels"; got a dict with the entries input_ids'),
    (nn.LSTM(2, 2), (torch.ones(1, 2, 2), 1), "tuple without logits"),
    (Reader(), torch.ones(3), "got a Tensor"),
])  # fmt: skip
def test_batches_and_outputs_that_hold_no_target_or_answer(model, batch, says):
    with pytest.raises(InvalidType, match=says):
        supervised(functional.cross_entropy)(model, batch)
