"""Binary logistic regression."""

from typing import Any

import numpy as np

from surefoot.checks import Nonnegative, checked
from surefoot.operators import Array
from surefoot.problems._changes import Change
from surefoot.problems._checks import classification_data
from surefoot.problems.linear._curvature import with_ones
from surefoot.problems.linear.model import LinearModel
from surefoot.spectra import Spectrum


@checked
class Logistic(LinearModel):
    """Mean log-loss of a linear score, with a ridge.

        f(w) = (1/n) sum_i log(1 + exp(-t_i x_i'w)) + (ridge/2) |D w|^2,    t_i = +-1

        H(w) = (1/n) sum_i s_i (1 - s_i) x_i x_i' + ridge D,    s_i = 1/(1 + exp(-x_i'w))

    Curvature over all w, both ends the best possible:

    - s (1 - s) <= 1/4 with equality at score 0, so the supremum of the largest eigenvalue is that of
      X'X/(4n) + ridge D, attained at w = 0.
    - H(w) >= ridge D everywhere. Along w = t u with x_i'u != 0 for every x_i != 0 (almost every u) s_i (1 -
      s_i) vanishes for all those rows as t grows, and H tends to ridge D. So the infimum of the smallest
      eigenvalue is the ridge, or 0 with an intercept, which is not penalised: approached far out, and
      attained nowhere if X has full column rank.

    Parameters
    ----------
    X : dense or sparse matrix, shape (n, d)
        Real or integer.
    y : array, shape (n,)
        Labels from {0, 1}, {-1, 1} or {False, True}; both classes must occur.
    ridge : float
        Nonnegative; unit of the curvature.
    intercept : bool
        Append a constant column. Its coefficient is the last and D, else the identity, does not penalise it.

    Raises
    ------
    InvalidInput
        If X is empty or not two-dimensional, shapes do not agree, labels are others or of one class only, or
        the ridge is negative or not finite.
    InvalidType
        If the data are complex or not numbers.
    NotFinite
        If the data hold NaN or infinity.

    References
    ----------
    D. Bohning, B. G. Lindsay, Monotonicity of quadratic-approximation algorithms, Ann. Inst. Statist. Math. 40
    (1988) 641-663.

    Examples
    --------
    >>> from surefoot.problems.linear._logistic import Logistic
    >>> problem = Logistic([[2], [-2]], [1, 0], ridge=0.5)
    >>> print(problem.curvature())
    closed form curvature spectrum of size 1, global
      largest   1.5  (exact)
      smallest  0.5  (exact)
      note      lambda_max(X'X/(4n) + ridge)
    """

    _title = "logistic regression"
    _sharpest_bend = 0.25

    def __init__(self, X: Any, y: Any, *, ridge: Nonnegative = 0.0, intercept: bool = False) -> None:
        super().__init__(*classification_data(X, y), ridge=ridge, intercept=intercept)

    @property
    def separable(self) -> bool:
        """Whether some w separates the classes, t_i x_i'w > 0 for all i: without a ridge the loss then has no minimum.

        Scaling such a w scales t_i x_i'w, so the question is whether t_i x_i'w >= 1 has a solution: a linear program.
        """
        from scipy.optimize import linprog
        from scipy.sparse import csr_array

        rows: Any = csr_array(with_ones(self._X, self._intercept))
        wrong: Any = csr_array(-rows.multiply(self._targets))
        answer = linprog(np.zeros(self._width), A_ub=wrong, b_ub=-np.ones(self._rows), bounds=(None, None))
        return bool(answer.status == 0)

    def _loss(self, scores: Array) -> float:
        return float(np.mean(np.logaddexp(0.0, -self._targets * scores)))

    def _slope(self, scores: Array, targets: Array) -> Array:
        return -targets * sigmoid(-targets * scores)

    def _bend(self, scores: Array, change: Array) -> Array:
        return sigmoid(scores) * sigmoid(-scores) * change

    def _measure(self, change: Change | None) -> Spectrum:
        return self._state_formula(
            self._gram_spectrum(0.25, change=change),
            f"lambda_max(X'X/(4n){self._ridge_term})",
            change,
            smallest=self._flat_direction(change),
            points=None,  # they belong to the Hessian at w = 0, not to the bounds
        )


def sigmoid(scores: Array) -> Array:
    """1/(1 + exp(-s)), accurate in both tails."""
    return np.exp(-np.logaddexp(0.0, -scores))
