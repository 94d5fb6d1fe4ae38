"""Whole runs on the small tasks, and how good their ends are.

Regret % = 100 (loss - L*)/(constant - L*): 0 is the best of a sweep in hindsight, 100 the best constant predictor. L*
is the best mean loss: for the six over three seeds of SGD with momentum 0.9, 13 rates with a cosine; AdamW, 11 rates
with warm-up and a cosine and 5 constant ones; for the others over two seeds of 6 to 8 rates by half decades, each with
a cosine and with a hold and a cool-down.
"""

import itertools
import math
import statistics
from dataclasses import dataclass

import torch
from bench import Table
from more_tasks import BEST as MORE
from more_tasks import seven, twelve
from tasks import TASKS, build
from torch import nn

from surefoot.errors import Diverged
from surefoot.training import Guard, Pilot, range_test

FAMILIES = ("AdamW", "SGD")
# L* for SGD and for AdamW, and the best constant predictor's loss in the sweep's own evaluation sets.
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
# Batches that a range test may read: more than a rehearsal takes.
BATCHES = 100


@dataclass(frozen=True)
class Run:
    """How a run ended: its loss (nan if it broke off), model, and the guard or pilot that drove it, if one did."""

    loss: float
    model: nn.Module
    driver: Guard | Pilot | None = None
    gradients: int = 0
    forwards: int = 0


def tasks(held=True):
    """The thirteen that the pilot was made on, and the twelve held out."""
    return [*build(TASKS), *seven(), *(twelve() if held else ())]


def optimizer_of(family, model, rate):
    if family == "SGD":
        return torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    return torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)


def factor(k, steps, schedule, family):
    """Of the rate at update k.

    Constant; a cosine, before which AdamW warms up; a warm-up, a hold and a cool-down ("hold").
    """
    warmup = steps // 10 if schedule == "hold" or (schedule, family) == ("cosine", "AdamW") else 0
    if k < warmup:
        return (k + 1) / warmup
    return {
        "constant": 1.0,
        "cosine": 0.5 * (1 + math.cos(math.pi * (k - warmup) / (steps - warmup))),
        "hold": min(1.0, (steps - k) / (steps // 5)),
    }[schedule]


def train(task, family, seed, rate, schedule="constant", *, guarded=False):
    """A run of the optimizer, with or without a guard."""
    torch.manual_seed(seed)
    model = task.model()
    optimizer = optimizer_of(family, model, rate)
    guard = Guard(model, optimizer) if guarded else None
    batches = task.batches(seed)
    for k in range(task.steps):
        optimizer.param_groups[0]["lr"] = rate * factor(k, task.steps, schedule, family)
        x, y = next(batches)
        if guard is not None:
            try:
                guard.step(lambda x=x, y=y: task.loss(model, x, y))
            except Diverged:
                break
            continue
        optimizer.zero_grad()
        loss = task.loss(model, x, y)
        loss.backward()
        if not math.isfinite(loss.item()):
            return Run(math.nan, model)
        optimizer.step()
    return Run(task.final(model), model, guard)


def train_piloted(task, family, seed, rate=1e-3):
    """A run of the pilot, whose optimizer was given a rate that should play no part."""
    torch.manual_seed(seed)
    model = task.model()
    pilot = Pilot(model, optimizer_of(family, model, rate), total_steps=task.steps)
    batches, calls = task.batches(seed), [0, 0]

    def closure():
        calls[torch.is_grad_enabled()] += 1
        return task.loss(model, x, y)

    try:
        for _ in range(task.steps):
            x, y = next(batches)
            pilot.step(closure)
        loss = task.final(model)
    except Diverged:
        loss = math.nan
    forwards, gradients = calls
    return Run(loss, model, pilot, gradients, forwards)


def suggestion(task, family, seed, steps=None):
    """What a range test on the task's batches says."""
    torch.manual_seed(seed)
    model = task.model()
    batches = list(itertools.islice(task.batches(seed + 500), BATCHES))
    optimizer = optimizer_of(family, model, 1e-3)
    return range_test(model, lambda m, batch: task.loss(m, *batch), batches, optimizer, rng=seed, steps=steps)


def regret(loss, best, constant):
    """In percent, and no run above 100: beyond a constant nobody asks how far."""
    return min(100 * (loss - best) / (constant - best), 100.0) if math.isfinite(loss) else 100.0


def has_failed(loss, first, constant):
    return not loss <= min(constant, 2 * first)


def reference(task, family):
    """The best swept loss and the best constant predictor's."""
    if task.name in BEST:
        sgd, adamw, constant = BEST[task.name]
    else:
        (sgd, adamw), constant = MORE[task.name], task.constant
    return (sgd if family == "SGD" else adamw), constant


def sweep(quick):
    """L* of the twelve tasks held out and the rate that has it, anew: what `more_tasks.py` holds."""
    rows, seeds = [], 1 if quick else 2
    for task, family in itertools.product(twelve()[: 1 if quick else None], FAMILIES):
        grid = [10 ** (k / 2) for k in (range(-6, 2) if family == "SGD" else range(-7, 0))]
        losses = {
            (schedule, rate): statistics.fmean(train(task, family, s, rate, schedule).loss for s in range(seeds))
            for schedule in ("cosine", "hold")
            for rate in grid[:: 4 if quick else 1]
        }
        best = min((key for key in losses if math.isfinite(losses[key])), key=lambda key: losses[key])
        rows.append((f"{task.name}, {family}", losses[best], *best))
        print("  ", *rows[-1], flush=True)
    return [Table("best", ("task", "loss", "schedule", "rate"), rows, f"Means of {seeds} seeds.")]
