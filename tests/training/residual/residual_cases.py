"""Residual models for the tests."""

import torch
from torch import nn


class Linear(nn.Module):
    """x + W x, or x + h W x."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.as_tensor(weight))

    def forward(self, x):
        return x + x @ self.weight.T


class MLP(nn.Module):
    """x + V relu(U x), every branch as large as its input."""

    def __init__(self, width, activation=torch.relu):
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        self.activation = activation
        nn.init.normal_(self.inner.weight, std=(2 / width) ** 0.5)
        nn.init.normal_(self.outer.weight, std=width**-0.5)

    def forward(self, x):
        return x + self.outer(self.activation(self.inner(x)))


class PreNorm(nn.Module):
    """Two branches of a transformer layer, written out; attention returns a tuple."""

    def __init__(self, width):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        y = self.norm1(x)
        attended, _ = self.attention(y, y, y, need_weights=False)
        x = x + attended
        return x + self.mlp(self.norm2(x))


def stack(depth, width=8, seed=0, block=MLP):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(width, width), *[block(width) for _ in range(depth)], nn.Linear(width, 3))


def inputs(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
