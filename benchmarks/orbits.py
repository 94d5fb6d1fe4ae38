"""Orbit diagrams against loops written by hand: orbits, periods, exponents of a scalar map.

Run: python -m benchmarks orbits. There are 2,000 parameters and 2,000 steps.
"""

import math
import statistics

import numpy as np
from bench import Table, in_turn, ratio

from surefoot.dynamics import Cubic, TanhRNN, bifurcations, diagram

PARAMETERS, STEPS, KEEP = 2000, 2000, 128
# The plain loop runs one parameter in so many, and its time is multiplied: all of them take half a minute.
SHARE = 10


def plain_loop(rates, steps):
    """What one writes by hand: iterate, add up logarithms of slopes, look for a period at the end."""
    for rate in rates:
        x, total, kept = 0.37, 0.0, []
        for t in range(steps):
            total += math.log(abs(1 - rate * (1 - 2 * x)) + 1e-300)
            x = x - rate * (x - x * x)
            if t >= steps - KEEP:
                kept.append(x)
        next((q for q in range(1, 65) if all(abs(a - b) < 1e-6 for a, b in zip(kept, kept[q:], strict=False))), 0)


def vector_loop(rates, steps):
    """The same with all parameters in one array."""
    x, total, kept = np.full(len(rates), 0.37), np.zeros(len(rates)), []
    for t in range(steps):
        total += np.log(np.abs(1 - rates * (1 - 2 * x)) + 1e-300)
        x = x - rates * (x - x * x)
        if t >= steps - KEEP:
            kept.append(x)
    kept = np.array(kept)
    periods = np.zeros(len(rates), dtype=int)
    for q in range(64, 0, -1):
        periods[(np.abs(kept[:-q] - kept[q:]) < 1e-6).all(axis=0)] = q
    return periods, total / steps


def orbits(quick):
    """Time of both, and of finding five doublings of a network's map."""
    parameters, repeats = (200, 1) if quick else (PARAMETERS, 5)
    rates = np.linspace(1.5, 2.99, parameters)
    some = rates[::SHARE].tolist()
    spent = in_turn(
        {
            "diagram": lambda: diagram(Cubic(), rates, 0.37, steps=STEPS, keep=KEEP),
            "arrays": lambda: vector_loop(rates, STEPS),
            "loop": lambda: plain_loop(some, STEPS),
            "doublings": lambda: bifurcations(TanhRNN(), (1.0, 6.0), 1.0, 5),
        },
        repeats,
    )
    rows = [
        ("surefoot.dynamics.diagram", statistics.median(spent["diagram"]), 1.0),
        ("a loop over NumPy arrays", statistics.median(spent["arrays"]), ratio(spent, "arrays", "diagram")),
        ("plain loop", SHARE * statistics.median(spent["loop"]), SHARE * ratio(spent, "loop", "diagram")),
        ("five doublings of a tanh network", statistics.median(spent["doublings"]), None),
    ]
    note = f"Orbits, periods and exponents of {parameters} parameters over {STEPS} steps."
    return [Table("orbits", ("with", "seconds", "times as long"), rows, note)]
