"""What is known of an operator's singular values and eigenvalues before any product: one place that asks.

Both functions dispatch on the operator's type. An operator of your own joins with ``gram_ends.register(MyOperator)``.
"""

from functools import singledispatch
from math import prod
from typing import Any

import numpy as np

from surefoot.operators import (
    BlockDiagonal,
    Convolution,
    Divergence,
    Gradient,
    Gram,
    Kind,
    Kronecker,
    MatrixOperator,
    Operator,
    Shifted,
    Stacked,
    gram,
)
from surefoot.spectra._exact import symmetric_eigenvalues
from surefoot.spectra.enclosed._factors import banded_ends, factors_of
from surefoot.spectra.enclosed._symbols import Symbol, covering_symbol, symbol_of_convolution, symbol_of_gradient
from surefoot.spectra.types import Bounds, Spectrum

__all__ = ["Ends", "eigenvalue_ends", "gram_ends", "gram_symbol", "known_spectrum"]

# Relative to the largest eigenvalue: below this the least one is lost in the rounding of a product, some tens of eps.
NOISE = 64 * float(np.finfo(np.float64).eps)
# Factors that agree to so many digits are one factor: doubles have 16, and the normalisation costs a few.
SAME_DIGITS = 13
# The least and the largest eigenvalue.
Ends = tuple[Bounds, Bounds]


@singledispatch
def gram_ends(operator: Operator) -> Ends | None:  # noqa: ARG001 - what nothing is known of
    """Proved intervals of the least and the largest eigenvalue of A'A, without a product; None where none is known.

    The upper one of the largest may stand alone: its lower end is then 0.
    """
    return None


@singledispatch
def eigenvalue_ends(operator: Operator) -> Ends | None:  # noqa: ARG001
    """Proved intervals of the least and the largest eigenvalue of a symmetric A, likewise."""
    return None


@singledispatch
def gram_symbol(operator: Operator) -> Symbol | None:  # noqa: ARG001
    """All eigenvalues of A'A by frequency, where a transform diagonalises it."""
    return None


@eigenvalue_ends.register
def _(operator: Gram) -> Ends | None:
    return gram_ends(operator.factor)


@eigenvalue_ends.register
def _(operator: Shifted) -> Ends | None:
    """By Weyl; exact for a ridge."""
    known = eigenvalue_ends(operator.base)
    if known is None:
        return None
    least, most = float(operator.diagonal.min()), float(operator.diagonal.max())
    if least == most:
        return known[0].shifted(least), known[1].shifted(least)
    smallest, largest = known
    return (
        Bounds(smallest.lower + least, smallest.upper + most, "proved", "proved"),
        Bounds(largest.lower + least, largest.upper + most, "proved", "proved"),
    )


@eigenvalue_ends.register
def _(operator: Kronecker) -> Ends | None:
    """Of two positive semidefinite factors."""
    left, right = eigenvalue_ends(operator.left), eigenvalue_ends(operator.right)
    if left is None or right is None or not operator.psd:
        return None
    return _product(left[0], right[0]), _product(left[1], right[1])


@eigenvalue_ends.register
def _(operator: BlockDiagonal) -> Ends | None:
    return _ends_of_blocks([eigenvalue_ends(block) for block in operator.blocks])


@gram_symbol.register
def _(operator: Convolution) -> Symbol | None:
    return symbol_of_convolution(operator)


@gram_symbol.register
def _(operator: Gradient) -> Symbol:
    return symbol_of_gradient(operator)


@gram_symbol.register
def _(operator: Stacked) -> Symbol | None:
    """The sum, where all blocks have the same eigenvectors."""
    total: Symbol | None = None
    for weight, block in zip(operator.weights, operator.blocks, strict=True):
        symbol = gram_symbol(block)
        if symbol is None or (total is not None and not total.fits(symbol)):
            return None
        start = Symbol(symbol.basis, symbol.shape, np.zeros(1)) if total is None else total
        total = start.plus(symbol, weight**2)
    return total


@gram_ends.register
def _(operator: MatrixOperator) -> Ends | None:
    """By singular values, where that is cheap."""
    values = symmetric_eigenvalues(gram(operator))
    return None if values is None else (Bounds.exactly(values[0]), Bounds.exactly(values[-1]))


@gram_ends.register
def _(operator: Convolution) -> Ends | None:
    symbol = symbol_of_convolution(operator)
    if symbol is not None:
        return _extremes(symbol)
    factors = factors_of(operator.kernel)
    if factors is not None:
        return _ends_of_factors(operator, factors)
    if not operator.kernel.any():
        return Bounds.exactly(0.0), Bounds.exactly(0.0)
    if operator.boundary == "zero":
        top = Bounds(0.0, covering_symbol(operator), "proved", "proved")
        return top, top
    return None


@gram_ends.register
def _(operator: Gradient) -> Ends:
    """Summed axis by axis: no array of the grid's size is made."""
    top = 0.0
    for axis, dx in zip(operator.axes, operator.spacing, strict=True):
        size = operator.image_shape[axis]
        wave = np.pi * (size // 2) / size if operator.edge == "periodic" else np.pi * (size - 1) / (2 * size)
        top += (2 * float(np.sin(wave)) / dx) ** 2
    return Bounds.exactly(0.0), Bounds.exactly(top)


@gram_ends.register
def _(operator: Divergence) -> Ends | None:
    """As its gradient; the least is 0, since a gradient annihilates constants."""
    known = gram_ends(operator.gradient)
    return None if known is None else (Bounds.exactly(0.0), known[1])


@gram_ends.register
def _(operator: Kronecker) -> Ends | None:
    left, right = gram_ends(operator.left), gram_ends(operator.right)
    return None if left is None or right is None else (_product(left[0], right[0]), _product(left[1], right[1]))


@gram_ends.register
def _(operator: BlockDiagonal) -> Ends | None:
    return _ends_of_blocks([gram_ends(block) for block in operator.blocks])


@gram_ends.register
def _(operator: Stacked) -> Ends | None:
    """By the common eigenvectors where there are some, else max_i |A_i|^2 <= |K|^2 <= sum_i |A_i|^2."""
    symbol = gram_symbol(operator)
    if symbol is not None:
        return _extremes(symbol)
    known = [gram_ends(block) for block in operator.blocks]
    ends = [
        (smallest.scaled(w**2), largest.scaled(w**2))
        for w, both in zip(operator.weights, known, strict=True)
        if both is not None and w != 0
        for smallest, largest in [both]
    ]
    if any(both is None for both in known) or not ends:
        return None
    if len(ends) == 1:
        return ends[0]
    total = sum(largest.upper for _, largest in ends)
    least = Bounds(sum(smallest.lower for smallest, _ in ends), total, "proved", "proved")
    return least, Bounds(max(largest.lower for _, largest in ends), total, "proved", "proved")


def known_spectrum(operator: Operator, *, rtol: float, which: str, kind: Kind | None) -> Spectrum | None:
    """The spectrum, where the ends asked for are known to `rtol` of the largest without a product; else None."""
    if operator.entries is not None or (operator.factor is not None and operator.factor.entries is not None):
        return None  # what has entries is solved, with all of its eigenvalues
    known = eigenvalue_ends(operator)
    if known is None:
        return None
    smallest, largest = known
    size = max(abs(smallest.lower), abs(largest.upper))
    asked = known if which == "both" else (largest if which == "largest" else smallest,)
    if any(bounds.width > rtol * size for bounds in asked):
        return None
    return Spectrum(
        kind=kind or operator.kind or "curvature",
        largest=largest,
        smallest=smallest,
        size=operator.shape[0],
        provenance="closed form",
        scope=operator.scope,
        note="no product was needed",
    )


def _extremes(symbol: Symbol) -> Ends:
    least, most = float(symbol.values.min()), float(symbol.values.max())
    return _ends(least, least, most, most)


def _ends(low: float, high: float, below: float, above: float) -> Ends:
    """A least eigenvalue at the level of noise may be 0: an iteration could not tell."""
    noise = NOISE * above
    smallest = Bounds(0.0, max(high, noise), "proved", "proved") if low <= noise else _interval(low, high)
    return smallest if above > 0 else Bounds.exactly(0.0), _interval(below, above)


def _ends_of_factors(operator: Convolution, factors: list[Any]) -> Ends:
    """Products over the axes; an axis with the same length and factor as one before is not solved again."""
    seen: dict[tuple[int, bytes], tuple[float, float, float, float]] = {}
    ends: list[tuple[float, float, float, float]] = []
    for axis, factor in enumerate(factors):
        # the first carries the kernel's scale: as a unit vector it may equal the others
        unit = factor / np.abs(factor).max()
        key = (operator.image_shape[axis], np.round(unit, SAME_DIGITS).tobytes())
        if key not in seen:
            seen[key] = banded_ends(operator, unit, axis)
        ends.append(seen[key])
    scale = prod(float(np.abs(factor).max()) for factor in factors) ** 2
    low, high, below, above = (scale * prod(end[i] for end in ends) for i in range(4))
    return _ends(low, high, below, above)


def _interval(lower: float, upper: float) -> Bounds:
    return Bounds.exactly(lower) if lower == upper else Bounds(lower, upper, "proved", "proved")


def _product(first: Bounds, second: Bounds) -> Bounds:
    return _interval(first.lower * second.lower, first.upper * second.upper)


def _ends_of_blocks(known: list[Ends | None]) -> Ends | None:
    """Of a block diagonal: the least of the least and the largest of the largest."""
    ends = [both for both in known if both is not None]
    if len(ends) < len(known):
        return None
    smallest = _interval(min(s.lower for s, _ in ends), min(s.upper for s, _ in ends))
    return smallest, _interval(max(g.lower for _, g in ends), max(g.upper for _, g in ends))
