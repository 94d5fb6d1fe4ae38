"""The soft-margin support vector machine."""

from typing import Any

import numpy as np

from surefoot.checks import Nonnegative, checked
from surefoot.operators import Array
from surefoot.problems._checks import classification_data
from surefoot.problems.linear.model import LinearModel


@checked
class Hinge(LinearModel):
    """Mean hinge loss of a linear score, with a ridge: not smooth.

        f(w) = (1/n) sum_i max(0, 1 - t_i x_i'w) + (ridge/2) |D w|^2,    t_i = +-1

    The subgradient uses slope 0 at margin 1. It jumps there, so `curvature` raises NotSmooth; use a subgradient rule,
    or stochastic subgradient steps 1/(ridge k) (Pegasos).

    Parameters
    ----------
    X : dense or sparse matrix, shape (n, d)
        Real or integer.
    y : array, shape (n,)
        Labels from {0, 1}, {-1, 1} or {False, True}; both classes must occur.
    ridge : float
        Nonnegative.
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
    S. Shalev-Shwartz, Y. Singer, N. Srebro, A. Cotter, Pegasos: primal estimated sub-gradient solver for SVM,
    Math. Program. 127 (2011) 3-30.

    Examples
    --------
    >>> from surefoot.problems.linear._hinge import Hinge
    >>> problem = Hinge([[2.0], [-2.0]], [1, 0])
    >>> problem.value([0.25]), problem.gradient([0.25])
    (0.5, array([-2.]))
    """

    _title = "hinge loss"
    _kinks = (
        "the hinge loss is not smooth: its gradient jumps where a margin passes 1, so no step 1/L exists and a "
        "constant step does not settle; use rules.Subgradient, or rules.Polyak where the least value is known, "
        "or the smooth Logistic"
    )

    def __init__(self, X: Any, y: Any, *, ridge: Nonnegative = 0.0, intercept: bool = False) -> None:
        super().__init__(*classification_data(X, y), ridge=ridge, intercept=intercept)

    def _loss(self, scores: Array) -> float:
        return float(np.mean(np.maximum(0.0, 1 - self._targets * scores)))

    def _slope(self, scores: Array, targets: Array) -> Array:
        return np.where(targets * scores < 1, -targets, 0.0)
