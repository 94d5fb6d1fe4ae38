# ruff: noqa: D101, D102, N812 - tasks are what their names say
"""Nineteen small training tasks beside the six of tasks.py: seven that the pilot was made on too, twelve held out.

Each has its data, a seeded model, batches and a loss; `constant` is the loss of the best constant predictor. All data
are scikit-learn's or drawn from a seed.
"""

import math

import torch
from models import Block
from tasks import Task, entropy, relu_network
from torch import nn
from torch.nn import functional as F

CPU = torch.Generator
# The best swept mean loss for SGD with momentum 0.9 and for AdamW: `python -m benchmarks sweep`.
BEST = {
    "digits std": (0.001508, 7.627e-07),
    "cancer std": (0.0002587, 0.0001455),
    "wine": (2.076e-06, 6.231e-06),
    "sine": (0.04819, 0.01049),
    "xor": (0.1225, 0.1326),
    "spiral": (0.07352, 0.03697),
    "diabetes raw y": (1942.0, 1976.0),
    "resnet batch norm": (0.0003837, 0.0002987),
    "autoencoder": (0.024, 0.02293),
    "gru rows": (0.001985, 0.002948),
    "attention rows": (0.02398, 0.01542),
    "wave period": (0.0001912, 0.0002367),
    "layer norm": (0.003596, 0.001294),
    "outliers, Huber": (0.3108, 0.3061),
    "Poisson counts": (-4.38, -4.377),
    "dropout": (0.09686, 0.04994),
    "factors": (0.03062, 0.02919),
    "VAE": (24.28, 24.07),
    "multi-margin": (0.0, 0.0),
}
# The rate that had it, by half decades, likewise.
RATES = {
    "digits std": (0.1, 0.1),
    "cancer std": (0.316, 0.0316),
    "wine": (1.0, 0.1),
    "sine": (0.1, 0.1),
    "xor": (1.0, 0.1),
    "spiral": (0.1, 0.0316),
    "diabetes raw y": (0.001, 3.16),
    "resnet batch norm": (0.316, 0.1),
    "autoencoder": (3.16, 0.0316),
    "gru rows": (0.316, 0.0316),
    "attention rows": (0.1, 0.00316),
    "wave period": (0.316, 0.0316),
    "layer norm": (0.1, 0.01),
    "outliers, Huber": (0.1, 0.01),
    "Poisson counts": (0.0316, 0.0316),
    "dropout": (0.0316, 0.01),
    "factors": (0.316, 0.1),
    "VAE": (0.1, 0.0316),
    "multi-margin": (0.1, 0.01),
}


class Rows(Task):
    """Rows of x and y; one pass in a new order after another.

    Parameters
    ----------
    name : str
    x, y : Tensor
    model, loss : callable
        () -> Module, and (output, y) -> loss.
    batch, steps : int
    """

    first_seed = 0

    def __init__(self, name, x, y, model, loss, batch, steps):
        self.name, self.x, self.y, self.model, self.criterion = name, x, y, model, loss
        self.batch, self.steps, self.rates = batch, steps, RATES[name]
        self.constant = entropy(y) if y.dtype == torch.long else float(y.var(0, unbiased=False).mean())

    def loss(self, model, x, y):
        return self.criterion(model(x), y)


def standardise(found):
    x = torch.tensor(found.data)
    return ((x - x.mean(0)) / x.std(0, unbiased=False).clamp(min=1e-9)).float(), torch.tensor(found.target)


def tanh_network(*widths):
    return nn.Sequential(*[nn.Tanh() if isinstance(m, nn.ReLU) else m for m in relu_network(*widths)])


def seven():
    """The tasks beside the six on which the rule was made."""
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

    g = CPU().manual_seed(7)
    line = torch.linspace(-3, 3, 512)[:, None]
    bits = torch.randn(600, 6, generator=g)
    pairs = (bits[:, 0] * bits[:, 1] > 0).long() + (bits[:, 2] * bits[:, 3] > 0).long()
    angle = torch.rand(900, generator=g) * 3 * math.pi
    arm = torch.randint(0, 3, (900,), generator=g)
    turned = angle + 2.1 * arm
    spiral = torch.stack([angle / 9 * torch.cos(turned), angle / 9 * torch.sin(turned)], 1)
    spiral = spiral + 0.02 * torch.randn(900, 2, generator=g)
    progression = load_diabetes()
    x, y = torch.tensor(progression.data * 20).float(), torch.tensor(progression.target).float()[:, None]
    mse = F.mse_loss
    return [
        Rows("digits std", *standardise(load_digits()), lambda: relu_network(64, 64, 10), F.cross_entropy, 32, 1000),
        Rows("cancer std", *standardise(load_breast_cancer()), lambda: relu_network(30, 64, 2), F.cross_entropy, 32,
             1000),
        Rows("wine", *standardise(load_wine()), lambda: tanh_network(13, 64, 64, 3), F.cross_entropy, 32, 300),
        Rows("sine", line, torch.sin(3 * line) + 0.3 * torch.sin(17 * line), lambda: tanh_network(1, 64, 64, 1), mse,
             64, 1500),
        Rows("xor", bits, pairs, lambda: tanh_network(6, 40, 3), F.cross_entropy, 64, 300),
        Rows("spiral", spiral, arm, lambda: relu_network(2, 64, 64, 3), F.cross_entropy, 64, 800),
        Rows("diabetes raw y", x, y, lambda: relu_network(10, 32, 1), mse, 32, 600),
    ]  # fmt: skip


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.a, self.b = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.na, self.nb = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x):
        return torch.relu(x + self.nb(self.b(torch.relu(self.na(self.a(x))))))


class Recurrent(nn.Module):
    """A recurrent layer over the rows of an image, a linear one on its last state."""

    def __init__(self, layer, inputs, width, outputs):
        super().__init__()
        self.layer, self.out = layer(inputs, width, batch_first=True), nn.Linear(width, outputs)

    def forward(self, x):
        return self.out(self.layer(x)[0][:, -1])


class Attention(nn.Module):
    """Two blocks of attention over the rows of an image, and their mean."""

    def __init__(self):
        super().__init__()
        self.embed, self.blocks, self.out = (
            nn.Linear(8, 32),
            nn.Sequential(Block(32, 2), Block(32, 2)),
            nn.Linear(32, 10),
        )

    def forward(self, x):
        return self.out(self.blocks(self.embed(x)).mean(1))


class Variational(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode, self.decode = tanh_network(64, 48, 16), tanh_network(8, 48, 64)

    def forward(self, x):
        mean, log_variance = self.encode(x).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return self.decode(z), 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()


def evidence(output, x):
    image, divergence = output
    return F.binary_cross_entropy_with_logits(image, x, reduction="none").sum(1).mean() + divergence


class Factors(nn.Module):
    """Ratings as products of two embeddings."""

    def __init__(self, users, items, width=8):
        super().__init__()
        self.users, self.items = nn.Embedding(users, width), nn.Embedding(items, width)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, x):
        return (self.users(x[:, 0]) * self.items(x[:, 1])).sum(1)


def twelve():
    """Tasks that played no part in the rule."""
    from sklearn.datasets import load_digits, load_wine, make_classification, make_friedman1

    g = CPU().manual_seed(11)
    digits = load_digits()
    images, labels = torch.tensor(digits.data / 16).float(), torch.tensor(digits.target)
    rows = images.view(-1, 8, 8)
    curve, noise = make_friedman1(800, random_state=0)
    curve, level = torch.tensor(curve).float(), torch.tensor(noise).float()[:, None]
    level = (level - level.mean()) / level.std()
    outlying = torch.where(torch.rand(800, 1, generator=g) < 0.05, 10 * torch.randn(800, 1, generator=g), level)
    counts = torch.poisson(torch.exp(1 + level), generator=g)
    mixed, sides = make_classification(1500, 20, n_informative=10, n_classes=4, random_state=0)
    mixed, sides = torch.tensor(mixed).float(), torch.tensor(sides)
    left, right = torch.randn(60, 4, generator=g), torch.randn(40, 4, generator=g)
    cells = torch.stack([torch.randint(0, 60, (1200,), generator=g), torch.randint(0, 40, (1200,), generator=g)], 1)
    ratings = (left[cells[:, 0]] * right[cells[:, 1]]).sum(1) + 0.3 * torch.randn(1200, generator=g)
    period = torch.rand(1000, 1, generator=g)
    time = torch.arange(32) / 32
    waves = torch.sin(2 * math.pi * (1 + 4 * period) * time + 6.3 * torch.rand(1000, 1, generator=g))
    waves = (waves + 0.1 * torch.randn(1000, 32, generator=g))[:, None]
    image = nn.Unflatten(1, (1, 8, 8))

    def poisson(output, y):
        return F.poisson_nll_loss(output, y)

    def normalised():
        return nn.Sequential(nn.Linear(10, 64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, 64), nn.LayerNorm(64),
                             nn.GELU(), nn.Linear(64, 1))  # fmt: skip

    def dropped():
        return nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 64), nn.ReLU(),
                             nn.Dropout(0.2), nn.Linear(64, 4))  # fmt: skip

    def residual():
        return nn.Sequential(image, nn.Conv2d(1, 16, 3, padding=1), Residual(16), nn.MaxPool2d(2), Residual(16),
                             nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))  # fmt: skip

    def waved():
        return nn.Sequential(nn.Conv1d(1, 16, 5, 2), nn.ReLU(), nn.Conv1d(16, 16, 5, 2), nn.ReLU(), nn.Flatten(),
                             nn.Linear(80, 1))  # fmt: skip

    cross, mse = F.cross_entropy, F.mse_loss
    tasks = [
        Rows("resnet batch norm", images, labels, residual, cross, 64, 400),
        Rows("autoencoder", images, images, lambda: tanh_network(64, 48, 8, 48, 64), mse, 32, 600),
        Rows("gru rows", rows, labels, lambda: Recurrent(nn.GRU, 8, 32, 10), cross, 64, 500),
        Rows("attention rows", rows, labels, Attention, cross, 64, 500),
        Rows("wave period", waves, period, waved, mse, 50, 600),
        Rows("layer norm", curve, level, normalised, mse, 40, 800),
        Rows("outliers, Huber", curve, outlying, lambda: relu_network(10, 64, 64, 1), F.smooth_l1_loss, 40, 800),
        Rows("Poisson counts", curve, counts, lambda: relu_network(10, 64, 1), poisson, 40, 600),
        Rows("dropout", mixed, sides, dropped, cross, 50, 700),
        Rows("factors", cells, ratings, lambda: Factors(60, 40), mse, 60, 1200),
        Rows("VAE", images, images, Variational, evidence, 64, 800),
        Rows("multi-margin", *standardise(load_wine()), lambda: relu_network(13, 64, 3), F.multi_margin_loss, 16, 300),
    ]
    constants = {
        "outliers, Huber": min(float(F.smooth_l1_loss(torch.full_like(outlying, c), outlying)) for c in grid(-1, 1)),
        "Poisson counts": float(poisson(counts.mean().log().expand_as(counts), counts)),
        "VAE": float(
            F.binary_cross_entropy_with_logits(
                torch.logit(images.mean(0).clamp(1e-4, 1 - 1e-4)).expand_as(images), images, reduction="none"
            ).sum(1).mean()
        ),
        "multi-margin": 2 / 3,
    }  # fmt: skip
    for task in tasks:
        task.constant = constants.get(task.name, task.constant)
    return tasks


def grid(low, high, n=201):
    return [low + (high - low) * k / (n - 1) for k in range(n)]
