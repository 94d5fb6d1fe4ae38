"""Put the linear claim to the test where it is made: a step just under the limit, and one just over it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from surefoot.advice._types import Verification
from surefoot.methods import Method
from surefoot.operators import Array, Operator
from surefoot.spectra import Measurement, Spectrum
from surefoot.stability import Limits
from surefoot.targets import Target

# Parts of the limit that are run: the sharpest direction then shrinks by 0.9, or grows by 1.1, a step.
FACTORS = (0.95, 1.05)
# An interval wider than this leaves open on which side of the limit 1.05 times it lies.
TIGHT = 0.04
# Steps of a run: 40 grow 45-fold at 1.05 times the limit; the real loss, in which flatter directions have a share, gets
# five times as many. By convention.
REAL_STEPS = 200
MODEL_STEPS = 40
# Sharpest directions of the frozen model that take part; flatter ones move too little to tell anything.
DIRECTIONS = 8


def verify_on_target(target: Target, candidate: Any, spectrum: Spectrum, limits: Limits) -> tuple[Verification, ...]:
    """Run the real iteration of a deterministic target at both factors.

    Over the limit divergence is expected only where the curvature is the same everywhere: a bound on the curvature of
    logistic regression holds everywhere and is met almost nowhere.
    """
    sharp = target.constant_curvature and spectrum.largest.width <= TIGHT * spectrum.largest.upper
    runs: list[Verification] = []
    for factor in FACTORS:
        step = factor * limits.curvature_limit
        norms = target.gradient_norms(candidate, step, REAL_STEPS)
        if norms is None:
            return ()
        expected = "converges" if factor < 1 else ("diverges" if sharp else "")
        runs.append(_verification(factor, step, "real iteration", expected, norms))
    return tuple(runs)


def verify_on_frozen_model(
    operator: Operator, measurement: Measurement, method: Method, limits: Limits
) -> tuple[Verification, ...]:
    """Run the method on the quadratic model of the start, by products, in the span of its sharp Ritz vectors.

    Directions of negative curvature are left out, as they are in `curvature_limit`.
    """
    values = measurement.values
    chosen = np.flatnonzero(values > 0)[-DIRECTIONS:]
    if not chosen.size or not math.isfinite(limits.curvature_limit):
        return ()
    span: Array = operator.space.host(measurement.vectors(chosen.size))
    sharp = values[-1] >= (1 - TIGHT) * measurement.spectrum.largest.upper

    def run(step: float) -> list[float]:
        def flow(x: Array) -> Array:
            return -step * (span.conj() @ operator.matvec(x @ span))

        state = method.start(np.full(chosen.size, 1 / math.sqrt(chosen.size), dtype=operator.dtype))
        sizes = [1.0]
        for _ in range(MODEL_STEPS):
            state = method.update(state, flow)
            sizes.append(float(np.linalg.norm(state[0])))
        return sizes

    return tuple(
        _verification(
            factor,
            factor * limits.curvature_limit,
            "frozen quadratic model",
            "converges" if factor < 1 else ("diverges" if sharp else ""),
            run(factor * limits.curvature_limit),
        )
        for factor in FACTORS
    )


def _verification(factor: float, step: float, what: str, expected: str, sizes: Sequence[float]) -> Verification:
    first = sizes[0] or 1.0
    values = tuple(float(size) / first for size in sizes)
    return Verification(
        factor=factor, step=step, what=what, expected=expected, observed=_observe(values), values=values
    )


def _observe(values: Sequence[float]) -> str:
    """Whether the largest value of the last third is under or over that of the middle third."""
    if not all(map(math.isfinite, values)):
        return "diverges"
    third = len(values) // 3
    middle, last = max(values[third : 2 * third]), max(values[2 * third :])
    if last == 0 or last < 0.999 * middle:
        return "converges"
    return "diverges" if last > 1.001 * middle else "undecided"
