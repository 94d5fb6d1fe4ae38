# ruff: noqa: D101, D102 - tasks are what their names say
"""The pilot with no rate given, beside the best of a sweep, on six small tasks and two held out.

    python benchmarks/auto.py regret     regret against the best swept loss; paired differences from a universal rate
    python benchmarks/auto.py starts     the optimizer's rate at 1/100 and 100 x the best one
    python benchmarks/auto.py unknown    no total_steps: finish(steps) is called when a fifth of the run is left
    python benchmarks/auto.py cost       gradients and CPU time over the plain optimizer's
    python benchmarks/auto.py held       two tasks that played no part in the rule's design, with their own sweep

Single-threaded. Regret % = 100 (loss - L*)/(constant - L*): 0 is the best of the sweep, 100 the best constant. L* is
the best mean loss over three seeds of: SGD with momentum 0.9, 13 rates with a cosine; AdamW, 11 rates with warm-up and
a cosine and 5 constant ones. Needs scikit-learn; one task needs mnist1d.
"""

import argparse
import math
import statistics
import time

import torch
from guard import TASKS, Adding, Characters, Digits, Signals, built
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everyone calls it

from surefoot.errors import Diverged
from surefoot.training import Pilot

# L* for SGD and for AdamW, and the best constant predictor's loss.
BEST = {
    "logistic": (0.02022, 4e-6, 2.301),
    "mlp raw cancer": (0.2044, 0.1358, 0.662),
    "mlp digits": (0.1239, 0.02272, 2.300),
    "cnn mnist1d": (0.1831, 0.05072, 2.303),
    "char transformer": (2.5213, 2.2448, 3.253),
    "lstm adding": (0.1485, 0.000658, 0.166),
}
# Rates that in hindsight do best on all six: SGD's with a cosine, AdamW's constant.
UNIVERSAL = {"SGD": 0.32, "AdamW": 0.01}
# Student's t, 95% two-sided, by degrees of freedom.
T95 = {1: 12.71, 2: 4.303, 3: 3.182, 4: 2.776, 9: 2.262}
# Losses are of the sweep's own evaluation sets.
EVALUATED = {Signals: 4000, Adding: 1000, Characters: 200}


class Images(Digits):
    """Held out: a residual network with batch normalisation on 8 x 8 images, batch 64."""

    name, steps, batch = "resnet bn digits", 500, 64

    def model(self):
        return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3, padding=1), Residual(16), nn.MaxPool2d(2),
                             Residual(16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))  # fmt: skip


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.a, self.b = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.na, self.nb = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x):
        return torch.relu(x + self.nb(self.b(torch.relu(self.na(self.a(x))))))


class Autoencoder(Digits):
    """Held out: tanh autoencoder with a bottleneck of 8, squared error, batch 32."""

    name, steps, batch, classification = "autoencoder", 600, 32, False

    def __init__(self):
        self.x, self.y = self.data()
        self.constant = float(self.x.var(0, unbiased=False).mean())

    def loss(self, model, x, y):  # noqa: ARG002 - it reproduces x
        return F.mse_loss(model(x), x)

    def model(self):
        layers = [nn.Linear(64, 48), nn.Tanh(), nn.Linear(48, 8), nn.Tanh(), nn.Linear(8, 48), nn.Tanh()]
        return nn.Sequential(*layers, nn.Linear(48, 64))


def final(task, model):
    n = EVALUATED.get(type(task), len(task.x))
    model.eval()
    with torch.no_grad():
        loss = task.loss(model, task.x[:n], task.y[:n]).item()
    model.train()
    return loss


def optimizer_of(family, model, rate):
    if family == "SGD":
        return torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    return torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)


def piloted(task, family, seed, rate=1e-3, known=True):
    """The final loss (nan if it gave up), the pilot, calls of the closure, CPU seconds."""
    torch.manual_seed(seed)
    model = task.model()
    pilot = Pilot(model, optimizer_of(family, model, rate), total_steps=task.steps if known else None)
    batches, last, calls, began = task.batches(seed), task.steps // 5, [0, 0], time.process_time()

    def closure():
        calls[torch.is_grad_enabled()] += 1
        return task.loss(model, x, y)

    try:
        for k in range(task.steps):
            if not known and k == task.steps - last:
                pilot.finish(last)
            x, y = next(batches)
            pilot.step(closure)
    except Diverged:
        return math.nan, pilot, calls, time.process_time() - began
    seconds = time.process_time() - began
    return final(task, model), pilot, calls, seconds


def plain(task, family, seed, rate, schedule="constant"):
    """The final loss and CPU seconds of the optimizer alone: constant, cosine, or cosine after a warm-up."""
    torch.manual_seed(seed)
    model = task.model()
    optimizer = optimizer_of(family, model, rate)
    batches, began, warmup = task.batches(seed), time.process_time(), task.steps // 10 if schedule == "warm" else 0
    for k in range(task.steps):
        part = (k - warmup) / (task.steps - warmup)
        factor = 1.0 if schedule == "constant" else 0.5 * (1 + math.cos(math.pi * part))
        optimizer.param_groups[0]["lr"] = rate * (factor if k >= warmup else (k + 1) / warmup)
        x, y = next(batches)
        optimizer.zero_grad()
        loss = task.loss(model, x, y)
        loss.backward()
        if not math.isfinite(loss.item()):
            return math.nan, time.process_time() - began
        optimizer.step()
    seconds = time.process_time() - began
    return final(task, model), seconds


def regret(loss, best, constant):
    return 100 * (loss - best) / (constant - best)


def interval(values):
    """Mean and the half width of its 95% interval."""
    if len(values) < 2:
        return values[0], math.nan
    return statistics.fmean(values), T95.get(len(values) - 1, 2.0) * statistics.stdev(values) / len(values) ** 0.5


def failed(loss, first, constant):
    return not loss <= min(constant, 2 * first)


def measure(seeds, families, rates=(None,), known=True, pairs=True):
    for family in families:
        means, failures, runs = [], 0, 0
        print(f"{family}: regret % per seed, mean; difference from {UNIVERSAL[family]:g} on the same seeds (95%)")
        for task in built(TASKS):
            sgd, adamw, constant = BEST[task.name]
            best = sgd if family == "SGD" else adamw
            for multiple in rates:
                rate = 1e-3 if multiple is None else multiple * task.rates[family == "AdamW"]
                found, held = [], []
                for seed in range(seeds):
                    loss, pilot, _, _ = piloted(task, family, seed, rate, known)
                    found.append(regret(loss, best, constant))
                    failures += failed(loss, pilot.history[0].loss, constant)
                    runs += 1
                    held.append(pilot.history[int(0.75 * task.steps)].rate)
                said = "  ".join(f"{r:.2f}@{h:.2g}" for r, h in zip(found, held, strict=True))
                line = f"  {task.name:<17}{'' if multiple is None else f' from {multiple:g} x':<12} {said}"
                means.append(statistics.fmean(found))
                line += f"  mean {means[-1]:.2f}"
                if pairs:
                    kind = "cosine" if family == "SGD" else "constant"
                    others = [plain(task, family, s, UNIVERSAL[family], kind)[0] for s in range(seeds)]
                    others = [regret(loss, best, constant) for loss in others]
                    middle, half = interval([a - b for a, b in zip(found, others, strict=True)])
                    line += f"; universal {statistics.fmean(others):.2f}, difference {middle:+.2f} +- {half:.2f}"
                print(line, flush=True)
        within = sum(mean <= 1 for mean in means)
        print(f"  at most 1%: {within} of {len(means)}; worst {max(means):.2f}; failures {failures} of {runs}")


class Long(Digits):
    """For the cost of a long run only."""

    name, steps = "mlp digits, long", 6000


def cost(families, rounds=3):
    print("extra forward-backwards and forwards, % of steps; CPU time over the plain optimizer's, median of pairs")
    for task in built((*TASKS, Long)):
        for family in families:
            ratios = []
            for _ in range(rounds):
                _, pilot, (forwards, gradients), seconds = piloted(task, family, 0)
                _, alone = plain(task, family, 0, pilot.history[-1].rate)
                ratios.append(seconds / alone)
            print(
                f"  {task.name:<17} {family:<6} gradients +{100 * (gradients / task.steps - 1):.1f}%  forwards "
                f"+{100 * forwards / task.steps:.1f}%  time x {statistics.median(ratios):.2f}",
                flush=True,
            )


def held(seeds, families):
    for task in (Images(), Autoencoder()):
        for family in families:
            schedule = "cosine" if family == "SGD" else "warm"
            grid = [10 ** (k / 2) for k in (range(-6, 2) if family == "SGD" else range(-7, 0))]
            swept = {r: statistics.fmean(plain(task, family, s, r, schedule)[0] for s in range(2)) for r in grid}
            finite = {rate: loss for rate, loss in swept.items() if math.isfinite(loss)}
            rate = min(finite, key=lambda r: finite[r])
            losses = [piloted(task, family, seed)[0] for seed in range(seeds)]
            found = [regret(loss, finite[rate], task.constant) for loss in losses]
            middle, half = interval(found)
            print(
                f"  {task.name:<17} {family:<6} best swept {finite[rate]:.4g} at {rate:.3g}; pilot "
                f"{statistics.fmean(losses):.4g}, regret {middle:.2f} +- {half:.2f}",
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["regret", "starts", "unknown", "cost", "held"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--families", nargs="+", default=["AdamW", "SGD"])
    chosen = parser.parse_args()
    if chosen.what == "cost":
        cost(chosen.families)
    elif chosen.what == "held":
        held(chosen.seeds, chosen.families)
    else:
        measure(
            chosen.seeds,
            chosen.families,
            rates=(0.01, 100.0) if chosen.what == "starts" else (None,),
            known=chosen.what != "unknown",
            pairs=chosen.what == "regret",
        )


if __name__ == "__main__":
    main()
