"""Linear least squares."""

from typing import Any

import numpy as np

from surefoot.checks import Nonnegative, checked
from surefoot.operators import Array
from surefoot.problems._changes import Change
from surefoot.problems._checks import regression_data
from surefoot.problems.linear.model import LinearModel
from surefoot.spectra import Spectrum


@checked
class LeastSquares(LinearModel):
    """Mean squared residual, halved, with a ridge.

        f(x) = |A x - b|^2 / (2 n) + (ridge/2) |D x|^2,    H = A'A/n + ridge D

    The Hessian is the same everywhere. For an A of moderate size its spectrum comes from the singular values of A,
    which resolve condition numbers of A'A up to about 1e26, where forming A'A fails beyond 1e14; for a larger one from
    Lanczos, without forming A'A.

    Parameters
    ----------
    A : dense or sparse matrix, shape (n, d)
        Real or integer.
    b : array, shape (n,)
    ridge : float
        Nonnegative; unit of the curvature.
    intercept : bool
        Append a constant column. Its coefficient is the last and D, else the identity, does not penalise it:
        then the ridge need not raise the smallest curvature.

    Raises
    ------
    InvalidInput
        If A is empty or not two-dimensional, shapes do not agree, or the ridge is negative or not finite.
    InvalidType
        If the data are complex or not numbers.
    NotFinite
        If the data hold NaN or infinity.

    Examples
    --------
    >>> from surefoot.problems.linear._least_squares import LeastSquares
    >>> problem = LeastSquares([[1, 0], [0, 2]], [1, 2], ridge=0.5)
    >>> problem.name
    'least squares, 2 x 2, ridge 0.5'
    >>> print(problem.curvature())
    closed form curvature spectrum of size 2, global
      largest   2.5  (exact)
      smallest  1  (exact)
      note      eigenvalues of A'A/n + ridge
    """

    _title = "least squares"
    _sharpest_bend = 1.0

    def __init__(self, A: Any, b: Any, *, ridge: Nonnegative = 0.0, intercept: bool = False) -> None:
        super().__init__(*regression_data(A, b), ridge=ridge, intercept=intercept)

    @property
    def loss_is(self) -> str:
        """The mean of half squares."""
        n = self._rows
        return f"the mean of r^2/2 over {n} rows (halve the step for nn.MSELoss, divide it by {n} for the sum)"

    @property
    def constant_curvature(self) -> bool:
        """True."""
        return True

    def _loss(self, scores: Array) -> float:
        return 0.5 * float(np.mean((scores - self._targets) ** 2))

    def _slope(self, scores: Array, targets: Array) -> Array:
        return scores - targets

    def _bend(self, scores: Array, change: Array) -> Array:  # noqa: ARG002 - the same at all scores
        return change

    def _measure(self, change: Change | None) -> Spectrum:
        base = self._gram_spectrum(1.0, "both", change)
        return self._state_formula(base, f"eigenvalues of A'A/n{self._ridge_term}", change)
