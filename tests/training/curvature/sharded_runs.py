"""What each of several processes runs with a model under ``fully_shard``; see test_sharded."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import surefoot as sf
from surefoot.errors import SurefootError
from surefoot.training import gauss_newton, gradient_noise, hessian, optimizer_limits, supervised

loss = supervised(functional.cross_entropy)


def weighted(model, batch):
    """A loss with a factor that depends on the parameters and is held constant: not the derivative of any loss."""
    value = loss(model, batch)
    return value * value.detach()


class Layer(nn.Module):
    """Attention and a perceptron; `MultiheadAttention` uses its projection's weight without calling it."""

    def __init__(self, width):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), nn.MultiheadAttention(width, 2, batch_first=True)
        self.up, self.down = nn.Linear(width, 9), nn.Linear(9, width)

    def forward(self, x):
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.down(functional.gelu(self.up(x)))


class Net(nn.Module):
    """A layer between an embedding and the same weights as a head."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.layers = nn.Sequential(Layer(4))
        self.bias = nn.Parameter(torch.zeros(7))

    def forward(self, ids):
        return self.layers(self.embed(ids)).mean(1) @ self.embed.weight.T + self.bias


def problem():
    torch.manual_seed(0)
    model = Net().double()
    return model, torch.randint(7, (24, 5)), torch.randint(7, (24,))


def sharded():
    from torch.distributed.fsdp import fully_shard

    model, x, y = problem()
    for layer in model.layers:
        fully_shard(layer)
    return fully_shard(model), x, y


def parts(x, y):
    """Three batches of eight."""
    return list(zip(x.split(8), y.split(8), strict=True))


def optimizer_with_state(model):
    adam = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.0)
    for p in model.parameters():
        adam.state[p] = {"step": torch.tensor(5.0), "exp_avg": p.detach() * 0, "exp_avg_sq": p.detach() ** 2 + 1e-3}
    return adam


def measured(model, batches):
    """Everything that must agree, as plain numbers."""
    H = hessian(model, loss, batches)
    n = H.shape[0]
    v = np.random.default_rng(0).standard_normal(n)
    # coarse ones: every product is a hundred messages, and the tests share the processors
    coarse = {"rtol": 0.2, "failure": 1e-3}
    found = sf.spectrum(H, which="largest", **coarse)
    noise = gradient_noise(model, loss, batches, groups=3)
    return {
        "product": (H @ v).tolist(),
        "rebuilt": (hessian(model, loss, batches, max_memory=0, check=False) @ v).tolist(),
        "gradient": H.gradient().tolist(),
        "value": H.value,
        "spectrum": [found.largest.lower, found.largest.upper],
        "limit": optimizer_limits(H, optimizer_with_state(model), **coarse).curvature_limit,
        "noise": [noise.variance, noise.square],
    }


def run(rank, size):
    """What one of them found."""
    model, x, y = sharded()
    batches = [(x[rank::size], y[rank::size]) for x, y in parts(x, y)]
    before = [p.to_local().clone() for p in model.parameters()]
    record = measured(model, batches)
    record["unchanged"] = all(torch.equal(a, p.to_local()) for a, p in zip(before, model.parameters(), strict=True))

    H = hessian(model, loss, batches)
    x0 = H.space.normal(H.shape[0], np.random.default_rng(0))
    record["checked"] = H.checked
    record["entries"], record["n"] = x0.numel(), H.shape[0]
    H.matvec(x0)
    moved = H.shards.moved
    H.matvec(x0)
    record["moved"] = H.shards.moved - moved
    record["bytes"] = H.shape[0] * 8
    record["kept"] = H.memory_per_sample * H.batches.counts[0]
    loss(model, batches[0]).backward()  # FSDP's own passes still work afterwards
    record["trains"] = all(p.grad is not None for p in model.parameters())
    for name, call in {
        "uneven": lambda: hessian(model, loss, batches[: 1 + (rank == 0)]),
        "other": lambda: gauss_newton(model, loss, batches),
        "constant": lambda: hessian(model, weighted, batches),
    }.items():
        try:
            call()
            record[name] = "none"
        except SurefootError as error:
            record[name] = str(error)
    return record
