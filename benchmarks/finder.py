"""The range test on twenty-five small tasks: regret at its suggestion, how near the best swept rate, how repeatable.

    python benchmarks/finder.py                  with the default budget, 320 steps
    python benchmarks/finder.py --steps 100      with less

The regret is that of a whole run at the suggestion with a warm-up, a hold and a cool-down, 0 at the best of a sweep and
100 at the best constant predictor. The rule was made on thirteen of the tasks, twelve are held out: see auto.py.
Single-threaded. Needs scikit-learn; the task `cnn` needs mnist1d and is left out without it.
"""

import argparse
import itertools
import math
import statistics

import torch
from auto import optimizer_of, plain, reference, regret
from guard import TASKS, built
from more_tasks import seven, twelve

from surefoot.training import range_test

# A rate is near the best swept one within half a decade: the sweep's grid.
NEAR = 10**0.5
FAMILIES = ("SGD", "AdamW")
# Batches that a test may read: more than a rehearsal takes.
BATCHES = 100


def tasks():
    return [*built(TASKS), *seven(), *twelve()]


def suggestion(task, family, seed, steps=None):
    torch.manual_seed(seed)
    model = task.model()
    batches = list(itertools.islice(task.batches(seed + 500), BATCHES))
    optimizer = optimizer_of(family, model, 1e-3)
    return range_test(model, lambda m, batch: task.loss(m, *batch), batches, optimizer, rng=seed, steps=steps)


def table(seeds, steps):
    near, spreads, regrets, spent, refused = 0, [], [], [], 0
    for task in tasks():
        for family, best in zip(FAMILIES, task.rates, strict=True):
            found = [suggestion(task, family, seed, steps) for seed in range(seeds)]
            rates = [result.suggested for result in found if not result.abstained]
            refused += seeds - len(rates)
            near += sum(max(rate / best, best / rate) <= NEAR for rate in rates)
            losses = [
                math.nan if result.abstained else plain(task, family, seed, result.suggested, "hold")[0]
                for seed, result in enumerate(found)
            ]
            # a run that ends in no number is no better than a constant
            own = [min(regret(loss, *reference(task, family)), 100) if loss < math.inf else 100 for loss in losses]
            regrets += own
            spreads += [max(rates) / min(rates)] if rates else []
            spent += [result.steps for result in found]
            shown = "  ".join(f"{r.suggested / best:.2g} ({one:.1f})" for r, one in zip(found, own, strict=True))
            print(f"  {task.name:<17} {family:<6} best {best:<7.2g} suggested / best (regret %): {shown}", flush=True)
    print(
        f"  regret at most 1%: {sum(one <= 1 for one in regrets)}, 3%: {sum(one <= 3 for one in regrets)}, 10%: "
        f"{sum(one <= 10 for one in regrets)} of {len(regrets)} runs; median {statistics.median(regrets):.2f}, mean "
        f"{statistics.fmean(regrets):.1f}; {refused} abstained"
    )
    print(
        f"  within {NEAR:.3g} x of the best: {near}; seeds apart by {statistics.median(spreads):.2f} x (median), "
        f"{max(spreads):.1f} x (largest); steps {statistics.median(spent):.0f} (median), {max(spent):.0f} (most)"
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=None)
    chosen = parser.parse_args()
    table(chosen.seeds, chosen.steps)


if __name__ == "__main__":
    main()
