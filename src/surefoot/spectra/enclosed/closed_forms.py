"""What is known about an operator's singular values and eigenvalues before any product.

The functions dispatch on the operator's type. Register one of your own with ``gram_ends.register(MyOperator)``.
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

# Relative to the largest eigenvalue: a smallest one below this is lost in the rounding of a product, some tens of eps.
NOISE = 64 * float(np.finfo(np.float64).eps)
# Factors that agree to so many digits are one factor: doubles have 16, and the normalisation costs a few.
SAME_DIGITS = 13
# The intervals of the smallest and of the largest eigenvalue.
Ends = tuple[Bounds, Bounds]


@singledispatch
def gram_ends(operator: Operator) -> Ends | None:  # noqa: ARG001 - for types that nothing is known about
    """Proved intervals of the smallest and the largest eigenvalue of A'A, without a product; None if none is known.

    If only an upper bound on the largest is known, the lower ends are 0.
    """
    return None


@singledispatch
def eigenvalue_ends(operator: Operator) -> Ends | None:  # noqa: ARG001
    """Proved intervals of the smallest and the largest eigenvalue of a symmetric A, likewise."""
    return None


@singledispatch
def gram_symbol(operator: Operator) -> Symbol | None:  # noqa: ARG001
    """All eigenvalues of A'A by frequency; None if no fast transform diagonalises it."""
    return None


@eigenvalue_ends.register
def _(operator: Gram) -> Ends | None:
    return gram_ends(operator.factor)


@eigenvalue_ends.register
def _(operator: Shifted) -> Ends | None:
    """By Weyl's inequality; exact for a multiple of the identity."""
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
    """Products of the ends of two positive semidefinite factors."""
    left, right = eigenvalue_ends(operator.left), eigenvalue_ends(operator.right)
    if left is None or right is None or not operator.psd:
        return None
    return _product(left[0], right[0]), _product(left[1], right[1])


@eigenvalue_ends.register
def _(operator: BlockDiagonal) -> Ends | None:
    return _ends_of_blocks([eigenvalue_ends(block) for block in operator.blocks])


gram_symbol.register(Convolution)(symbol_of_convolution)
gram_symbol.register(Gradient)(symbol_of_gradient)


@gram_symbol.register
def _(operator: Stacked) -> Symbol | None:
    """The weighted sum, if all blocks have the same eigenvectors."""
    symbols = [symbol for symbol in map(gram_symbol, operator.blocks) if symbol is not None]
    alike = len({(symbol.basis, symbol.shape) for symbol in symbols}) == 1
    if not alike or len(symbols) < len(operator.blocks):
        return None
    weighted = zip(operator.weights, symbols, strict=True)
    values = sum((w**2 * symbol.values for w, symbol in weighted), np.zeros(1))
    return Symbol(symbols[0].basis, symbols[0].shape, values)


@gram_ends.register
def _(operator: MatrixOperator) -> Ends | None:
    """By singular values, if they are cheap."""
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
    """Summed axis by axis, without an array of the grid's size."""
    top = 0.0
    for axis, dx in zip(operator.axes, operator.spacing, strict=True):
        size = operator.image_shape[axis]
        wave = np.pi * (size // 2) / size if operator.edge == "periodic" else np.pi * (size - 1) / (2 * size)
        top += (2 * float(np.sin(wave)) / dx) ** 2
    return Bounds.exactly(0.0), Bounds.exactly(top)


@gram_ends.register
def _(operator: Divergence) -> Ends | None:
    """The largest as for its gradient; the smallest is 0, since a gradient annihilates constants."""
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
    """From the symbol if the blocks share eigenvectors, else max_i |A_i|^2 <= |K|^2 <= sum_i |A_i|^2."""
    symbol = gram_symbol(operator)
    if symbol is not None:
        return _extremes(symbol)
    known = [both for both in map(gram_ends, operator.blocks) if both is not None]
    if len(known) < len(operator.blocks):
        return None
    weighted = zip(operator.weights, known, strict=True)
    ends = [(smallest.scaled(w**2), largest.scaled(w**2)) for w, (smallest, largest) in weighted if w]
    if not ends:
        return None
    if len(ends) == 1:
        return ends[0]
    total = sum(largest.upper for _, largest in ends)
    least = Bounds(sum(smallest.lower for smallest, _ in ends), total, "proved", "proved")
    return least, Bounds(max(largest.lower for _, largest in ends), total, "proved", "proved")


def known_spectrum(operator: Operator, *, rtol: float, which: str, kind: Kind | None) -> Spectrum | None:
    """The spectrum, if the ends asked for are known to `rtol` of the largest without a product; else None."""
    if operator.entries is not None or (operator.factor is not None and operator.factor.entries is not None):
        return None  # a matrix is solved for all of its eigenvalues, which say more
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
    """The two intervals; a smallest eigenvalue at rounding level may as well be 0."""
    noise = NOISE * above
    smallest = Bounds(0.0, max(high, noise), "proved", "proved") if low <= noise else _interval(low, high)
    return smallest if above > 0 else Bounds.exactly(0.0), _interval(below, above)


def _ends_of_factors(operator: Convolution, factors: list[Any]) -> Ends:
    """Products over the axes; axes of the same length and factor are solved once."""
    seen: dict[tuple[int, bytes], tuple[float, float, float, float]] = {}
    ends: list[tuple[float, float, float, float]] = []
    for axis, factor in enumerate(factors):
        # the first factor carries the kernel's scale: normalised, it may equal the others
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
    """The ends of a block diagonal operator: the smallest of the smallest and the largest of the largest."""
    ends = [both for both in known if both is not None]
    if len(ends) < len(known):
        return None
    smallest = _interval(min(s.lower for s, _ in ends), min(s.upper for s, _ in ends))
    return smallest, _interval(max(g.lower for _, g in ends), max(g.upper for _, g in ends))
