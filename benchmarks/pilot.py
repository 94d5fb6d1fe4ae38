"""The pilot and the range test, with no rate given, beside the best of a sweep on 25 small tasks.

Run: python -m benchmarks pilot pilot-cost range-test. The pilot's rule and its constants were chosen on thirteen of
the tasks; twelve played no part. The regret after a range test is that of a whole run at its suggestion with a
warm-up, a hold and a cool-down.
"""

import itertools
import statistics
import time

from bench import Table
from runs import FAMILIES, has_failed, reference, regret, suggestion, tasks, train, train_piloted
from tasks import TASKS, Digits, build

# How many of the tasks, in their order, the rule was made on.
MADE_ON = 13
# A rate is near the best swept one within half a decade: the sweep's grid.
NEAR = 10**0.5


def regrets(quick):
    """Of whole runs, by task; from which rate the optimizer came."""
    seeds, chosen = (1, tasks(held=False)[:1]) if quick else (3, tasks())
    rows, means, bad, more = [], {family: [] for family in FAMILIES}, dict.fromkeys(FAMILIES, 0), []
    for task in chosen:
        worst = []
        for family in FAMILIES:
            best, constant = reference(task, family)
            runs = [train_piloted(task, family, seed) for seed in range(seeds)]
            found = [regret(run.loss, best, constant) for run in runs]
            bad[family] += sum(has_failed(run.loss, run.driver.history[0].loss, constant) for run in runs)
            more += [100 * (run.gradients / task.steps - 1) for run in runs]
            means[family].append(statistics.fmean(found))
            worst.append(max(found))
        rows.append((task.name, *(means[family][-1] for family in FAMILIES), *worst))
        print("  ", *rows[-1], flush=True)
    kinds = {"made on": slice(0, MADE_ON), "held out": slice(MADE_ON, None), "all": slice(None)}
    summary = [
        (f"{family}, {kind}", statistics.median(part),
         *(f"{sum(m <= most for m in part)} of {len(part)}" for most in (1, 3)), max(part))
        for family in FAMILIES for kind, which in kinds.items() if (part := means[family][which])
    ]  # fmt: skip
    totals = [
        ("runs", 2 * seeds * len(chosen)),
        ("of them failed", sum(bad.values())),
        ("gradients beyond the steps, %: mean", statistics.fmean(more)),
        ("least", min(more)),
        ("most", max(more)),
        ("pairs from 1/100 and 100 times the best rate", len(starts := same_from_any_rate(chosen[: len(TASKS)]))),
        ("of them end at the same loss", sum(starts)),
    ]
    note = f"Means of {seeds} seeds; a regret below 0 is better than any run of the sweep, none counts above 100."
    return [
        Table("summary", ("tasks", "median regret %", "at most 1%", "at most 3%", "worst %"), summary, note),
        Table(
            "totals",
            ("the pilot", "number"),
            totals,
            "Failed: not finite, above twice the first loss or the constant's.",
        ),
        Table("by-task", ("mean regret %", *FAMILIES, *(f"{family}, worst seed" for family in FAMILIES)), rows, note),
    ]


def same_from_any_rate(chosen):
    """Whether the optimizer's own rate plays no part: the end from far below and far above the best one."""
    pairs = []
    for task, family in itertools.product(chosen, FAMILIES):
        best = task.rates[family == "AdamW"]
        low, high = (train_piloted(task, family, 0, share * best).loss for share in (0.01, 100.0))
        pairs.append(low == high)
    return pairs


class Long(Digits):
    """For the cost of a long run only."""

    name, steps = "mlp digits, ten times as long", 6000


def cost(quick):
    """Gradients, forward passes and processor time over the plain optimizer's at the rate that the pilot ends at."""
    rows, rounds = [], 1 if quick else 3
    for task, family in itertools.product(
        build((*TASKS[: 1 if quick else None], Long)[: 1 if quick else None]), FAMILIES
    ):
        ratios = []
        for _ in range(rounds):
            began = time.process_time()
            run = train_piloted(task, family, 0)
            middle = time.process_time()
            train(task, family, 0, run.driver.history[-1].rate)
            ratios.append((middle - began) / (time.process_time() - middle))
        more = (100 * (run.gradients / task.steps - 1), 100 * run.forwards / task.steps)
        rows.append((f"{task.name}, {family}", *more, statistics.median(ratios)))
        print("  ", *rows[-1], flush=True)
    columns = ("run of", "more gradients, %", "forward passes, %", "time over the plain run's")
    return [Table("cost", columns, rows, f"Time: the median of {rounds} pairs.")]


def range_tests(quick):
    """Regret at the suggestion with the default budget and with less; how near the best swept rate, how repeatable."""
    seeds, chosen = (1, tasks(held=False)[:1]) if quick else (3, tasks())
    budgets = {"320 steps, the default": None, "100 steps": 100}
    found = {name: measure(chosen, seeds, steps) for name, steps in budgets.items()}
    totals = [numbers for numbers, _ in found.values()]
    rows = [(label, *(numbers[label] for numbers in totals)) for label in totals[0]]
    note = (
        f"{len(chosen)} tasks, SGD and AdamW, {seeds} seeds; thirteen of the tasks are those that the rule was made on."
    )
    columns = (
        "with the default",
        "mean regret %",
        "worst %",
        "least, times the best rate",
        "largest, times the best rate",
    )
    _, by_task = found["320 steps, the default"]
    return [
        Table("range-test", (f"{2 * seeds * len(chosen)} runs", *budgets), rows, note),
        Table("by-task", columns, by_task, note),
    ]


def measure(chosen, seeds, steps):
    """Name -> number of one budget's runs, and a row of each task and optimizer."""
    near, spreads, regrets, spent, refused, rows = 0, [], [], [], 0, []
    for task, family in itertools.product(chosen, FAMILIES):
        best = task.rates[family == "AdamW"]
        found = [suggestion(task, family, seed, steps) for seed in range(seeds)]
        shares = [one.suggested / best for one in found if not one.abstained]
        refused += seeds - len(shares)
        near += sum(max(share, 1 / share) <= NEAR for share in shares)
        spreads += [max(shares) / min(shares)] if shares else []
        spent += [one.steps for one in found]
        losses = [
            float("nan") if one.abstained else train(task, family, seed, one.suggested, "hold").loss
            for seed, one in enumerate(found)
        ]
        own = [regret(loss, *reference(task, family)) for loss in losses]
        regrets += own
        ends = (min(shares, default=None), max(shares, default=None))
        rows.append((f"{task.name}, {family}", statistics.fmean(own), max(own), *ends))
        print("  ", *rows[-1], flush=True)
    return {
        **{f"regret at most {most}%": sum(one <= most for one in regrets) for most in (1, 3, 10)},
        "regret %, mean": statistics.fmean(regrets),
        "regret %, median": statistics.median(regrets),
        "no rate suggested": refused,
        f"within {NEAR:.2g} times the best swept rate": near,
        "seeds apart by a factor, median": statistics.median(spreads),
        "seeds apart by a factor, most": max(spreads),
        "steps spent, median": statistics.median(spent),
    }, rows
