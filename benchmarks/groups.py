# ruff: noqa: D101, D102 - tasks, each what its name says
"""Groups with rates and schedules of their own against one global rate, at equal budget: two small tasks.

    python benchmarks/groups.py [--seeds 3] [--first 10]

A character transformer (400 steps) and a fine-tuning task (a convolutional network pretrained on the digits 0 to 4, a
new head for 5 to 9, 100 samples, 150 steps), AdamW with a warmup of a tenth. Both sides get the same peak rates, the
same steps and the same mini-batches; the groups are measured once before, on eight mini-batches. Lower is better. The
defaults of `suggest_groups` were settled on seeds 0 to 2 of the transformer at 0.01; those here
start at 10. That only blocks behind the sharpest are raised was settled on seeds 10 to 12 of the fine-tuning.
"""

import argparse
import copy
import itertools
import math

import torch
from guard import Characters, Task
from torch import nn

from surefoot.training import suggest_groups


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


def trained(task, model, optimizer, schedules, seed):
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


def compare(task, rates, first, seeds):
    for rate in rates:
        rows = []
        for seed in range(first, first + seeds):
            torch.manual_seed(seed)
            model = task.model()
            grouped = copy.deepcopy(model)
            plain = torch.optim.AdamW(model.parameters(), lr=rate)
            common = trained(task, model, plain, cosine(task.steps), seed)
            batches = list(itertools.islice(task.batches(seed + 500), 8))
            optimizer = torch.optim.AdamW(grouped.parameters(), lr=rate)
            advice = suggest_groups(grouped, lambda m, b: task.loss(m, *b), batches, optimizer)
            own = torch.optim.AdamW(advice.param_groups)
            rows.append((common, trained(task, grouped, own, advice.schedules(task.steps), seed)))
        if rate == rates[0]:
            print("\n".join("    " + line for line in str(advice).splitlines()))
        means = [sum(column) / len(column) for column in zip(*rows, strict=True)]
        better = sum(b < a for a, b in rows)
        print(
            f"  {task.name:<17} peak {rate:<6.2g} one rate {means[0]:.4f}  groups {means[1]:.4f}  "
            f"({means[1] - means[0]:+.4f}; better in {better} of {len(rows)})",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=10)
    chosen = parser.parse_args()
    compare(FineTuning(), (0.003, 0.001, 0.01), chosen.first, chosen.seeds)
    compare(Characters(), (0.01, 0.0032), chosen.first, chosen.seeds)


if __name__ == "__main__":
    main()
