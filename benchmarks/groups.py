# ruff: noqa: D101, D102 - tasks, each what its name says
"""Groups with rates and schedules of their own against one global rate, at equal budget: two small tasks.

Run: python -m benchmarks groups. A character transformer (400 steps) and a fine-tuning task (a convolutional network
pretrained on the digits 0 to 4, a new head for 5 to 9, 100 samples, 150 steps), AdamW with a warmup of a tenth. Both
sides get the same peak rates, the same steps and the same mini-batches; the groups are measured once before, on eight
mini-batches. The defaults of `suggest_groups` were settled on seeds 0 to 2 of the transformer at 0.01, that only
blocks behind the sharpest are raised on seeds 10 to 12 of the fine-tuning.
"""

import copy
import itertools
import math

import torch
from bench import Table
from tasks import Characters, Task
from torch import nn

from surefoot.training import suggest_groups

# No part of settling the defaults was on these or later ones.
FIRST_SEED = 20


class FineTuning(Task):
    name, steps, batch = "fine-tuning", 150, 32

    def data(self):
        from sklearn.datasets import load_digits

        found = load_digits()
        order = torch.randperm(len(found.target), generator=torch.Generator().manual_seed(0))
        x = torch.tensor(found.data / 16, dtype=torch.float32).view(-1, 1, 8, 8)[order]
        y = torch.tensor(found.target)[order]
        self.first = x[y < 5], y[y < 5]
        x, y = x[y >= 5], y[y >= 5] - 5
        self.held = x[100:], y[100:]
        return x[:100], y[:100]

    def model(self):
        def layer(a, b, stride):
            return nn.Conv2d(a, b, 3, stride=stride, padding=1), nn.ReLU()

        body = nn.Sequential(*layer(1, 16, 1), *layer(16, 32, 2), *layer(32, 32, 2), nn.Flatten())
        model = nn.Sequential()
        model.add_module("body", body)
        model.add_module("head", nn.Linear(128, 5))
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        for _ in range(300):
            chosen = torch.randint(0, len(self.first[0]), (32,))
            optimizer.zero_grad()
            self.loss(model, self.first[0][chosen], self.first[1][chosen]).backward()
            optimizer.step()
        model.head = nn.Linear(128, 5)
        return model

    @torch.no_grad()
    def final(self, model):
        """On samples that were not trained on."""
        return self.loss(model, *self.held).item()


def final_loss(task, model, optimizer, schedules, seed):
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedules)
    batches = task.batches(seed)
    for _ in range(task.steps):
        optimizer.zero_grad()
        task.loss(model, *next(batches)).backward()
        optimizer.step()
        scheduler.step()
    return task.final(model)


def cosine(total):
    rise = total // 10
    return lambda k: (k + 1) / rise if k < rise else 0.5 * (1 + math.cos(math.pi * (k - rise) / (total - rise)))


def groups(quick):
    """Mean final losses with one rate and with groups, at several peaks."""
    seeds = range(FIRST_SEED, FIRST_SEED + (1 if quick else 3))
    chosen = ((FineTuning(), (0.003, 0.001, 0.01)), (Characters(), (0.01, 0.0032)))
    rows = []
    for task, rates in chosen[: 1 if quick else None]:
        for rate in rates[: 1 if quick else None]:
            pairs = [compare(task, rate, seed) for seed in seeds]
            one, many = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
            better = sum(b < a for a, b in pairs)
            rows.append((f"{task.name}, peak {rate:g}", f"{one:.4f}", f"{many:.4f}", f"{better} of {len(pairs)}"))
            print("  ", *rows[-1], flush=True)
    columns = ("mean final loss", "one rate", "groups", "groups are better")
    return [Table("groups", columns, rows, "AdamW, warm-up and cosine; fine-tuning on samples that were held out.")]


def compare(task, rate, seed):
    """The final losses with one rate and with groups."""
    torch.manual_seed(seed)
    model = task.model()
    grouped = copy.deepcopy(model)
    plain = torch.optim.AdamW(model.parameters(), lr=rate)
    common = final_loss(task, model, plain, cosine(task.steps), seed)
    batches = list(itertools.islice(task.batches(seed + 500), 8))
    optimizer = torch.optim.AdamW(grouped.parameters(), lr=rate)
    advice = suggest_groups(grouped, lambda m, b: task.loss(m, *b), batches, optimizer)
    own = torch.optim.AdamW(advice.param_groups)
    return common, final_loss(task, grouped, own, advice.schedules(task.steps), seed)
