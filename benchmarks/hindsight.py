"""Rules: Auto beside the best rule in hindsight on thirty problems, beside SciPy on 32; what the engine costs.

Run: python -m benchmarks rules overhead-of-rules. Counts are the same on every machine; only the overhead is a time.
"""

import math
import statistics
import sys
from pathlib import Path

import numpy as np
from bench import Table, in_turn

from surefoot import rules
from surefoot.problems import Quadratic
from surefoot.solvers import descend
from surefoot.targets import resolve
from surefoot.trials import race

GAP, BUDGET = 1e-6, 3000


def gradients(problem, rule, least, budget):
    goal = least + GAP * (problem.value(problem.start()) - least)
    run = descend(problem, rule=rule, steps=budget, tol=0, callback=lambda _, loss: loss <= goal)
    return run.evaluations if run.stopped == "stopped by the callback" else math.inf


def auto(quick):
    """Auto over the best rule in hindsight, which may be told mu, L or f*."""
    # the thirty problems are those of the tests
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from rules.thirty import least_value, rivals, thirty

    rows = []
    for name, problem in list(thirty().items())[: 3 if quick else None]:
        least = least_value(problem)
        mine = gradients(problem, rules.Auto(), least, BUDGET)
        budget = min(BUDGET, int(min(4 * mine, BUDGET)))
        counts = {rival: gradients(problem, rule, least, budget) for rival, rule in rivals(problem, least).items()}
        best = min(counts, key=counts.get)
        rows.append((name, mine, counts[best], mine / counts[best], best))
    ratios = [row[3] for row in rows]
    summary = [
        ("within 1.5 times the best rule", f"{sum(ratio <= 1.5 for ratio in ratios)} of {len(ratios)}"),
        ("geometric mean of the ratio", statistics.geometric_mean(ratios)),
        ("largest ratio", max(ratios)),
    ]
    note = f"Gradients to a relative gap of {GAP:g}; the best rule is known in hindsight."
    return [
        Table("auto", ("Auto on thirty problems", ""), summary, note),
        Table("auto-by-problem", ("problem", "Auto", "best", "ratio", "by"), rows),
        cancer(quick),
    ]


def cancer(quick):
    """Logistic regression as data come, and standardised: gradients of every rule, and of SciPy's L-BFGS-B."""
    names = ["auto", "bb", "bb-long", "bb-short", "adgd", "armijo", "fista", "constant:safe", "constant:optimal"]
    counts = {}
    for target in resolve("breast-cancer"):
        budget = 500 if quick else 20_000 if "raw" in target.name else 12_000
        made = race(target.problem, names, x0=target.start, steps=budget, tol=GAP)
        for entry in made.entries:
            counts.setdefault(entry.name, []).append(entry.reached(GAP) or f"> {budget}")
    rows = [(name, *found) for name, found in counts.items()]
    columns = ("gradients to a gap of 1e-6", *(target.name for target in resolve("breast-cancer")))
    return Table("cancer", columns, rows)


def overhead(quick):
    """Time of a move over that of a bare loop, the problem's own work included."""
    steps, repeats = (300, 2) if quick else (3000, 7)
    # so ill conditioned that no rule is done before the last step
    problem = Quadratic(np.diag(np.geomspace(1e-9, 1, 50)), np.ones(50))
    start = problem.start()

    def bare():
        x = start
        for _ in range(steps + 1):
            _, gradient = problem.value_and_gradient(x)
            x = x - 1.0 * gradient

    chosen = {
        "Constant": rules.Constant(step=1.0),
        "Cosine": rules.Cosine(step=1.0, steps=steps),
        "AdGD": rules.AdGD(),
        "Barzilai-Borwein": rules.BarzilaiBorwein(),
        "Auto": rules.Auto(),
        "Armijo": rules.Armijo(),
    }
    moves = {name: descend(problem, rule=r, steps=steps, tol=0).evaluations - 1 for name, r in chosen.items()}
    calls = {n: lambda r=r: descend(problem, rule=r, steps=steps, tol=0) for n, r in chosen.items()}
    spent = in_turn({"bare NumPy loop": bare, **calls}, repeats)
    moves["bare NumPy loop"] = steps + 1
    micro = {name: 1e6 * statistics.median(times) / moves[name] for name, times in spent.items()}
    rows = [(name, moves[name], us, us - micro["bare NumPy loop"]) for name, us in micro.items()]
    return [Table("overhead", ("with", "moves", "microseconds a move", "more than the loop"), rows, "50 unknowns.")]
