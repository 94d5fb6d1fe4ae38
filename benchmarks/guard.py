"""The guard on small training tasks: what it saves, what it leaves alone, what it costs.

Run: python -m benchmarks guard guard-calm guard-cost. The six tasks of tasks.py; SGD has momentum 0.9 and a cosine,
AdamW a warm-up and a cosine, at multiples of the best swept rate.
"""

import itertools
import math
import statistics
import time
from collections import Counter

import torch
from bench import Table
from more_tasks import seven
from runs import FAMILIES, optimizer_of, reference, regret, train
from tasks import TASKS, Wide, build

from surefoot.training import Guard

MULTIPLES = (1.0, 10.0, 100.0, 1000.0)


def rescues(quick):
    """Runs that begin at a multiple of the best rate, guarded and not: how many end worse than the best constant."""
    tasks = list(build(TASKS[: 1 if quick else None]))
    rows, every = [], Counter()
    for multiple, family in itertools.product(MULTIPLES[:: 2 if quick else 1], reversed(FAMILIES)):
        seen, regrets = Counter(), []
        for task in tasks:
            best, constant = reference(task, family)
            rate = multiple * task.rates[family == "AdamW"]
            plain, kept = (train(task, family, 0, rate, "cosine", guarded=guarded) for guarded in (False, True))
            # a run that is no longer finite is worse than any other
            alone, saved = (run.loss if math.isfinite(run.loss) else math.inf for run in (plain, kept))
            # a hundredth of what there is to gain
            margin = 0.01 * (constant - best)
            seen["runs"] += 1
            seen["plain"] += not alone <= constant
            seen["guarded"] += not saved <= constant
            seen["better"] += alone > saved + margin
            seen["worse"] += saved > alone + margin
            seen["events"] += len(kept.driver.history)
            regrets.append(regret(saved, best, constant))
        if multiple > 1:
            every += seen
        bad = (f"{seen[kind]} of {seen['runs']}" for kind in ("plain", "guarded"))
        rows.append(
            (f"{multiple:g}", family, *bad, statistics.median(regrets), seen["better"], seen["worse"], seen["events"])
        )
        print("  ", *rows[-1], flush=True)
    columns = ("times the best rate", "optimizer", "plain ends worse than a constant", "guarded", "its median regret %",
               "guarded is better", "guarded is worse", "interventions")  # fmt: skip
    total = [(kind, f"{every[kind]} of {every['runs']}") for kind in ("plain", "guarded")]
    return [
        Table("rescues", columns, rows, "Better and worse: by over 1% of regret. One seed of each task."),
        Table("all-multiples", ("10 times the best rate and more", "ends worse than a constant"), total),
    ]


def calm(quick):
    """Runs at rates that are not too high: interventions, and whether they are the plain runs to the bit."""
    rows = [("up to the best rate", *compare(at_shares_of_the_best(quick))),
            ("features standardised, constant rate", *compare(standardised_data(quick)))]  # fmt: skip
    rows.append(("all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])))
    note = (
        "Six tasks with SGD and AdamW at 1/100, 1/10 and 1 times the best rate, one seed, and the CNN with two; digits "
        "and breast cancer with SGD at 0.1 and AdamW at 0.01, batches of 32, 64 and 128, three seeds, 600 steps."
    )
    return [Table("calm", ("runs", "number", "steps", "interventions", "not the plain run's bits"), rows, note)]


def at_shares_of_the_best(quick):
    for task, family, share in itertools.product(build(TASKS[: 1 if quick else None]), FAMILIES, (0.01, 0.1, 1.0)):
        for seed in range(2 if task.name.startswith("cnn") else 1):
            yield task, family, seed, share * task.rates[family == "AdamW"], "cosine"


def standardised_data(quick):
    named = {task.name: task for task in seven()}
    for name, batch in itertools.product(("digits std", "cancer std"), (32, 64, 128)):
        task = named[name]
        task.batch, task.steps = batch, 600
        for (family, rate), seed in itertools.product((("SGD", 0.1), ("AdamW", 0.01)), range(3)):
            yield task, family, seed, rate, "constant"
            if quick:
                return


def compare(runs):
    """How many runs and steps; interventions; runs whose parameters are not those of the plain one."""
    count = steps = events = different = 0
    for task, *how in runs:
        plain, kept = (train(task, *how, guarded=guarded) for guarded in (False, True))
        pairs = zip(plain.model.parameters(), kept.model.parameters(), strict=True)
        count, steps, events = count + 1, steps + task.steps, events + len(kept.driver.history)
        different += not all(torch.equal(p, q) for p, q in pairs)
        if kept.driver.history:
            print(f"  {task.name} {how}\n{kept.driver.explain()}", flush=True)
    return count, steps, events, different


def cost(quick):
    """Guarded and plain steps in turn on one model, so that both have the same memory and the same neighbours."""
    rows, rounds = [], 10 if quick else 150
    for task, family in itertools.product(build((*TASKS, Wide)[:: 4 if quick else 1]), FAMILIES):
        torch.manual_seed(0)
        model = task.model()
        # a slow rate, since each round makes four updates
        optimizer = optimizer_of(family, model, 0.3 * task.rates[family == "AdamW"])
        guard = Guard(model, optimizer, every=10**9)
        batches = task.batches(0)
        pairs = [time_pair(task, model, optimizer, guard, *next(batches)) for _ in range(rounds + 10)][10:]
        plain, added = (statistics.median(column) for column in zip(*pairs, strict=True))
        share = 100 * statistics.median(more / bare for bare, more in pairs)
        kept = Guard(model, optimizer, every=1)
        for _ in range(20):
            x, y = next(batches)
            kept.step(lambda x=x, y=y, model=model, task=task: task.loss(model, x, y))
        snapshot = 1e3 * kept.cost.seconds / kept.cost.snapshots
        rows.append((f"{task.name}, {family}", plain / 1e6, added / 1e6, share, snapshot))
        print("  ", *rows[-1], flush=True)
    rows.sort(key=lambda row: -row[1])
    columns = ("step of", "plain, ms", "the guard adds, ms", "of the step, %", "a snapshot, ms")
    return [Table("cost", columns, rows, f"Processor time of one thread, medians of {rounds} pairs without snapshots.")]


def time_pair(task, model, optimizer, guard, x, y):
    """Nanoseconds of a plain step, and of a guarded one beyond it: two of each, the one kind around the other."""

    def plain():
        optimizer.zero_grad()
        loss = task.loss(model, x, y)
        loss.backward()
        optimizer.step()
        loss.item()

    def guarded():
        guard.step(lambda: task.loss(model, x, y)).item()

    spent = dict.fromkeys((plain, guarded), 0)
    outer, inner = (plain, guarded) if guard.updates % 4 == 0 else (guarded, plain)
    for step in (outer, inner, inner, outer):
        began = time.thread_time_ns()
        step()
        spent[step] += time.thread_time_ns() - began
    return spent[plain] / 2, (spent[guarded] - spent[plain]) / 2
