"""Transformers that the benchmarks share."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional


def fused(q, k, v):
    """Causal attention by PyTorch's own kernel, which has no second derivative outside of Surefoot."""
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True)


class Block(nn.Module):
    """Attention and a perceptron, each before its own normalisation."""

    def __init__(self, width: int, heads: int, attention: Callable = fused) -> None:
        super().__init__()
        self.heads, self.attention = heads, attention
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.after, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        """The input and what attention and the perceptron add."""
        n, t, width = x.shape
        pieces = self.qkv(self.norm(x)).chunk(3, -1)
        q, k, v = (z.view(n, t, self.heads, width // self.heads).transpose(1, 2) for z in pieces)
        x = x + self.out(self.attention(q, k, v).transpose(1, 2).reshape(n, t, width))
        return x + self.down(functional.gelu(self.up(self.after(x))))


class Transformer(nn.Module):
    """A causal language model, weights of deviation 0.02."""

    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, length: int) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        for p in self.parameters():
            if p.ndim == 2:
                nn.init.normal_(p, 0, 0.02)

    def forward(self, ids):
        """Logits of the next token at each place."""
        return self.head(self.norm(self.blocks(self.embed(ids) + self.place.weight[: ids.shape[1]])))


def language_loss(model, batch):
    """The mean cross-entropy of the next token."""
    ids, following = batch
    return functional.cross_entropy(model(ids).flatten(0, 1), following.flatten())


def language_batch(vocabulary: int, sequences: int, length: int, device: str = "cpu"):
    """Random tokens and the ones that follow them."""
    tokens = torch.randint(vocabulary, (sequences, length + 1), device=device)
    return tokens[:, :-1], tokens[:, 1:]


def gradient_of(model: nn.Module, loss: Callable, batch) -> None:
    """One gradient, thrown away."""
    torch.autograd.grad(loss(model, batch), list(model.parameters()))
