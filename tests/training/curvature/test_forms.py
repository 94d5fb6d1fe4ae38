"""Forms in which models come: dictionaries and losses of Hugging Face's kind, autocast."""

from collections import UserDict
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import surefoot as sf
from surefoot.training import empirical_fisher, hessian, supervised

cross_entropy = supervised(functional.cross_entropy)


@dataclass
class Output:
    loss: torch.Tensor
    logits: torch.Tensor


class Encoding(UserDict):
    """As tokenizers return it: a mapping that can be moved."""

    def to(self, device):
        return Encoding({k: v.to(device) for k, v in self.items()})


class LanguageModel(nn.Module):
    """A stand-in: keywords in, an object with .loss out, padding marked by -100 in the labels."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.mix = nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)

    def forward(self, input_ids, attention_mask, labels):
        h = self.embed(input_ids) * attention_mask[..., None]
        logits = self.norm(h + self.mix(h.cumsum(1)).tanh()) @ self.embed.weight.T
        loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        return Output(loss, logits)


def batches(kind):
    torch.manual_seed(0)
    made = []
    for size in (4, 3):
        ids = torch.randint(11, (size, 5))
        mask = torch.ones(size, 5)
        mask[0, 3:] = 0
        labels = ids.masked_fill(mask == 0, -100)
        made.append(kind({"input_ids": ids, "attention_mask": mask, "labels": labels}))
    return made


def loss(model, batch):
    return model(**batch).loss


@pytest.mark.parametrize("kind", [dict, Encoding])
def test_models_that_return_their_loss(kind):
    torch.manual_seed(0)
    model = LanguageModel()
    data = batches(kind)
    H = hessian(model, loss, data, count=lambda b: int((b["labels"][:, 1:] != -100).sum()))
    assert "agrees" in H.checked
    whole = {k: torch.cat([b[k] for b in data]) for k in data[0]}
    one = hessian(model, loss, kind(whole))
    v = np.random.default_rng(0).standard_normal(H.shape[0])
    np.testing.assert_allclose(H @ v, one @ v, rtol=2e-4, atol=1e-5)
    assert sf.spectrum(H, rtol=0.1).largest.lower > 0


def test_their_empirical_fisher_needs_samples_of_equal_weight():
    torch.manual_seed(0)
    model, (batch, _) = LanguageModel().double(), batches(dict)
    batch["attention_mask"] = torch.ones(4, 5).double()
    batch["labels"] = batch["input_ids"]
    assert empirical_fisher(model, loss, batch).psd
    batch["labels"] = batch["labels"].clone()
    batch["labels"][0, 2:] = -100
    with pytest.raises(sf.errors.InvalidInput, match="mean over its samples"):
        empirical_fisher(model, loss, batch)


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.LayerNorm(32), nn.Linear(32, 4))
    return model, (torch.randn(200, 10), torch.randint(4, (200,)))


def test_autocast_states_its_error_and_its_intervals_hold():
    model, batch = network()
    full = hessian(model, cross_entropy, batch)
    low = hessian(model, cross_entropy, batch, autocast=torch.bfloat16)
    assert low.precision == torch.finfo(torch.bfloat16).eps
    assert "agrees" in low.checked
    assert "bfloat16 products off by" in low.checked
    stated = float(low.checked.partition("off by ")[2].partition("%")[0]) / 100
    v = full.gradient() / np.linalg.norm(full.gradient())
    seen = np.linalg.norm(low @ v - full @ v) / np.linalg.norm(full @ v)
    assert 0 < seen < 5 * stated < 0.2
    truth = sf.spectrum(full, rtol=1e-4).largest
    found = sf.spectrum(low, rtol=0.3)
    assert found.largest.lower <= truth.lower
    assert truth.upper <= found.largest.upper


def test_autocast_leaves_the_caller_as_it_was():
    model, batch = network()
    H = hessian(model, cross_entropy, batch, autocast=torch.bfloat16)
    H @ np.ones(H.shape[0])
    assert not torch.is_autocast_enabled("cpu")
    assert model(batch[0]).dtype == torch.float32


def test_other_precisions_are_refused():
    model, batch = network()
    with pytest.raises(sf.errors.InvalidInput, match="bfloat16"):
        hessian(model, cross_entropy, batch, autocast=torch.float16)
