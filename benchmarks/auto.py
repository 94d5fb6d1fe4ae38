"""The pilot with no rate given, beside the best of a sweep, on thirteen small tasks and twelve held out.

    python benchmarks/auto.py regret     regret against the best swept loss: six tasks with paired differences from a
                                         universal rate, and the seven others that the rule was made on
    python benchmarks/auto.py held       the twelve tasks of more_tasks.py that played no part in the rule
    python benchmarks/auto.py sweep      what `held` compares with, anew (half an hour)
    python benchmarks/auto.py starts     the optimizer's rate at 1/100 and 100 x the best one
    python benchmarks/auto.py unknown    no total_steps: finish(steps) is called when a fifth of the run is left
    python benchmarks/auto.py long       three tasks at six times their length
    python benchmarks/auto.py cost       gradients and CPU time over the plain optimizer's

Single-threaded. Regret % = 100 (loss - L*)/(constant - L*): 0 is the best of the sweep, 100 the best constant. L* is
the best mean loss: for the six over three seeds of SGD with momentum 0.9, 13 rates with a cosine; AdamW, 11 rates with
warm-up and a cosine and 5 constant ones; for the others over two seeds of 6 to 8 rates by half decades, each with a
cosine and with a hold and a cool-down. Needs scikit-learn; one task needs mnist1d.
"""

import argparse
import math
import statistics
import time

import torch
from guard import TASKS, Adding, Characters, Digits, Signals, built
from more_tasks import BEST as MORE
from more_tasks import seven, twelve

from surefoot.errors import Diverged
from surefoot.training import Pilot

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
# Student's t, 95% two-sided, by degrees of freedom.
T95 = {1: 12.71, 2: 4.303, 3: 3.182, 4: 2.776, 9: 2.262}
# Losses are of the sweep's own evaluation sets.
EVALUATED = {Signals: 4000, Adding: 1000, Characters: 200}


def final(task, model):
    n = EVALUATED.get(type(task), len(task.x))
    model.eval()
    torch.manual_seed(0)  # of a loss that draws
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
    """The final loss and CPU seconds of the optimizer alone.

    At a constant rate; with a cosine; with a warm-up, a hold and a cool-down ("hold"). AdamW warms up for a cosine too.
    """
    torch.manual_seed(seed)
    model = task.model()
    optimizer = optimizer_of(family, model, rate)
    steps, batches, began = task.steps, task.batches(seed), time.process_time()
    warmup = steps // 10 if schedule == "hold" or (schedule, family) == ("cosine", "AdamW") else 0
    for k in range(steps):
        factor = {
            "constant": 1.0,
            "cosine": 0.5 * (1 + math.cos(math.pi * (k - warmup) / (steps - warmup))),
            "hold": min(1.0, (steps - k) / (steps // 5)),
        }[schedule]
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


def reference(task, family):
    """The best swept loss and the best constant predictor's."""
    if task.name in BEST:
        sgd, adamw, constant = BEST[task.name]
    else:
        (sgd, adamw), constant = MORE[task.name], task.constant
    return (sgd if family == "SGD" else adamw), constant


def measure(tasks, seeds, families, rates=(None,), known=True, pairs=False):
    for family in families:
        means, failures, runs = [], 0, 0
        print(f"{family}: regret % and rate held, per seed; mean")
        for task in tasks:
            best, constant = reference(task, family)
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
                    held_at = f"at {UNIVERSAL[family]:g} {statistics.fmean(others):.2f}"
                    line += f"; {held_at}, difference {middle:+.2f} +- {half:.2f}"
                print(line, flush=True)
        print(
            f"  median {statistics.median(means):.2f}; at most 1%: {sum(mean <= 1 for mean in means)}, at most 3%: "
            f"{sum(mean <= 3 for mean in means)} of {len(means)}; worst {max(means):.2f}; failures {failures} of {runs}"
        )


def sweep(families, seeds=2):
    for task in twelve():
        for family in families:
            grid = [10 ** (k / 2) for k in (range(-6, 2) if family == "SGD" else range(-7, 0))]
            losses = {
                (schedule, rate): statistics.fmean(plain(task, family, s, rate, schedule)[0] for s in range(seeds))
                for schedule in ("cosine", "hold")
                for rate in grid
            }
            best = min((key for key in losses if math.isfinite(losses[key])), key=lambda key: losses[key])
            print(f"  {task.name:<17} {family:<6} {losses[best]:.4g}, {best[0]} from {best[1]:.3g}", flush=True)


def long(families, times=6):
    """The same tasks, longer: the final loss, and what rates a cosine does best from."""
    for task in built((Digits, Signals, Characters)):
        task.steps *= times
        for family in families:
            losses = [piloted(task, family, seed)[0] for seed in range(2)]
            best, constant = reference(task, family)
            print(
                f"  {task.name:<17} {family:<6} losses {' '.join(f'{loss:.4g}' for loss in losses)}; the best of the "
                f"sweep at a sixth of the length {best:.4g}, constant {constant:.4g}",
                flush=True,
            )


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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["regret", "held", "sweep", "starts", "unknown", "long", "cost"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--families", nargs="+", default=["AdamW", "SGD"])
    chosen = parser.parse_args()
    what, seeds, families = chosen.what, chosen.seeds, chosen.families
    if what in ("cost", "sweep", "long"):
        {"cost": cost, "sweep": sweep, "long": long}[what](families)
    elif what == "held":
        measure(twelve(), seeds, families)
    elif what == "regret":
        measure([*built(TASKS)], seeds, families, pairs=True)
        measure(seven(), seeds, families)
    else:
        rates = (0.01, 100.0) if what == "starts" else (None,)
        measure([*built(TASKS)], seeds, families, rates, known=what != "unknown")


if __name__ == "__main__":
    main()
