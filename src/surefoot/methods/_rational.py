"""Exact rational arithmetic on coefficients: what decides a stability limit near 0 must not be rounding."""

from collections.abc import Sequence
from fractions import Fraction

__all__ = ["Polynomial", "add", "multiply", "rational", "trim"]

# A polynomial in z by ascending powers.
Polynomial = tuple[Fraction, ...]

# Coefficients in the literature have denominators up to five digits. A double that agrees with such a fraction to a
# few roundings is taken for it; a random double does so with probability 1e-5, and moves by rounding only.
LARGEST_DENOMINATOR = 100_000
# A coefficient in double precision is off by one rounding, one that was computed by a few.
ROUNDINGS = 8 * 2.0**-53


def rational(value: float | Fraction) -> Fraction:
    """The fraction meant by a number: itself if exact, else a simple one within rounding, else the double's value."""
    if isinstance(value, Fraction | int):
        return Fraction(value)
    exact = Fraction(float(value))
    simple = exact.limit_denominator(LARGEST_DENOMINATOR)
    return simple if abs(simple - exact) <= ROUNDINGS * abs(exact) else exact


def trim(polynomial: Sequence[Fraction]) -> Polynomial:
    """Without leading zeros; the zero polynomial keeps one coefficient."""
    last = len(polynomial)
    while last > 1 and not polynomial[last - 1]:
        last -= 1
    return tuple(polynomial[:last])


def add(p: Polynomial, q: Polynomial) -> Polynomial:
    """P + q."""
    size = max(len(p), len(q))
    zero = Fraction(0)
    return trim([
        (p[i] if i < len(p) else zero) + (q[i] if i < len(q) else zero) for i in range(size)
    ])  # fmt: skip


def multiply(p: Polynomial, q: Polynomial) -> Polynomial:
    """P q."""
    product = [Fraction(0)] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        if a:
            for j, b in enumerate(q):
                product[i + j] += a * b
    return trim(product)
