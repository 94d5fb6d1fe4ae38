"""Orbit diagram, period and exponent of a scalar map for 2,000 parameters over 2,000 steps, against a plain loop.

Run: python benchmarks/orbits.py. Prints ratios; seconds depend on the machine.
"""

import math
import time

import numpy as np

from surefoot.dynamics import Cubic, TanhRNN, bifurcations, diagram

PARAMETERS, STEPS, KEEP = 2000, 2000, 128
LOOP_PARAMETERS = 200


def best(call, repeats=5):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def plain_loop(rates):
    for rate in rates:
        x, total, kept = 0.37, 0.0, []
        for t in range(STEPS):
            total += math.log(abs(1 - rate * (1 - 2 * x)) + 1e-300)
            x = x - rate * (x - x * x)
            if t >= STEPS - KEEP:
                kept.append(x)
        next((q for q in range(1, 65) if all(abs(a - b) < 1e-6 for a, b in zip(kept, kept[q:], strict=False))), 0)


def main():
    rates = np.linspace(1.5, 2.99, PARAMETERS)
    fast = best(lambda: diagram(Cubic(), rates, 0.37, steps=STEPS, keep=KEEP))
    loop = best(lambda: plain_loop(rates[:: PARAMETERS // LOOP_PARAMETERS].tolist()), 2) * PARAMETERS / LOOP_PARAMETERS
    what = f"diagram, period and exponent, {PARAMETERS} x {STEPS}"
    print(f"{what}: {fast:.3f} s; plain loop {loop:.1f} s: {loop / fast:.0f} x")
    network = best(lambda: bifurcations(TanhRNN(), (1.0, 6.0), 1.0, 5), 3)
    print(f"five doublings of the tanh network: {network:.2f} s")


if __name__ == "__main__":
    main()
