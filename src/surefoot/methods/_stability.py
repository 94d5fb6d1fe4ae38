"""The stability polynomial of a linear step, and the extent of its stable region from 0.

On x' = lambda x a step multiplies the state by a matrix whose eigenvalues r solve

    P(r, z) = sum_k p_k(z) r^k = 0,    z = step * lambda

p_1 r - p_0 for a one-step method (R = p_0/p_1), rho(r) - z sigma(r) for a multistep method. A step is stable while all
roots stay in the closed unit disc. (Hairer, Wanner, Solving Ordinary Differential Equations II, sections IV.2, V.1.)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import isclose
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.methods._rational import Polynomial

# Growth per step below this is rounding at a point well inside an interval between two crossings.
ROUNDING = 1e-12
# Relative imaginary part up to which a root counts as real: a double root has half the digits and may come out complex.
NEARLY_REAL = 1e-5
# Relative distances from a root at which the amplification may show the crossing, which is then refined there.
DISTANCES = (1e-7, 1e-5)
# Both iterations begin with half the digits and double them: two steps reach rounding, two more are cheap.
SECANT_STEPS = 4
NEWTON_STEPS = 4
# Error of np.roots for a simple root at z = 0; the error of a double root is the square root of it.
UNIT = 1e-8
# Terms of the series below this count as 0: with irrational coefficients they are not exact.
NOTHING = 1e-15
# A resultant below this, relative to the products of coefficients in it, counts as 0: the method is conservative on the
# ray. Leapfrog and the trapezoidal rule give exactly 0 on the imaginary axis; the smallest of all other named methods
# and rays is 3e-5 (the fifth-order Adams method there).
CONSERVATIVE = 1e-11


@dataclass(frozen=True)
class StabilityPolynomial:
    """P(r, z) with exact coefficients.

    Parameters
    ----------
    coefficients : tuple of polynomials
        p_0, p_1, ..., p_m in ascending powers of r, each in ascending powers of z; p_m(0) != 0.
    """

    coefficients: tuple[Polynomial, ...]

    @property
    def degree(self) -> int:
        """Number of roots r: the memory of the method."""
        return len(self.coefficients) - 1

    @cached_property
    def _table(self) -> NDArray[np.float64]:
        """Coefficient of r^k z^j at [k, j]."""
        table = np.zeros((len(self.coefficients), max(map(len, self.coefficients))))
        for row, polynomial in zip(table, self.coefficients, strict=True):
            row[: len(polynomial)] = [float(c) for c in polynomial]
        return table

    def amplification(self, z: ArrayLike) -> NDArray[np.float64]:
        """Largest |r|, for a complex array z of any shape; infinite at a pole."""
        z = np.asarray(z, dtype=np.complex128)
        with np.errstate(all="ignore"):
            p = np.polynomial.polynomial.polyval(z, self._table.T)
            if self.degree == 1:
                return np.where(p[1] == 0, np.inf, np.abs(p[0]) / np.abs(p[1]))
            monic = [row / p[-1] for row in p[:-1]]
            if self.degree == 2:
                half = -monic[1] / 2
                spread = np.sqrt(half * half - monic[0])
                return np.maximum(np.abs(half + spread), np.abs(half - spread))
        companion = np.zeros((*z.shape, self.degree, self.degree), dtype=np.complex128)
        companion[..., np.arange(1, self.degree), np.arange(self.degree - 1)] = 1
        companion[..., :, -1] = -np.stack(monic, axis=-1)
        return np.abs(np.linalg.eigvals(companion)).max(axis=-1)

    @property
    def order(self) -> int:
        """Largest p with r(z) = exp(z) + O(z^(p+1)) for the root r that is 1 at z = 0; 0 if not consistent.

        The order on linear problems: a method's order on others is at most this.
        """
        expected = [Fraction(1), *([Fraction(0)] * 12)]
        for p, (seen, wanted) in enumerate(zip(self._logarithm(Fraction(1)), expected, strict=False)):
            if not isclose(seen, wanted, rel_tol=1e-11, abs_tol=1e-11):
                return p
        return len(expected)

    def limit_along(self, direction: complex) -> float:
        """The largest r without growth at s * direction for all 0 < s <= r; 0 if small steps grow, inf if none does.

        Near 0 growth has the sign of the first nonzero term of an exact power series. No tolerance could decide it: on
        the imaginary axis the second-order Adams method grows only by y^4/4. Farther out the crossings are among the
        real roots of the resultant of P and its reflection at the unit circle, a polynomial in s; growth is tested
        between them.
        """
        crossings, conserves = self._candidates(direction)
        if not conserves and self._grows_at_once(direction):
            return 0.0
        ends = [0.0, *crossings]
        probes = [0.5 * (a + b) for a, b in zip(ends, crossings, strict=False)]
        probes.append(max(2 * ends[-1], 1.0))  # far enough out for growth to show
        grows = self.amplification(np.asarray(probes) * direction) > 1 + ROUNDING
        if not grows.any():
            return float("inf")
        first = int(grows.argmax())
        if first == 0:
            return 0.0
        return ends[first] if conserves else self._polish(direction, ends[first])

    def _grows_at_once(self, direction: complex) -> bool:
        """Whether arbitrarily small steps grow."""
        rho = np.trim_zeros(self._table[::-1, 0], "f")
        roots = np.roots(rho)
        if (np.abs(roots) > 1 + UNIT).any():
            return True
        for exact in (Fraction(1), Fraction(-1)):
            if np.count_nonzero(np.abs(roots - float(exact)) < np.sqrt(UNIT)) != 1:
                continue  # not a root; or a double one, which moves by sqrt(z): no tolerance overlooks that
            power = 1 + 0j
            for term, _ in zip(self._logarithm(exact), range(2 * sum(self._table.shape) + 4), strict=False):
                power *= direction
                if abs(term) > NOTHING and power.real != 0:
                    if float(term) * power.real > 0:
                        return True
                    break
        return False

    def _logarithm(self, root: Fraction) -> Iterator[Fraction]:
        """Coefficients of z, z^2, ... in log(r(z)/r(0)), for the simple root with r(0) = root."""
        slope = sum((k * p[0] * root ** (k - 1) for k, p in enumerate(self.coefficients) if k), Fraction(0))
        if sum((p[0] * root**k for k, p in enumerate(self.coefficients)), Fraction(0)) or not slope:
            return
        series, logs = [root], [Fraction(0)]
        while True:
            n = len(series)
            series.append(Fraction(0))
            series[n] = -self._residual(series, n) / slope
            partial = sum((k * logs[k] * series[n - k] for k in range(1, n)), Fraction(0))
            logs.append((n * series[n] - partial) / (n * root))
            yield logs[n]

    def _residual(self, series: Sequence[Fraction], n: int) -> Fraction:
        """Coefficient of z^n in P(r(z), z) for a truncated series r."""
        total = Fraction(0)
        power = [Fraction(1)] + [Fraction(0)] * n
        for k, p in enumerate(self.coefficients):
            total += sum((c * power[n - j] for j, c in enumerate(p[: n + 1]) if c), Fraction(0))
            if k < self.degree:
                power = [
                    sum((power[i] * series[j - i] for i in range(j + 1) if power[i]), Fraction(0)) for j in range(n + 1)
                ]
        return total

    def _candidates(self, direction: complex) -> tuple[list[float], bool]:
        """Distances at which a root can leave the unit disc, ascending, and whether the method is conservative there.

        A root on the unit circle is a common root of P and r^m conj P(1/r). If they share one at every distance, a root
        leaves the circle only where two roots meet.
        """
        m = self.degree
        bound = CONSERVATIVE * float(np.abs(self._table).max()) ** (2 * m)
        powers = np.arange(self._table.shape[1])
        ray, mirrored = self._table * direction**powers, self._table * np.conj(direction) ** powers
        gap = self._modulus_gap(direction) if m == 1 else _resultant(ray[::-1], mirrored).real
        if np.abs(gap).max(initial=0.0) > bound:
            return _positive_roots(gap), False
        derivative = ray[:0:-1] * np.arange(m, 0, -1)[:, None]
        return ([] if m == 1 else _positive_roots(_resultant(ray[::-1], derivative))), True

    def _modulus_gap(self, direction: complex) -> NDArray[np.float64]:
        """|p_0|^2 - |p_1|^2 along the ray.

        With the direction at an angle delta past the imaginary axis, cos(k (pi/2 + delta)) is split into its value on
        the axis, where the terms cancel exactly, and the rest.
        """
        on_axis, power, turns, weight = self._products
        delta = np.arcsin(np.clip(-direction.real, -1, 1))
        rest = np.where(turns % 2 == 0, -2 * np.sin(turns * delta / 2) ** 2, -np.sin(turns * delta))
        return on_axis + np.bincount(power, weights=weight * rest, minlength=on_axis.size)

    @cached_property
    def _products(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """The terms of |p_0|^2 - |p_1|^2.

        Their sums on the imaginary axis by powers of s, exactly; then for each pair of z^j and z^k the power j + k, the
        turns |j - k| and the signed product of coefficients.
        """
        sums = [Fraction(0)] * (2 * self._table.shape[1] - 1)
        pairs: list[tuple[int, int, float]] = []
        for sign, polynomial in zip((1, -1), self.coefficients, strict=True):
            for j, a in enumerate(polynomial):
                for k, b in enumerate(polynomial):
                    turns = abs(j - k)
                    product = (-sign if turns % 4 in (2, 3) else sign) * a * b
                    if turns % 2 == 0:
                        sums[j + k] += product
                    pairs.append((j + k, turns, float(product)))
        power, turns_of, weight = zip(*pairs, strict=True)
        return np.asarray([float(v) for v in sums]), np.asarray(power), np.asarray(turns_of), np.asarray(weight)

    def _polish(self, direction: complex, root: float) -> float:
        """The crossing at a root of the resultant, refined by the amplification if it shows there."""
        for distance in DISTANCES:
            inside, outside = root * (1 - distance), root * (1 + distance)
            before, after = self.amplification(np.asarray([inside, outside]) * direction).tolist()
            if before <= 1 and after > 1 + ROUNDING:
                break
        else:
            return root
        for _ in range(SECANT_STEPS):
            root = inside + (outside - inside) * (1 - before) / (after - before)
            value = float(self.amplification(root * direction))
            inside, before, outside, after = (
                (inside, before, root, value) if value > 1 else (root, value, outside, after)
            )
            if before == after or abs(value - 1) < 1e-16:  # nothing left to gain, or to divide by
                break
        return root


def _resultant(p: NDArray[np.complex128], q: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Ascending coefficients in s of the resultant in r of two polynomials.

    Parameters
    ----------
    p, q : arrays, shapes (m + 1, c) and (k + 1, c)
        Row i: the coefficient of the i-th highest power of r, itself a polynomial in s by ascending powers.

    Returns
    -------
    array
        By interpolation through roots of unity of the Sylvester determinant.
    """
    m, k, c = len(p) - 1, len(q) - 1, p.shape[1]
    count = (m + k) * (c - 1) + 1
    monomials = np.exp(2j * np.pi * np.arange(count) / count)[:, None] ** np.arange(c)
    p_values, q_values = monomials @ p.T, monomials @ q.T
    sylvester = np.zeros((count, m + k, m + k), dtype=np.complex128)
    for row in range(k):
        sylvester[:, row, row : row + m + 1] = p_values
    for row in range(m):
        sylvester[:, k + row, row : row + k + 1] = q_values
    coefficients = np.fft.fft(np.linalg.det(sylvester)) / count
    # interpolation leaves rounding errors of coefficients that are 0
    return np.where(np.abs(coefficients) > 1e-14 * np.abs(coefficients).max(), coefficients, 0.0)


def _positive_roots(ascending: NDArray[Any]) -> list[float]:
    """Positive real roots, ascending, refined by Newton's method."""
    kept = np.flatnonzero(ascending)
    if kept.size < 2:
        return []
    ascending = ascending[kept[0] : kept[-1] + 1]
    roots = np.roots(ascending[::-1])
    roots = roots[(roots.real > 0) & (np.abs(roots.imag) <= NEARLY_REAL * np.abs(roots))].real
    values, slopes = ascending[::-1], ascending[:0:-1] * np.arange(len(ascending) - 1, 0, -1)
    for _ in range(NEWTON_STEPS):
        with np.errstate(all="ignore"):
            correction = np.real(np.polyval(values, roots) / np.polyval(slopes, roots))
        roots = np.where(np.abs(correction) < 1e-6 * roots, roots - correction, roots)
    return np.sort(roots).tolist()
