"""Butcher tableaus: Runge-Kutta methods as data."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from operator import mul
from typing import Annotated, cast

import numpy as np
from numpy.typing import NDArray

from surefoot.checks import Range, checked
from surefoot.errors import InvalidInput, InvalidType
from surefoot.methods._order import HIGHEST_ORDER, order_defect
from surefoot.methods._rational import characteristic_polynomial, rational, snap
from surefoot.methods._stability import StabilityPolynomial

# Published coefficients in double precision satisfy their order conditions to a few hundred rounding errors.
CONSISTENCY = 1e-12

Number = float | Fraction


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class ButcherTableau:
    """The coefficients of a Runge-Kutta method, checked for consistency and order.

        k_i = F(t + c_i h, x + h sum_j a_ij k_j),    x <- x + h sum_i b_i k_i

    Parameters
    ----------
    name : str
    A : s rows of s numbers
        Strictly lower triangular for an explicit method; the zeros of an explicit method may be left out (row i then
        has i entries).
    b : s numbers
    order : int
        Claimed order, from 1 to 8: every order condition up to it is checked.
    c : s numbers, optional
        The row sums of A, which they must equal.
    embedded : s numbers, optional
        Weights of a second formula for an error estimate.
    embedded_order : int
        Order of the second formula; 0 without one.

    Raises
    ------
    InvalidInput
        If the shapes do not fit, c is not the row sums of A, or an order condition fails.
    InvalidType
        If an entry is not a number.

    Examples
    --------
    >>> from surefoot.methods import ButcherTableau
    >>> heun = ButcherTableau(name="Heun", A=[[], [1]], b=[0.5, 0.5], order=2)
    >>> heun.stages, heun.explicit
    (2, True)
    >>> ButcherTableau(name="wrong", A=[[], [1]], b=[0.5, 0.4], order=1)
    Traceback (most recent call last):
    surefoot.errors.InvalidInput: wrong is not of order 1: a condition of order 1 is off by 0.1; fix...
    """

    name: str
    A: Sequence[Sequence[Number]]
    b: Sequence[Number]
    order: Annotated[int, Range(f"[1, {HIGHEST_ORDER}]")]
    c: Sequence[Number] | None = None
    embedded: Sequence[Number] | None = None
    embedded_order: int = 0

    def __post_init__(self) -> None:
        rows = [_numbers(row, "a row of A") for row in self.A]
        b = _numbers(self.b, "b")
        size = len(b)
        if size == 0:
            raise InvalidInput("a tableau needs at least one stage; b is empty")
        if len(rows) != size or not all(len(row) == size or len(row) == i for i, row in enumerate(rows)):
            raise InvalidInput(
                f"A must have {size} rows of {size} entries, one for each entry of b (row i of an explicit method may "
                f"have i); got rows of {[len(row) for row in rows]}"
            )
        A = tuple(row + (Fraction(0),) * (size - len(row)) for row in rows)
        sums = tuple(sum(row, Fraction(0)) for row in A)
        c = sums if self.c is None else _numbers(self.c, "c")
        if len(c) != size:
            raise InvalidInput(f"c must have {size} entries, as b has; got {len(c)}")
        for i, (given, total) in enumerate(zip(c, sums, strict=True)):
            if abs(given - total) > CONSISTENCY * max(1, abs(total)):
                raise InvalidInput(
                    f"{self.name} is inconsistent: c[{i}] = {float(given):.6g}, "
                    f"but row {i} of A sums to {float(total):.6g}"
                )
        for field, value in (("A", A), ("b", b), ("c", c)):
            object.__setattr__(self, field, value)
        self._check_order("b", self.order)
        if self.embedded is not None:
            object.__setattr__(self, "embedded", _numbers(self.embedded, "embedded"))
            if len(self.embedded) != size:
                raise InvalidInput(f"embedded must have {size} entries, as b has; got {len(self.embedded)}")
            self._check_order("embedded", self.embedded_order)

    def _check_order(self, field: str, claimed: int) -> None:
        # an embedded formula has an order too, whose default 0 stands for none
        if not 1 <= claimed <= HIGHEST_ORDER:
            raise InvalidInput(f"order must be an int from 1 to {HIGHEST_ORDER}; got {claimed!r}")
        weights = np.asarray([float(v) for v in getattr(self, field)])
        for order in range(1, claimed + 1):
            defect = order_defect(self.matrix, weights, order)
            if not defect <= CONSISTENCY:
                raise InvalidInput(
                    f"{self.name} is not of order {claimed}: a condition of order {order} is off by {defect:.3g}; "
                    f"fix A or {field}, or claim order {order - 1}"
                )

    @property
    def stages(self) -> int:
        """Number of stages s."""
        return len(self.b)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """A in double precision, shape (s, s)."""
        return np.asarray([[float(a) for a in row] for row in self.A])

    @property
    def explicit(self) -> bool:
        """Whether no stage needs itself or a later one."""
        return not any(a for i, row in enumerate(self.A) for a in row[i:])

    @property
    def evaluations(self) -> int:
        """Number of evaluations of F in a step; a stage that nothing uses (first same as last) does not count."""
        used = [bool(b) for b in self.b]
        for i in reversed(range(self.stages)):
            if used[i]:
                used = [u or bool(a) for u, a in zip(used, self.A[i], strict=True)]
        return sum(used)

    def stability(self) -> StabilityPolynomial:
        """P = D(z) r - N(z) with R = N/D = 1 + z b' (I - z A)^-1 1.

        Coefficients within rounding of a simple fraction are replaced by it.
        """
        return _stability(self)

    def __repr__(self) -> str:
        return f"ButcherTableau({self.name!r}, stages={self.stages}, order={self.order})"


def _numbers(values: Sequence[Number], what: str) -> tuple[Fraction, ...]:
    try:
        return tuple(rational(v) for v in values)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidType(f"{what} must hold finite numbers; got {values!r}") from error


@lru_cache(maxsize=256)
def _stability(tableau: ButcherTableau) -> StabilityPolynomial:
    A, b = cast("tuple[tuple[Fraction, ...], ...]", tableau.A), cast("tuple[Fraction, ...]", tableau.b)
    if tableau.explicit:
        # b'A^k 1, exactly
        numerator, vector = [Fraction(1)], [Fraction(1) for _ in b]
        for _ in b:
            numerator.append(sum(map(mul, b, vector), Fraction(0)))
            vector = [sum(map(mul, row, vector), Fraction(0)) for row in A]
        denominator = (Fraction(1),)
    else:
        denominator = snap(_determinant(A))
        numerator = _determinant([[a - weight for a, weight in zip(row, b, strict=True)] for row in A])
    return StabilityPolynomial((tuple(-n for n in snap(numerator)), denominator))


def _determinant(M: Sequence[Sequence[Fraction]]) -> list[Fraction]:
    """det(I - z M) by ascending powers of z."""
    return [p[0] for p in reversed(characteristic_polynomial([[(entry,) for entry in row] for row in M]))]
