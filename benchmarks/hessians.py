"""The three networks whose Hessians are measured: a perceptron and a CNN on digits, a transformer on characters."""

import torch
from models import Block
from torch import nn
from torch.nn import functional


def mlp():
    """64-256-256-10 with tanh on all 1797 digits."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    torch.manual_seed(0)
    layers = (nn.Linear(64, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 10))
    return nn.Sequential(*layers), functional.cross_entropy, (x, y)


def cnn():
    """About 70,000 parameters on 600 digits of 8 x 8."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images[:600] / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    y = torch.tensor(labels[:600])
    torch.manual_seed(0)
    convolutions = (nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 48, 3, padding=1), nn.ReLU())
    head = (nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48 * 16, 75), nn.ReLU(), nn.Linear(75, 10))
    return nn.Sequential(*convolutions, *head), functional.cross_entropy, (x, y)


def by_hand(q, k, v):
    """Causal attention in operations that every library can differentiate twice."""
    weights = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    later = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).triu(1)
    return weights.masked_fill(later, float("-inf")).softmax(-1) @ v


class GPT(nn.Module):
    """Two blocks of width 64 over 64 characters, about 112,000 parameters; embeddings of standard deviation 1."""

    def __init__(self, characters, width=64, context=64):
        super().__init__()
        self.embed, self.place = nn.Embedding(characters, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*[Block(width, 4, by_hand) for _ in range(2)])
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        """Logits of shape (batch, characters, time)."""
        h = self.embed(x) + self.place.weight[: x.shape[1]]
        return (self.norm(self.blocks(h)) @ self.embed.weight.T).transpose(1, 2)  # tied


def gpt():
    """16 x 64 characters of Python's documentation."""
    from pydoc_data import topics

    text = "".join(topics.topics[name] for name in sorted(topics.topics))
    code = {c: i for i, c in enumerate(sorted(set(text)))}
    encoded = torch.tensor([code[c] for c in text[: 16 * 65]]).view(16, 65)
    torch.manual_seed(0)
    return GPT(len(code)), functional.cross_entropy, (encoded[:, :-1].contiguous(), encoded[:, 1:].contiguous())


PROBLEMS = {"mlp": (mlp, 0.1), "cnn": (cnn, 0.1), "gpt": (gpt, 0.01)}


def train(name, steps):
    """The problem after so many steps of full-batch gradient descent with momentum."""
    make, rate = PROBLEMS[name]
    model, criterion, (x, y) = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        criterion(model(x), y).backward()
        optimizer.step()
    return model, criterion, (x, y)
