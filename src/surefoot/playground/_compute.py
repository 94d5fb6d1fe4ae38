"""What a scene computes, in Python: the same loops as `compute.js`, on the same formulas, to the same bits.

Each function has its twin of the same name in `compute.js`. The tests run both on random settings and compare bits.
"""

from collections.abc import Iterator

from surefoot.playground._formulas import FORMULAS, STAGES

# 32 bits: what JavaScript computes with exactly.
WORD = 0xFFFFFFFF


def iterate(name: str, state: list[float], parameters: list[float], steps: int) -> list[list[float]]:
    """The states of a formula that maps its state to the next: steps + 1 of them, the start included."""
    step = FORMULAS[name].python
    states = [list(state)]
    for _ in range(steps):
        states.append(list(step(*states[-1], *parameters)))
    return states


def uniforms(seed: int) -> Iterator[float]:
    """Uniform numbers in [0, 1) from 32-bit integers (xorshift32; Marsaglia 2003, "Xorshift RNGs", p. 4)."""
    word = seed & WORD or 1
    while True:
        word ^= (word << 13) & WORD
        word ^= word >> 17
        word ^= (word << 5) & WORD
        yield word / 4294967296


def noisy_mean_squares(
    seed: int, rate: float, curvature: float, noise: float, start: float, steps: int, runs: int
) -> list[float]:
    """The mean of x^2 over runs of SGD on a x^2/2 after each step; the noise of a gradient is a sum of 12 uniforms.

    Such a sum less 6 has mean 0 and variance 1, and looks normal; a normal number itself needs a logarithm.
    """
    numbers = uniforms(seed)
    step = FORMULAS["noisy"].python
    points = [start] * runs
    means = [start * start]
    for _ in range(steps):
        total = 0.0
        for i in range(runs):
            xi = -6.0
            for _ in range(12):
                xi = xi + next(numbers)
            (points[i],) = step(points[i], rate, curvature, noise, xi)
            total = total + points[i] * points[i]
        means.append(total / runs)
    return means


def chebyshev_parameters() -> tuple[float, float, float]:
    """(w0, w1, T_s(w0)) of the damped first-order Runge-Kutta-Chebyshev method of the scene; damping 0.05.

    w0 = 1 + 0.05/s^2,   w1 = T_s(w0)/T_s'(w0)      (Verwer, Hundsdorfer, Sommeijer 1990)
    """
    w0 = 1 + 0.05 / STAGES**2
    before, now, slope_before, slope = 1.0, w0, 0.0, 1.0
    for _ in range(STAGES - 1):
        before, now, slope_before, slope = now, 2 * w0 * now - before, slope, 2 * now + 2 * w0 * slope - slope_before
    return w0, now / slope, now
