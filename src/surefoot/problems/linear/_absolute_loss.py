"""Least absolute deviations."""

from typing import Any

import numpy as np

from surefoot.checks import Nonnegative, checked
from surefoot.operators import Array
from surefoot.problems._checks import regression_data
from surefoot.problems.linear.model import LinearModel


@checked
class AbsoluteLoss(LinearModel):
    """Mean absolute residual, with a ridge: not smooth.

        f(x) = |A x - b|_1/n + (ridge/2) |D x|^2,    g(x) = A' sign(A x - b)/n + ridge D x

    The subgradient uses sign(0) = 0. It jumps where a residual changes sign, so `curvature` raises NotSmooth; use a
    subgradient rule.

    Parameters
    ----------
    A : dense or sparse matrix, shape (n, d)
        Real or integer.
    b : array, shape (n,)
    ridge : float
        Nonnegative.
    intercept : bool
        Append a constant column. Its coefficient is the last and D, else the identity, does not penalise it.

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
    >>> import surefoot as sf
    >>> median = sf.problems.AbsoluteLoss([[1], [1], [1]], [0.0, 1.0, 50.0])
    >>> run = sf.descend(median, rule=sf.rules.Subgradient(length=1.0), steps=2000)
    >>> round(float(run.best_x[0]), 2)
    1.0
    """

    _title = "absolute loss"
    _kinks = (
        "the absolute loss is not smooth: its gradient jumps where a residual changes sign, so no step 1/L exists and "
        "a constant step does not settle; use rules.Subgradient, or rules.Polyak where the least value is known, "
        "or the smooth Huber"
    )

    def __init__(self, A: Any, b: Any, *, ridge: Nonnegative = 0.0, intercept: bool = False) -> None:
        super().__init__(*regression_data(A, b), ridge=ridge, intercept=intercept)

    def _loss(self, scores: Array) -> float:
        return float(np.mean(np.abs(scores - self._targets)))

    def _slope(self, scores: Array, targets: Array) -> Array:
        return np.sign(scores - targets)
