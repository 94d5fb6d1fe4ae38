"""Multinomial logistic regression."""

from typing import Any

import numpy as np

from surefoot.checks import Nonnegative, checked
from surefoot.operators import Array
from surefoot.problems._changes import Change
from surefoot.problems._checks import class_labels, real_matrix
from surefoot.problems.linear.model import LinearModel, bracket
from surefoot.spectra import Spectrum


@checked
class Softmax(LinearModel):
    """Mean cross-entropy of K linear scores, with a ridge.

        f(W) = (1/n) sum_i (log sum_k exp(W_k x_i) - W_{y_i} x_i) + (ridge/2) sum_k W_k D W_k'

        H(W) = (1/n) sum_i (diag(p_i) - p_i p_i') kron x_i x_i' + ridge (I kron D),    p_i = softmax(W x_i)

    The unknown is W of shape (K, d), or (K, d + 1) with an intercept, flattened by rows: `x.reshape(K, -1)`.
    Curvature over all W:

    - Upper end (proved): diag(p) - pp' <= (1/2)(I - 11'/K) (Bohning 1992), so no eigenvalue exceeds
      lambda_max(X'X/(2n) + ridge D).
    - That is the supremum for K = 2 (attained at W = 0) and wherever some u has x_i'u > 0 for all rows x_i
      != 0: give two classes the row 0 and the others -t u, then all p_i tend to (1/2, 1/2, 0, ...) as t
      grows. The intercept is such a u, and so is the vector of ones for nonnegative data. Tried are the
      ones and the mean row.
    - Else the lower end (proved) is the value at W = 0, where p_i = 1/K: lambda_max(X'X)/(K n) + ridge.
    - Adding the same row to all W_k changes no p_i, so the smallest eigenvalue is exactly the ridge at
      every W, and 0 with an intercept, which is not penalised.

    Parameters
    ----------
    X : dense or sparse matrix, shape (n, d)
        Real or integer.
    y : array, shape (n,)
        Class labels: whole numbers, text or booleans, any distinct values. `classes` lists the K >= 2 that
        occur in sorted order, and row k of W belongs to classes[k]. (For 0..K-1, all present, row k is
        class k.)
    ridge : float
        Nonnegative; unit of the curvature.
    intercept : bool
        Append a constant column. Its coefficients are the last of each row and D, else the identity, does not
        penalise them.

    Attributes
    ----------
    classes : array, shape (K,)
        The distinct labels, sorted.

    Raises
    ------
    InvalidInput
        If X is empty or not two-dimensional, shapes do not agree, labels are fractions or of one class only,
        or the ridge is negative or not finite.
    InvalidType
        If the data are complex or not numbers.
    NotFinite
        If the data hold NaN or infinity.

    References
    ----------
    D. Bohning, Multinomial logistic regression algorithm, Ann. Inst. Statist. Math. 44 (1992) 197-200.

    Examples
    --------
    >>> from surefoot.problems.linear._softmax import Softmax
    >>> problem = Softmax([[1], [0], [-1]], [0, 1, 2])
    >>> problem.name
    'softmax regression, 3 x 1, 3 classes'
    >>> print(problem.curvature().largest)
    [0.222222, 0.333333]
    """

    _title = "softmax regression"
    _sharpest_bend = 0.5

    def __init__(self, X: Any, y: Any, *, ridge: Nonnegative = 0.0, intercept: bool = False) -> None:
        matrix = real_matrix(X, "X")
        self.classes, codes = class_labels(y, matrix.shape[0], "y")
        chosen = np.eye(self.classes.size)[codes]
        super().__init__(matrix, chosen, ridge=ridge, intercept=intercept)

    @property
    def _details(self) -> str:
        return f", {self.classes.size} classes"

    def _loss(self, scores: Array) -> float:
        shifted = scores - scores.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - (self._targets * shifted).sum(axis=1)))

    def _slope(self, scores: Array, targets: Array) -> Array:
        return softmax(scores) - targets

    def _bend(self, scores: Array, change: Array) -> Array:
        p = softmax(scores)
        return p * (change - (p * change).sum(axis=1, keepdims=True))

    def _measure(self, change: Change | None) -> Spectrum:
        base = self._gram_spectrum(0.5, change=change)
        largest, formula = base.largest, f"lambda_max(X'X/(2n){self._ridge_term})"
        if self._is_attained:
            formula += ", the supremum"
        else:
            formula += " bounds it (Bohning 1992); lower end at W = 0"
            largest = bracket(self._gram_spectrum(1 / self.classes.size, change=change).largest.lower, largest)
        smallest = self._flat_direction(change)
        return self._state_formula(
            base, formula, change, largest=largest, smallest=smallest, size=self.size, points=None
        )

    @property
    def _is_attained(self) -> bool:
        """Whether Bohning's bound is known to be the supremum of the curvature."""
        if self._intercept or self.classes.size == 2:
            return True
        mean = np.asarray(self._X.mean(axis=0)).ravel()
        nonzero = np.asarray(abs(self._X).sum(axis=1)).ravel() > 0
        return any(bool((self._X @ u > 0)[nonzero].all()) for u in (np.ones(self._features), mean))


def softmax(scores: Array) -> Array:
    """exp(s_k) / sum_j exp(s_j) along each row, without overflow."""
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)
