"""Rules: Auto beside the best rule in hindsight on thirty problems; what the engine costs; breast cancer beside peers.

Run from the repository: ``OMP_NUM_THREADS=1 python benchmarks/rules.py [auto] [overhead] [cancer]``. Counts are the
same on every machine; only the overhead is a time.
"""

import math
import sys
import time
from pathlib import Path

import numpy as np

from surefoot import rules
from surefoot.problems import Quadratic
from surefoot.solvers import descend
from surefoot.targets import resolve
from surefoot.trials import race

GAP, BUDGET = 1e-6, 3000
# Gradients to a relative gap of 1e-6 on breast cancer, measured with other libraries' rules.
PEERS = {
    "standardised": "1/L 10163, 2/(L+mu) 5079, Armijo 197, BB long/short 60/55, AdGD 152, FISTA with restart 340",
    "raw": "BB short 9914; none of the others gets there, BB long diverges",
}


def gradients(problem, rule, least, budget):
    goal = least + GAP * (problem.value(problem.start()) - least)
    run = descend(problem, rule=rule, steps=budget, tol=0, callback=lambda _, loss: loss <= goal)
    return run.evaluations if run.stopped == "stopped by the callback" else math.inf


def auto():
    # in place of this folder, whose rules.py would hide the tests' folder of that name
    sys.path[0] = str(Path(__file__).parents[1] / "tests")
    from rules.thirty import least_value, rivals, thirty

    print(f"gradients to a relative gap of {GAP:g}; the best rule is known in hindsight, and may be told mu, L or f*\n")
    print(f"{'problem':<28}{'Auto':>6}{'best':>6}{'ratio':>7}  by")
    ratios = []
    for name, problem in thirty().items():
        least = least_value(problem)
        mine = gradients(problem, rules.Auto(), least, BUDGET)
        budget = min(BUDGET, int(min(4 * mine, BUDGET)))
        counts = {rival: gradients(problem, rule, least, budget) for rival, rule in rivals(problem, least).items()}
        best = min(counts, key=counts.get)
        ratios.append(mine / counts[best])
        print(f"{name:<28}{mine:>6}{counts[best]:>6}{ratios[-1]:>7.2f}  {best}")
    within = sum(ratio <= 1.5 for ratio in ratios)
    print(f"\nwithin 1.5 x the best: {within} of {len(ratios)}; worst {max(ratios):.2f}; ", end="")
    print(f"geometric mean {math.exp(np.mean(np.log(ratios))):.2f}\n")


def seconds(run, repeats=7):
    """The least of some times: what the work takes when nothing else runs."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def overhead(steps=3000):
    # so ill conditioned that no rule is done before the last step
    problem = Quadratic(np.diag(np.geomspace(1e-9, 1, 50)), np.ones(50))
    start = problem.start()

    def bare():
        x = start
        for _ in range(steps + 1):
            _, gradient = problem.value_and_gradient(x)
            x = x - 1.0 * gradient

    base = seconds(bare)
    print(f"bare NumPy loop, 50 unknowns: {1e6 * base / steps:.1f} us an iteration, the problem's own work included\n")
    print(f"{'rule':<20}{'moves':>8}{'us a move':>12}{'over the loop':>15}")
    for name, rule in {
        "Constant": rules.Constant(step=1.0),
        "Cosine": rules.Cosine(step=1.0, steps=steps),
        "AdGD": rules.AdGD(),
        "Barzilai-Borwein": rules.BarzilaiBorwein(),
        "Auto": rules.Auto(),
        "Armijo": rules.Armijo(),
    }.items():
        made = descend(problem, rule=rule, steps=steps, tol=0).evaluations - 1
        taken = seconds(lambda rule=rule: descend(problem, rule=rule, steps=steps, tol=0)) / made
        print(f"{name:<20}{made:>8}{1e6 * taken:>12.1f}{1e6 * (taken - base / steps):>12.1f} us")
    print()


def cancer():
    for target in resolve("breast-cancer"):
        kind = "raw" if "raw" in target.name else "standardised"
        budget = 20_000 if kind == "raw" else 12_000
        names = ["auto", "bb", "bb-long", "bb-short", "adgd", "armijo", "fista", "constant:safe", "constant:optimal"]
        print(race(target.problem, names, x0=target.start, steps=budget, tol=GAP))
        print(f"  peers: {PEERS[kind]}\n")


if __name__ == "__main__":
    parts = {"auto": auto, "overhead": overhead, "cancer": cancer}
    for part in sys.argv[1:] or parts:
        parts[part]()
