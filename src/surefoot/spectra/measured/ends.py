"""Certified bounds on the extreme eigenvalues of a symmetric operator, from its products alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from surefoot.operators import LinearMap, Operator
from surefoot.spectra.enclosed import gershgorin, norm_bound
from surefoot.spectra.enclosed.closed_forms import eigenvalue_ends
from surefoot.spectra.measured._certificate import start_component, upper_bound
from surefoot.spectra.measured.lanczos import MAX_BASIS_BYTES, Lanczos, random_unit
from surefoot.spectra.types import Bounds, Certainty

__all__ = ["Ends", "Which", "expected_products", "measured_ends"]

Which = Literal["both", "largest", "smallest"]

# Default budget, by convention: a spectrum that needs more calls for other methods.
MAX_PRODUCTS = 1000
# A check solves an eigenvalue problem of the size of the steps: at every step while that is cheap.
CHECK_EVERY_STEP_UNTIL = 150
# Beyond these, sums of products overflow or underflow on the way; the operator is then rescaled.
SMALLEST, LARGEST = 1e-200, 1e200
# Starts, at most. A fresh one follows if a Krylov space is exhausted before the interval is narrow enough.
MAX_RUNS = 4
# Share of the failure probability for the first start; each further one gets half of the rest. Few measurements need a
# second start, and half the probability for the first one cost 6 of 45 products on a transformer of 9.8 million
# parameters; a thousandth for the others made intervals of single precision products forty times too wide.
FIRST = 7 / 8


@dataclass(frozen=True, slots=True)
class Ends:
    """The measured ends, the Lanczos run behind them, and the cost.

    `rounded` says that the run stopped because the width left is the rounding error of the products; the numbers of the
    run itself are in units of `unit`.
    """

    largest: Bounds
    smallest: Bounds
    lanczos: Lanczos
    products: int
    converged: bool
    rounded: bool = False
    unit: float = 1.0


def expected_products(size: int, *, rtol: float, failure: float, which: Which) -> int:
    """An estimate of the products that an interval takes, before anything is measured.

        T_k(1 + 2 rtol) = 1/delta,    k = acosh(1/delta)/acosh(1 + 2 rtol)

    That is the number of steps after which the Chebyshev polynomial of an interval filled with eigenvalues has grown to
    1/delta at a share rtol outside of it: 93 to 95 were measured on a uniform spectrum and a Laplacian of size 20,000,
    where this says 96. Gaps in the spectrum save products (16 with outliers, 15 to 60 on networks).
    """
    each = failure / (2 if which == "both" else 1)
    delta = start_component(size, each, is_complex=False)
    # rtol is relative to max |lambda|; the range of a spectrum of both signs is up to twice that
    share = rtol if which == "largest" else rtol / 2
    return max(2, min(MAX_PRODUCTS, math.ceil(math.acosh(1 / delta) / math.acosh(1 + 2 * share))))


def measured_ends(
    operator: Operator,
    *,
    rtol: float,
    failure: float,
    which: Which,
    max_products: int | None,
    rng: np.random.Generator,
    max_memory: int = MAX_BASIS_BYTES,
) -> Ends:
    """Bounds on the extreme eigenvalues of a symmetric operator, by Lanczos from private random starts.

    Parameters
    ----------
    operator : Operator, shape (n, n)
        Symmetric or Hermitian.
    rtol : float
        Wanted width of each asked interval, relative to max |lambda|.
    failure : float
        Probability that any interval asked for misses; split over the ends and the fresh starts.
    which : "both", "largest" or "smallest"
        Ends to narrow down. The other one is returned as far as it is known.
    max_products : int or None
        Budget; None for 1000.
    rng : numpy Generator
    max_memory : int
        Bytes that the Lanczos basis may take; beyond it the run goes on without one.
    """
    size = operator.shape[0]
    budget = MAX_PRODUCTS if max_products is None else max_products
    enclosure = _enclosure(operator)
    asked = ("largest", "smallest") if which == "both" else (which,)
    runs: list[Lanczos] = []
    spent = 0
    while True:
        run = Lanczos(operator, random_unit(operator.space, size, rng), max_memory=max_memory)
        runs.append(run)
        while True:
            run.advance()
            spent += 1
            # only once: an operator that returns a tiny number at any scale, such as differences of a constant
            # gradient, would be rescaled without end (and a product of zeros leaves the smallest normal number in
            # `scale`)
            extreme = (
                run.scale > run.space.tiny
                and not SMALLEST < run.scale < LARGEST
                and not isinstance(operator, _Rescaled)
            )
            if run.steps == 1 and extreme:
                other = _Rescaled(operator, 2.0 ** -min(1000, max(-1000, round(math.log2(run.scale)))))
                ends = measured_ends(
                    other,
                    rtol=rtol,
                    failure=failure,
                    which=which,
                    max_products=max_products,
                    rng=rng,
                    max_memory=max_memory,
                )
                unit = 1 / other.scale  # a power of two, so that scaling back is exact
                largest, smallest = ends.largest.scaled(unit), ends.smallest.scaled(unit)
                return replace(ends, largest=largest, smallest=smallest, products=ends.products + 1, unit=unit)
            if operator.black_box and len(runs) == 1 and run.steps == 2 and not run.exhausted and spent < budget:
                run.probe()
                spent += 1
            last = run.exhausted or spent >= budget
            if last or _worth_checking(run.steps):
                bounds = _bounds(runs, enclosure, asked, failure / len(asked))
                scale = max(float(np.abs(run.ritz).max()) for run in runs)
                widths = [bounds[end].width for end in asked]
                converged = max(widths) <= rtol * scale
                # two thirds of such a width is rounding on both sides, which more products would not remove
                settled = max(widths) <= max(rtol, 3 * run.rounding) * scale
                if settled or last:
                    break
        if settled or spent >= budget or len(runs) == MAX_RUNS:
            longest = max(runs, key=lambda run: run.steps)
            return Ends(
                bounds["largest"], bounds["smallest"], longest, spent, converged, rounded=settled and not converged
            )


class _Rescaled(LinearMap):
    """c A with c a power of two, chosen so that sums of its products neither overflow nor underflow."""

    def __init__(self, operator: Operator, scale: float) -> None:
        self.scale = scale
        super().__init__(
            operator.shape,
            lambda x: operator.matvec(x) * scale,
            dtype=operator.dtype,
            symmetric=operator.symmetric,
            psd=operator.psd,
            **operator.facts,
        )


def _enclosure(operator: Operator) -> tuple[float, float]:
    """Proved bounds on all eigenvalues before any product."""
    lower, upper = -math.inf, math.inf
    if operator.entries is not None:
        lower, upper = gershgorin(operator.entries)
        norm = norm_bound(operator.entries)
        lower, upper = max(lower, -norm), min(upper, norm)
    if operator.factor is not None and operator.factor.entries is not None:
        upper = min(upper, norm_bound(operator.factor.entries) ** 2)
    elif (known := eigenvalue_ends(operator)) is not None:
        lower, upper = max(lower, known[0].lower), min(upper, known[1].upper)
    return (max(lower, 0.0) if operator.psd else lower), upper


def _worth_checking(steps: int) -> bool:
    # later at every 25th part of the steps made, so that checks cost a fixed share of the run
    return steps <= CHECK_EVERY_STEP_UNTIL or steps % (steps // 25) == 0


def _bounds(
    runs: Sequence[Lanczos], enclosure: tuple[float, float], asked: Sequence[str], failure: float
) -> dict[str, Bounds]:
    """Bounds on both ends from all runs; the smallest eigenvalue is minus the largest of -A."""
    lower, upper = enclosure
    largest = _top(runs, 1.0, upper, failure if "largest" in asked else None)
    smallest = -_top(runs, -1.0, -lower, failure if "smallest" in asked else None)
    if lower >= 0 and largest.lower < lower:
        # a proved lower bound on all eigenvalues overrides a Ritz value that is below it by rounding
        largest = Bounds(lower, max(lower, largest.upper), "proved", largest.upper_is, largest.failure)
    return {"largest": largest, "smallest": smallest}


def _top(runs: Sequence[Lanczos], sign: float, enclosed: float, failure: float | None) -> Bounds:
    """Bounds on the largest eigenvalue of sign * A; without a failure probability only proved ones."""
    tops = [float((sign * run.ritz).max()) for run in runs]
    scale = max(float(np.abs(run.ritz).max()) for run in runs)
    slack = max(run.rounding for run in runs) * scale
    lower = max(tops) - slack

    if any(run.complete for run in runs) or scale == 0.0:
        # the basis spans the whole space (or a random vector was annihilated): nothing is left to chance
        return Bounds(min(lower, enclosed), min(lower + 2 * slack, max(enclosed, lower)), "proved", "proved")
    upper, trust, chance = math.inf, "proved", 0.0
    if failure is not None:
        upper, trust, chance = _probable_top(runs, sign, tops, failure) + slack, "probabilistic", failure
    if enclosed <= upper:
        upper, trust, chance = max(enclosed, lower), "proved", 0.0
    certainty: Certainty = "proved" if trust == "proved" else "probabilistic"
    return Bounds(lower, upper, "proved", certainty, chance)


def _probable_top(runs: Sequence[Lanczos], sign: float, tops: Sequence[float], failure: float) -> float:
    """The smallest of the runs' bounds on the largest eigenvalue of sign * A.

    It misses only if all s runs miss, and their starts are independent: each may miss with the s-th root of the
    probability. The number of runs depends on the results, so each number has a share of its own, in all at most 1.
    """
    share = FIRST if len(runs) == 1 else (1 - FIRST) * 2.0 ** (1 - len(runs))
    each = (failure * share) ** (1 / len(runs))
    operator = runs[0].operator
    delta = start_component(operator.shape[0], each, is_complex=operator.complex)
    bounds = [
        upper_bound(top, [sign * alpha for alpha in run.alphas], run.betas, delta, run.scale)
        for run, top in zip(runs, tops, strict=True)
    ]
    return max(max(tops), min(bounds))
