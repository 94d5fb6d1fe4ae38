"""A running mean and upper confidence bounds on the true one, without arrays."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from surefoot.errors import InvalidInput
from surefoot.rules.adaptive.student import student_quantile

__all__ = ["Moments"]


@dataclass(frozen=True, slots=True)
class Moments:
    """A weighted mean and variance; each new value multiplies the weights of the others by a factor.

        m = sum w_i x_i / W,    s^2 = sum w_i (x_i - m)^2 / (W - V/W),    W = sum w_i,  V = sum w_i^2,  w_i = f^(n-i)

    The recurrences are West's (1979).

    Parameters
    ----------
    weight, squares : float
        W and V.
    mean : float
        m; 0 before the first value.
    spread : float
        sum w_i (x_i - m)^2.
    """

    weight: float = 0.0
    squares: float = 0.0
    mean: float = 0.0
    spread: float = 0.0

    @classmethod
    def of(cls, values: Iterable[float]) -> "Moments":
        """The moments of values of equal weight."""
        moments = cls()
        for value in values:
            moments = moments.with_value(value)
        return moments

    def with_value(self, value: float, kept: float = 1.0) -> "Moments":
        """The moments with one more value, the others' weights times `kept`."""
        weight = kept * self.weight + 1
        away = value - self.mean
        return Moments(
            weight=weight,
            squares=kept * kept * self.squares + 1,
            mean=self.mean + away / weight,
            # the product of deviations before and after, never a difference of squares: no cancellation
            spread=kept * self.spread + away * away * (1 - 1 / weight),
        )

    @property
    def count(self) -> float:
        """W^2/V, the number of values of equal weight with as uncertain a mean; tends to (1 + f)/(1 - f)."""
        return self.weight * self.weight / self.squares if self.squares > 0 else 0.0

    @property
    def variance(self) -> float:
        """s^2, without bias; nan for fewer than two values."""
        free = self.weight - self.squares / self.weight if self.weight > 0 else 0.0
        return self.spread / free if free > 0 else math.nan

    def reach(self, confidence: float) -> float:
        """An upper bound on the next value with this confidence, m + t s sqrt(1 + 1/n); inf for fewer than two."""
        n, variance = self.count, self.variance
        if not n > 1 or math.isnan(variance):
            return math.inf
        return self.mean + student_quantile(confidence, n - 1) * math.sqrt(variance * (1 + 1 / n))

    def upper(self, confidence: float, width: float | None = None) -> float:
        """An upper bound on the true mean with this confidence; inf for fewer than two values.

            Student:              m + t s/sqrt(n)                                t: confidence, n - 1 degrees of freedom
            empirical Bernstein:  m + s sqrt(2 ln(2/d)/n) + 7 ln(2/d) R/(3 (n - 1)),    d = 1 - confidence

        Both assume independent values of one distribution. Student's is exact for normal ones of equal weight and an
        *estimate* for others: it falls short of its confidence where the values are few and skewed to the right.
        Bernstein's (Maurer, Pontil 2009, theorem 4) is *proved* for any distribution within an interval of length R,
        and wider.

        Parameters
        ----------
        confidence : float
            Strictly between 0 and 1.
        width : float, optional
            R, which makes the bound Bernstein's. For unequal weights n is `count`, and neither bound is proved.
        """
        if not 0 < confidence < 1:
            raise InvalidInput(f"confidence must lie strictly between 0 and 1; got {confidence!r}")
        n, variance = self.count, self.variance
        if not n > 1 or math.isnan(variance):
            return math.inf
        error = math.sqrt(variance / n)
        if width is None:
            return self.mean + student_quantile(confidence, n - 1) * error
        rare = math.log(2 / (1 - confidence))
        return self.mean + error * math.sqrt(2 * rare) + 7 * rare * width / (3 * (n - 1))
