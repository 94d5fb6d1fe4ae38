"""Four claims of the README, each put to the test on random cases: python -m benchmarks claims, half a minute.

Each row says how often the claim held; nothing is timed, and the same numbers come each time.
"""

import math

import numpy as np
from bench import Table, power_iteration
from scipy.sparse.linalg import LinearOperator

import surefoot as sf
from surefoot.dynamics import ClippedQuadratic, orbit
from surefoot.stability import clipped_oscillation

CASES = 300
# Steps of each run: 1% beyond a limit has grown by e^20 after so many, 1% below it has shrunk as much.
STEPS = 2000
METHODS = ("gradient-descent", "midpoint", "heun", "kutta3", "rk4", "ab2", "ab3", "ab4", "heavy-ball", "nesterov")


def spectrum(rng):
    """Eigenvalues of one of three kinds: without a gap, with outliers, evenly spread."""
    size = int(rng.integers(50, 300))
    kinds = (rng.exponential(size=size), rng.pareto(2.0, size=size), rng.uniform(0.1, 1.0, size))
    return np.sort(kinds[int(rng.integers(3))])


def intervals(rng, cases):
    """How often an interval holds the largest eigenvalue, and how often power iteration's limit is too large."""
    held = too_large = 0
    for trial in range(cases):
        values = spectrum(rng)
        products = LinearOperator((values.size,) * 2, matvec=lambda v, values=values: values * np.ravel(v), dtype=float)
        largest = sf.spectrum(products, symmetric=True, which="largest", rtol=0.01, rng=trial).largest
        held += largest.lower <= values[-1] <= largest.upper
        seen = power_iteration(lambda v, values=values: values * v, values.size, 20, rng)
        too_large += 2 / seen > 1.001 * 2 / values[-1]
    return held, too_large


def both_sides():
    """Of how many methods a run at 0.99 times the limit shrinks and one at 1.01 times it grows."""
    right = 0
    for name in METHODS:
        method = sf.methods.named(name)
        low, high = (float(method.amplification(-share * method.real_limit)) for share in (0.99, 1.01))
        right += low**STEPS < 1e-3 and high**STEPS > 1e3
    return right


def schedules(rng, cases):
    """How often the audit finds by which factor a cosine was stepped too often, and agrees with one that was not."""
    right = 0
    for _ in range(cases):
        total, rate, factor = int(rng.integers(200, 2000)), 10 ** rng.uniform(-5, -1), int(rng.choice([1, 2, 3, 4, 8]))
        ran = [rate * (1 + math.cos(math.pi * min(factor * k / total, 1))) / 2 for k in range(0, total)]
        found = sf.audit(ran, f"cosine:total={total},rate={rate!r}")
        right += found.verdict == "as planned" if factor == 1 else f"{factor} times" in str(found)
    return right


def clips(rng, cases):
    """How often a clipped run past its limit swings over the width that is predicted, to within rounding."""
    right = 0
    for _ in range(cases):
        a, cap = 10 ** rng.uniform(-2, 2, size=2)
        step = rng.uniform(2.05, 8.0) / a
        seen = orbit(ClippedQuadratic(a, cap), step, 0.7 * cap / a, steps=3000)[-2:]
        predicted = clipped_oscillation(curvature=a, step=step, cap=cap).peak_to_peak
        right += math.isclose(abs(seen[1] - seen[0]), predicted, rel_tol=1e-9)
    return right


def claims(quick):
    """The four, and beside the first what twenty products of power iteration give."""
    rng, cases = np.random.default_rng(0), 30 if quick else CASES
    held, too_large = intervals(rng, cases)
    power = f"(20 products of power iteration gave a limit too large in {too_large})"
    rows = [
        (f"The interval holds the largest eigenvalue. {power}", f"{held} of {cases}"),
        ("A run shrinks at 0.99 times the limit and grows at 1.01 times", f"{both_sides()} of {len(METHODS)} methods"),
        (
            "A log tells by which factor a schedule was stepped too often, or that it was not",
            f"{schedules(rng, cases)} of {cases}",
        ),
        ("A clipped run past its limit swings over exactly step x cap", f"{clips(rng, cases)} of {cases}"),
    ]
    return [Table("claims", ("claim", "held in"), rows)]
