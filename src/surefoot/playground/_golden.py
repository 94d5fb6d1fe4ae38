"""Golden records: computations of the scenes with the bits that Python got, for the page and the tests to repeat."""

import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from surefoot.playground._compute import chebyshev_parameters, iterate, noisy_mean_squares
from surefoot.playground._formulas import FORMULAS

# State and parameters of every formula that is iterated: name -> (states, ranges of the parameters).
# Ranges reach past the limits, so that runs that leave and chaotic ones are compared too.
ITERATED: dict[str, tuple[int, tuple[tuple[float, float], ...]]] = {
    "descent": (2, ((0.01, 2.3), (0.001, 1.0), (0.5, 1.0))),
    "heavy_ball": (4, ((0.01, 4.0), (0.0, 0.99), (0.001, 1.0), (0.5, 1.0))),
    "cubic": (1, ((0.5, 3.1), (0.9, 1.1))),
    "clipped": (1, ((0.1, 6.0), (0.5, 2.0), (0.1, 2.0))),
    "grow": (1, ((0.01, 2.0),)),
}
# Ranges of the arguments of every formula that is applied once.
APPLIED: dict[str, tuple[tuple[float, float], ...]] = {
    "canyon_loss": ((-2.0, 2.0), (-2.0, 2.0), (0.001, 1.0), (0.5, 1.0)),
    "growth": ((0.0, 3.0), (0.0, 1.0)),
    "best_growth": ((1.0, 1000.0),),
    "best_ball_growth": ((1.0, 1000.0),),
    "heavy_ball_growth": ((0.0, 4.0), (0.0, 0.99), (0.0, 1.0)),
    "euler": ((-4.0, 0.5), (-3.5, 3.5)),
    "rk4": ((-4.0, 0.5), (-3.5, 3.5)),
    "backward_euler": ((-4.0, 0.5), (-3.5, 3.5)),
    "rkc": ((-50.0, 0.5), (-3.5, 3.5)),
    "modulus": ((-2.0, 2.0), (-2.0, 2.0)),
    "ab2": ((-4.0, 0.5), (-3.5, 3.5)),
    "noise_floor": ((0.005, 1.9), (0.5, 1.0), (0.0, 10.0), (1.0, 1024.0)),
}
# Rate, curvature and noise of the runs with noise; few steps of few runs, for a page opens while they are compared.
NOISY = ((0.005, 1.9), (1.0, 1.0), (0.0, 10.0))
NOISY_START, NOISY_STEPS, NOISY_RUNS = 3.0, 12, 3
# Long enough that a chaotic orbit shows one wrong bit in every digit.
STEPS = 60


def golden_records(count: int, rng: int = 0) -> Iterator[dict[str, Any]]:
    """Random settings of every formula, `count` each, with the bits of their results.

    Parameters
    ----------
    count : int
        Settings for each formula.
    rng : int
        Seed of the settings.

    Yields
    ------
    dict
        What `agrees` in compute.js takes.
    """
    generator = np.random.default_rng(rng)

    def draw(ranges: tuple[tuple[float, float], ...]) -> list[float]:
        return [float(generator.uniform(low, high)) for low, high in ranges]

    for name, (size, ranges) in ITERATED.items():
        for _ in range(count):
            state = [float(value) for value in generator.uniform(0.05, 0.95, size)]
            parameters = draw(ranges)
            values = [value for row in iterate(name, state, parameters, STEPS) for value in row]
            yield {
                "kind": "iterate",
                "formula": name,
                "state": state,
                "parameters": parameters,
                "steps": STEPS,
                "bits": [bits(value) for value in values],
            }
    for name, ranges in APPLIED.items():
        for _ in range(count):
            arguments = [*draw(ranges), *(chebyshev_parameters() if name == "rkc" else ())]
            yield {
                "kind": "apply",
                "formula": name,
                "arguments": arguments,
                "bits": [bits(value) for value in FORMULAS[name].python(*arguments)],
            }
    for _ in range(count):
        seed, (rate, curvature, noise) = int(generator.integers(1, 1000)), draw(NOISY)
        values = noisy_mean_squares(seed, rate, curvature, noise, NOISY_START, NOISY_STEPS, NOISY_RUNS)
        arguments = [seed, rate, curvature, noise, NOISY_START, NOISY_STEPS, NOISY_RUNS]
        yield {"kind": "noise", "arguments": arguments, "bits": [bits(value) for value in values]}


def bits(value: float) -> str:
    """The 64 bits of a number as hexadecimal digits; every NaN is the same NaN."""
    return "nan" if math.isnan(value) else struct.pack(">d", value).hex()
