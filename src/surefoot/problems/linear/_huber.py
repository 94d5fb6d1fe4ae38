"""Robust regression: Huber's loss."""

from typing import Annotated, Any

import numpy as np

from surefoot.checks import Nonnegative, Range, checked
from surefoot.operators import Array
from surefoot.problems._changes import Change
from surefoot.problems._checks import regression_data
from surefoot.problems.linear._curvature import with_ones
from surefoot.problems.linear.model import LinearModel, bracket
from surefoot.problems.linear.parts import dense_rows, row_squares
from surefoot.spectra import Bounds, Spectrum

# Most multiply-adds of a least-squares fit that is made only to sharpen a bound: a few seconds.
FIT_WORK = 1e10
# Iterations of such a fit for a sparse matrix, by convention.
FIT_STEPS = 100
Delta = Annotated[float, Range("(0, inf)", "1.345 times the noise is usual")]


@checked
class Huber(LinearModel):
    """Mean of squared residuals that turn linear at delta, with a ridge.

        f(x) = (1/n) sum_i h(a_i'x - b_i) + (ridge/2) |D x|^2

        h(r) = r^2/2 for |r| <= delta,    delta |r| - delta^2/2 beyond;    H(x) = A'W(x)A/n + ridge D

    W(x) is diagonal, 1 for the rows with |r_i| <= delta and 0 for the others. Curvature over all x:

    - Upper end (proved): W <= I, so no eigenvalue exceeds lambda_max(A'A/n + ridge D). This is the supremum if some x
      has all residuals within delta; 0 and the least-squares fit are tried.
    - Else the lower end (proved) is that of the longest row alone, since some x makes its residual zero.
    - Far out along almost every direction W vanishes but for rows of zeros: the smallest eigenvalue is the
      ridge, or 0 with an intercept, which is not penalised.

    Parameters
    ----------
    A : dense or sparse matrix, shape (n, d)
        Real or integer.
    b : array, shape (n,)
    delta : float
        Where the loss turns linear, > 0, unit of b. Residuals beyond it pull no harder.
    ridge : float
        Nonnegative; unit of the curvature.
    intercept : bool
        Append a constant column. Its coefficient is the last and D, else the identity, does not penalise it.

    Raises
    ------
    InvalidInput
        If A is empty or not two-dimensional, shapes do not agree, delta is not positive and finite, or the
        ridge is negative or not finite.
    InvalidType
        If the data are complex or not numbers.
    NotFinite
        If the data hold NaN or infinity.

    References
    ----------
    P. J. Huber, Robust estimation of a location parameter, Ann. Math. Statist. 35 (1964) 73-101.

    Examples
    --------
    >>> from surefoot.problems.linear._huber import Huber
    >>> problem = Huber([[1], [1], [1]], [0, 0.1, 50], delta=1.0)
    >>> problem.value([0.0])  # (0.1^2/2 + 49.5)/3: the outlier counts linearly
    16.50166666666667
    >>> print(problem.curvature())
    closed form curvature spectrum of size 1, global
      largest   [0.333333, 1]  (lower proved, upper proved)
      smallest  0  (exact)
      note      lambda_max(A'A/n) bounds it; lower end from the longest row
    """

    _title = "Huber regression"
    _sharpest_bend = 1.0

    def __init__(self, A: Any, b: Any, delta: Delta, *, ridge: Nonnegative = 0.0, intercept: bool = False) -> None:
        self._delta = delta
        super().__init__(*regression_data(A, b), ridge=ridge, intercept=intercept)

    @property
    def _details(self) -> str:
        return f", delta {self._delta:g}"

    def _loss(self, scores: Array) -> float:
        size = np.abs(scores - self._targets)
        inner = np.minimum(size, self._delta)
        return float(np.mean(inner * (size - 0.5 * inner)))

    def _slope(self, scores: Array, targets: Array) -> Array:
        return np.clip(scores - targets, -self._delta, self._delta)

    def _bend(self, scores: Array, change: Array) -> Array:
        return np.where(np.abs(scores - self._targets) <= self._delta, change, 0.0)

    def _measure(self, change: Change | None) -> Spectrum:
        base = self._gram_spectrum(1.0, change=change)
        smallest, largest = self._flat_direction(change), base.largest
        formula = f"lambda_max(A'A/n{self._ridge_term})"
        if self._all_within_delta():
            formula += ", where all residuals are within delta"
        else:
            formula += " bounds it; lower end from the longest row"
            largest = bracket(self._least_of_one_row(smallest, change), largest)
        return self._state_formula(base, formula, change, largest=largest, smallest=smallest, points=None)

    def _least_of_one_row(self, smallest: Bounds, change: Change | None) -> float:
        """A curvature that is attained: lambda_max(S'a a'S)/n + lambda_min(ridge S'D S), a the longest row."""
        longest = np.array([np.argmax(row_squares(self._X))])
        a = np.asarray(dense_rows(self._X, longest, self._intercept))[0]
        a = a if change is None else change.adjoint(a)
        return float(a @ a) / self._rows + smallest.lower

    def _all_within_delta(self) -> bool:
        """Whether 0 or the least-squares fit has all residuals within delta."""
        if np.abs(self._targets).max() <= self._delta:
            return True
        A = with_ones(self._X, self._intercept)
        if hasattr(A, "tocsr"):
            from scipy.sparse.linalg import lsqr

            fit = np.asarray(lsqr(A, self._targets.ravel(), iter_lim=FIT_STEPS)[0]).reshape(-1, 1)
        elif self._rows * self._width * min(self._rows, self._width) <= FIT_WORK:
            fit = np.linalg.lstsq(A, self._targets, rcond=None)[0]
        else:
            return False
        return bool(np.abs(A @ fit - self._targets).max() <= self._delta)
