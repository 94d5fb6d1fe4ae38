"""Exact rational arithmetic on coefficients, so that rounding does not decide a stability limit near 0."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import zip_longest

# A polynomial in z by ascending powers.
Polynomial = tuple[Fraction, ...]

# Coefficients in the literature have denominators of up to five digits. A double that agrees with such a fraction to a
# few rounding errors is replaced by it; a random double does so with probability 1e-5, and changes by rounding only.
LARGEST_DENOMINATOR = 100_000
# A coefficient in double precision has one rounding error, a computed one a few.
ROUNDINGS = 8 * 2.0**-53
# Coefficients below this, relative to the largest of their polynomial, are what rounding left of 0: the smallest of a
# ten-stage method's stability function is 1e-11.
NOTHING = 1e-15


def rational(value: float | Fraction) -> Fraction:
    """A number as a fraction: itself if exact, else a simple one within rounding, else the value of the double."""
    if isinstance(value, Fraction | int):
        return Fraction(value)
    exact = Fraction(float(value))
    simple = exact.limit_denominator(LARGEST_DENOMINATOR)
    return simple if abs(simple - exact) <= ROUNDINGS * abs(exact) else exact


def snap(coefficients: Iterable[float | Fraction]) -> Polynomial:
    """Coefficients as fractions, simple ones within rounding: near 0 all depends on 1/k! up to a method's order."""
    values = [float(c) for c in coefficients]
    size = max(map(abs, values))
    return _trim([rational(c) if abs(c) > NOTHING * size else Fraction(0) for c in values])


def characteristic_polynomial(M: Sequence[Sequence[Polynomial]]) -> list[Polynomial]:
    """Coefficients in r of det(r I - M), ascending (Faddeev, LeVerrier)."""
    n = len(M)
    one, nothing = (Fraction(1),), (Fraction(0),)
    coefficients: list[Polynomial] = [one]
    product = [[one if i == j else nothing for j in range(n)] for i in range(n)]
    for k in range(1, n + 1):
        columns = list(zip(*product, strict=True))
        product = [[_dot(row, column) for column in columns] for row in M]
        trace: Polynomial = nothing
        for i in range(n):
            trace = _add(trace, product[i][i])
        latest = tuple(-c / k for c in trace)
        coefficients.append(latest)
        for i in range(n):
            product[i][i] = _add(product[i][i], latest)
    return coefficients[::-1]


def _dot(row: Sequence[Polynomial], column: Sequence[Polynomial]) -> Polynomial:
    total: Polynomial = (Fraction(0),)
    for a, b in zip(row, column, strict=True):
        # most entries of a step's matrix are 0, and arithmetic with fractions is slow
        if any(a) and any(b):
            total = _add(total, _multiply(a, b))
    return total


def _trim(polynomial: Sequence[Fraction]) -> Polynomial:
    """The polynomial without leading zeros; the zero polynomial keeps one coefficient."""
    last = len(polynomial)
    while last > 1 and not polynomial[last - 1]:
        last -= 1
    return tuple(polynomial[:last])


def _add(p: Polynomial, q: Polynomial) -> Polynomial:
    return _trim([a + b for a, b in zip_longest(p, q, fillvalue=Fraction(0))])


def _multiply(p: Polynomial, q: Polynomial) -> Polynomial:
    product = [Fraction(0)] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        if a:
            for j, b in enumerate(q):
                product[i + j] += a * b
    return _trim(product)
