"""Parameter groups: who belongs where, what is measured beside closed forms, what follows from it."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from surefoot.errors import InvalidInput, InvalidType
from surefoot.spectra import Bounds
from surefoot.training import GroupEvidence, hessian, suggest_groups, supervised
from surefoot.training.groups._groups import _decide, _noise
from surefoot.training.groups._partition import depths, output_module, partition

squares = supervised(functional.mse_loss)


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(12, 6)
        self.layers = nn.ModuleList([nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 6)) for _ in range(2)])
        self.head = nn.Linear(6, 12)

    def forward(self, x):
        h = self.embed(x)
        for layer in self.layers:
            h = h + layer(h).tanh()
        return self.head(h.mean(1))


def reader():
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(1)
    x = torch.randint(0, 12, (6, 16, 5), generator=g)
    return Reader(), supervised(functional.cross_entropy), [(one, one[:, 0]) for one in x]


def test_kinds_are_found_from_types_and_names():
    found = partition(Reader(), output="head")
    assert list(found) == ["embeddings", "biases and norms", "layers.0", "layers.1", "head"]
    assert found["embeddings"] == ["embed.weight"]
    assert found["layers.1"] == ["layers.1.1.weight"]
    assert found["head"] == ["head.weight"]
    assert "layers.0.0.weight" in found["biases and norms"]
    assert "head.bias" in found["biases and norms"]
    assert depths(found) == {"embeddings": 0, "layers.0": 1, "layers.1": 2, "head": 3}


class Tied(nn.Module):
    """The output is made with the embedding's matrix; the last module with one of its own is inside the last block."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(12, 6)
        self.layers = nn.ModuleList([nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 6)) for _ in range(2)])

    def forward(self, x):
        h = self.embed(x)
        for layer in self.layers:
            h = h + layer(h)
        return {"loss": h.sum(), "logits": functional.linear(h.mean(1), self.embed.weight)}


def test_the_head_is_the_output_module_or_there_is_none():
    x, y = torch.randint(0, 12, (16, 5)), torch.randint(0, 12, (16,))
    model, loss, _ = reader()
    assert output_module(model, loss, (x, y)) == "head"
    log_softmax = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.LogSoftmax(1))
    assert output_module(log_softmax, supervised(functional.nll_loss), (torch.ones(5, 3), y[:5] % 2)) == "2"
    tied, entropy = Tied(), lambda m, b: functional.cross_entropy(m(b[0])["logits"], b[1])
    assert output_module(tied, entropy, (x, y)) is None
    advice = suggest_groups(tied, entropy, [(x, y), (x.flip(0), y)], torch.optim.AdamW(tied.parameters()))
    assert [row.name for row in advice.evidence] == ["embeddings", "layers.0", "biases and norms", "layers.1"]


def test_every_parameter_once_whatever_the_groups():
    model = Reader()
    names = sorted(name for name, _ in model.named_parameters())
    for own in (None, {"mine": ["layers.0", "head.bias"]}, {"all": ["embed", "layers", "head"]}):
        found = partition(model, own)
        assert sorted(name for group in found.values() for name in group) == names
        assert all(found.values())
    assert partition(model, {"mine": ["layers.0"]})["mine"] == [n for n in names_in_order(model) if "layers.0" in n]
    with pytest.raises(InvalidInput, match="name it in one"):
        partition(model, {"a": ["head"], "b": ["head.bias"]})
    with pytest.raises(InvalidInput, match="did you mean"):
        partition(model, {"a": ["heda"]})


def names_in_order(model):
    return [name for name, _ in model.named_parameters()]


def test_one_matrix_is_no_head_and_frozen_ones_are_left_out():
    assert list(partition(nn.Linear(2, 2))) == ["weight", "biases and norms"]
    model = Reader()
    model.embed.requires_grad_(False)
    assert "embeddings" not in partition(model)


def test_the_curvature_of_a_block_is_its_own():
    torch.manual_seed(0)
    x = torch.cat([torch.randn(64, 3), 10 * torch.randn(64, 3)], 1)

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.small, self.large = nn.Linear(3, 1, bias=False), nn.Linear(3, 1, bias=False)

        def forward(self, x):
            return self.small(x[:, :3]) + self.large(x[:, 3:])

    model = Two()
    batches = [(one, one.sum(1, keepdim=True)) for one in x.split(16)]
    advice = suggest_groups(model, squares, batches, torch.optim.SGD(model.parameters(), lr=0.01))
    for row, part in zip(advice.evidence, (x[:, :3], x[:, 3:]), strict=True):
        exact = np.linalg.eigvalsh(2 * (part.T @ part).numpy() / 64).max()
        assert row.curvature.lower * 0.999 <= exact <= row.curvature.upper * 1.001
    assert [row.rate for row in advice.evidence] == pytest.approx([0.01, 0.01])  # the sharp one comes last


def test_noise_is_variance_over_signal():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    batches = [(torch.ones(2, 1), torch.full((2, 1), value)) for value in (1.0, 2.0, 3.0, 4.0)]
    H = hessian(model, squares, batches)
    gradients = np.array([-2.0, -4.0, -6.0, -8.0])
    variance = gradients.var(ddof=1)
    expected = variance / (gradients.mean() ** 2 - variance / 4)
    assert _noise(H, {"all": ["weight"]})["all"] == pytest.approx(expected)
    assert math.isnan(_noise(hessian(model, squares, batches[:1]), {"all": ["weight"]})["all"])
    opposed = hessian(model, squares, [(torch.ones(2, 1), torch.full((2, 1), v)) for v in (-1.0, 1.0)])
    assert _noise(opposed, {"all": ["weight"]})["all"] == math.inf


def row(name, curvature, noise, depth):
    bounds = Bounds(curvature, curvature, "estimate", "estimate")
    return GroupEvidence(
        name=name, size=1, depth=depth, curvature=bounds, noise=noise, rate=1.0, schedule="decaying", reason=""
    )


@pytest.mark.parametrize(
    ("curvature", "noise", "schedule"),
    [
        (20.0, 5.0, "constant"),
        (30.0, 5.0, "decaying"),  # not flat
        (20.0, 0.5, "decaying"),  # not noisy
        (20.0, math.nan, "decaying"),  # not known to be noisy
    ],
)
def test_only_flat_and_noisy_embeddings_are_held_constant(curvature, noise, schedule):
    rows = [row("embeddings", curvature, noise, 0), row("0", 100.0, 1.0, 1), row("head", 50.0, 1.0, 2)]
    decided = _decide(rows[0], rows, 1.0)
    assert (decided.rate, decided.schedule) == (1.0, schedule)
    assert decided.reason


def test_flatter_blocks_behind_the_sharpest_are_raised_by_the_root_of_the_ratio_up_to_two():
    rows = [row("0", 4.0, 1.0, 1), row("1", 100.0, 1.0, 2), row("2", 50.0, 1.0, 3), row("head", 4.0, 1.0, 4)]
    rows.append(row("biases and norms", 1.0, 1.0, -1))
    rates = [_decide(one, rows, 0.1).rate for one in rows]
    assert rates == pytest.approx([0.1, 0.1, 0.1 * 2**0.5, 0.2, 0.1])


def test_the_groups_train_and_keep_the_options_and_nothing_was_changed():
    model, loss, data = reader()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.3, betas=(0.8, 0.9))
    before = [p.clone() for p in model.parameters()]
    advice = suggest_groups(model, loss, data, optimizer)
    assert all(torch.equal(p, q) for p, q in zip(before, model.parameters(), strict=True))
    assert not optimizer.state
    assert all(p.grad is None for p in model.parameters())
    assert str(advice).startswith("5 groups, rates 0.01 to ")
    assert str(advice).count("\n") == 7
    assert advice.to_dict()["evidence"][0]["name"] == "embeddings"
    fresh = torch.optim.AdamW(advice.param_groups)
    assert {id(p) for g in fresh.param_groups for p in g["params"]} == {id(p) for p in model.parameters()}
    assert all(g["weight_decay"] == 0.3 and g["betas"] == (0.8, 0.9) for g in fresh.param_groups)
    scheduler = torch.optim.lr_scheduler.LambdaLR(fresh, advice.schedules(20))
    for batch in data * 3:
        fresh.zero_grad()
        loss(model, batch).backward()
        fresh.step()
        scheduler.step()
    assert loss(model, data[0]).item() < math.log(12)


def test_schedules():
    model, loss, data = reader()
    advice = suggest_groups(model, loss, data, torch.optim.AdamW(model.parameters(), lr=0.01))
    for row_, at in zip(advice.evidence, advice.schedules(100, warmup=0.1), strict=True):
        assert at(0) == pytest.approx(0.1)
        assert at(10) == pytest.approx(1.0)
        assert at(100) == pytest.approx(0.0 if row_.schedule == "decaying" else 1.0)
    with pytest.raises(InvalidInput, match="warmup"):
        advice.schedules(10, warmup=1.0)


def test_refusals():
    model, loss, data = reader()
    with pytest.raises(InvalidType, match="Optimizer"):
        suggest_groups(model, loss, data, 0.1)
    split = [{"params": model.embed.parameters(), "lr": 0.1}, {"params": model.head.parameters(), "lr": 0.2}]
    with pytest.raises(InvalidInput, match="share one positive rate"):
        suggest_groups(model, loss, data, torch.optim.SGD(split))
    with pytest.raises(InvalidInput, match="does not train"):
        suggest_groups(model, loss, data, torch.optim.AdamW(model.head.parameters()))
