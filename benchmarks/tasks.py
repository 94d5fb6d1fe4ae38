# ruff: noqa: D101, D102 - six tasks, each what its name says
"""Six small training tasks, on which the guard and the pilot were made; `more_tasks.py` has nineteen others.

Each has fixed data, a seeded model and seeded batches. Needs scikit-learn; the task `cnn` needs mnist1d and is left out
without it.
"""

import itertools

import torch
from models import Block
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everyone calls it

torch.set_num_threads(1)


class Task:
    """Fixed data and split, seeded initialisation and batches.

    `rates` are the best swept SGD (momentum 0.9, cosine) and AdamW (warmup of a tenth, cosine) ones; the losses that
    they reach are in `runs.py`. `evaluated` is how many samples the final loss is of: all, or those of the sweep.
    """

    classification, evaluated, first_seed = True, None, 1000

    def __init__(self):
        self.x, self.y = self.data()
        self.constant = entropy(self.y) if self.classification else float(self.y.var())

    def loss(self, model, x, y):
        return F.cross_entropy(model(x), y)

    def batches(self, seed):
        g = torch.Generator().manual_seed(self.first_seed + seed)
        while True:
            order = torch.randperm(len(self.x), generator=g)
            for i in range(0, len(self.x) - self.batch + 1, self.batch):
                chosen = order[i : i + self.batch]
                yield self.x[chosen], self.y[chosen]

    @torch.no_grad()
    def final(self, model):
        model.eval()
        torch.manual_seed(0)  # of a loss that draws
        loss = self.loss(model, self.x[: self.evaluated], self.y[: self.evaluated]).item()
        model.train()
        return loss


def entropy(y):
    p = torch.bincount(y.flatten()).double() / y.numel()
    return float(-(p[p > 0] * p[p > 0].log()).sum())


def four_fifths(x, y):
    g = torch.Generator().manual_seed(0)
    order = torch.randperm(len(x), generator=g)[int(0.2 * len(x)) :]
    return x[order], y[order]


def relu_network(*widths):
    layers = [layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


class Logistic(Task):
    name, steps, batch, rates = "logistic", 500, 128, (0.01, 1.0)

    def data(self):
        from sklearn.datasets import load_digits

        found = load_digits()
        return four_fifths(torch.tensor(found.data, dtype=torch.float32), torch.tensor(found.target))

    def model(self):
        return nn.Linear(64, 10)


class Cancer(Task):
    name, steps, batch, rates = "mlp raw cancer", 500, 64, (1e-4, 0.01)

    def data(self):
        from sklearn.datasets import load_breast_cancer

        found = load_breast_cancer()
        return four_fifths(torch.tensor(found.data, dtype=torch.float32), torch.tensor(found.target))

    def model(self):
        return relu_network(30, 64, 32, 2)


class Digits(Logistic):
    name, steps, batch, rates = "mlp digits", 600, 128, (0.32, 0.032)

    def data(self):
        x, y = super().data()
        g = torch.Generator().manual_seed(5)
        wrong = torch.rand(len(y), generator=g) < 0.1
        return x / 16, torch.where(wrong, torch.randint(0, 10, y.shape, generator=g), y)

    def model(self):
        return relu_network(64, 128, 64, 10)


class Signals(Task):
    name, steps, batch, rates = "cnn mnist1d", 600, 100, (0.32, 0.032)
    evaluated = 4000

    def data(self):
        from mnist1d.data import get_dataset_args, make_dataset

        found = make_dataset(get_dataset_args())
        return torch.tensor(found["x"]).float()[:, None], torch.tensor(found["y"]).long()

    def model(self):
        def convolution(channels, width, padding):
            return nn.Conv1d(channels, 24, width, stride=2, padding=padding)

        parts = [convolution(1, 5, 2), nn.ReLU(), convolution(24, 3, 1), nn.ReLU(), convolution(24, 3, 1), nn.ReLU()]
        return nn.Sequential(*parts, nn.Flatten(), nn.Linear(120, 10))


class Transformer(nn.Module):
    def __init__(self, letters, width=48, length=48):
        super().__init__()
        self.embed, self.place = nn.Embedding(letters, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(Block(width, 2), Block(width, 2))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, letters)

    def forward(self, x):
        return self.out(self.norm(self.blocks(self.embed(x) + self.place.weight[: x.shape[1]])))


class Characters(Task):
    name, steps, batch, rates, length = "char transformer", 400, 8, (0.32, 0.01), 48
    evaluated = 200

    def data(self):
        import pydoc_data.topics as found

        text = "\n".join(found.topics[key] for key in sorted(found.topics))
        letters = {c: i for i, c in enumerate(sorted(set(text), key=lambda c: (-text.count(c), c)))}
        codes = torch.tensor([min(letters[c] + 1, 96) % 96 for c in text])
        self.text = codes[: int(0.9 * len(codes))]
        at = torch.randint(0, len(self.text) - 49, (200,), generator=torch.Generator().manual_seed(1))
        windows = torch.stack([self.text[i : i + 49] for i in at])
        return windows[:, :-1], windows[:, 1:]

    def batches(self, seed):
        g, reach = torch.Generator().manual_seed(1000 + seed), torch.arange(self.length + 1)
        while True:
            at = torch.randint(0, len(self.text) - self.length - 1, (self.batch, 1), generator=g)
            windows = self.text[at + reach]
            yield windows[:, :-1], windows[:, 1:]

    def loss(self, model, x, y):
        return F.cross_entropy(model(x).flatten(0, 1), y.flatten())

    def model(self):
        return Transformer(96)


class Adder(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.rnn, self.out = nn.LSTM(2, width, batch_first=True), nn.Linear(width, 1)

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1])[:, 0]


class Adding(Task):
    name, steps, batch, rates, classification = "lstm adding", 700, 50, (0.32, 0.1), False
    evaluated = 1000

    def data(self):
        g, n, t = torch.Generator().manual_seed(3), 5000, 20
        value, mark = torch.rand(n, t, generator=g), torch.zeros(n, t)
        a = torch.randint(0, t // 2, (n,), generator=g)
        b = torch.randint(t // 2, t, (n,), generator=g)
        row = torch.arange(n)
        mark[row, a], mark[row, b] = 1, 1
        return torch.stack([value, mark], -1), value[row, a] + value[row, b]

    def loss(self, model, x, y):
        return F.mse_loss(model(x), y)

    def model(self):
        return Adder()


class Wide(Digits):
    """For the cost only: 1.3 million parameters."""

    name, steps, batch, rates = "mlp 1.3M", 200, 128, (0.1, 1e-3)

    def model(self):
        return relu_network(64, 1024, 1024, 128, 10)


TASKS = (Logistic, Cancer, Digits, Signals, Characters, Adding)


def build(kinds):
    for kind in kinds:
        try:
            yield kind()
        except ImportError as error:
            print(f"{kind.name}: left out, needs {error.name}")
