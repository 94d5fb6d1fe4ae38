"""The spectrum of c X'X/n + D, in any linear variables and without forming it."""

import math
from typing import Any, Literal

import numpy as np

from surefoot.operators import Array, LinearMap, Matrix, dense, gram
from surefoot.problems._changes import Change
from surefoot.spectra import Bounds, Spectrum, spectrum

Which = Literal["both", "largest"]
# Most entries of a factor X S that is formed with a dense S: 160 MB.
FORM_ENTRIES = 2e7


def spectrum_of_gram(
    X: Matrix, bend: float, penalty: Array, intercept: bool, change: Change | None, which: Which = "largest"
) -> Spectrum:
    """The spectrum of S'(bend X_1'X_1/n + diag(penalty)) S, X_1 being X with a column of ones for an intercept.

    Computed from a factor F with this matrix as F'F if the entries of F are available, so that the condition is not
    squared.

    Parameters
    ----------
    X : dense or sparse matrix, shape (n, d)
    bend : float
        Second derivative of the loss in the scores.
    penalty : array, shape (p,)
    intercept : bool
        Whether p is d + 1.
    change : Change or None
        S, of size p; the identity if None.
    which : "both" or "largest"
        Ends to narrow down, as in `surefoot.spectrum`.
    """
    scale = math.sqrt(bend / X.shape[0])
    if change is None and not intercept:
        return spectrum(gram(X * scale), which=which).shifted(float(penalty[0]))
    factor = with_ones(X, intercept) * scale
    if change is not None:
        # a dense product X S would take the memory that a sparse X saves: large ones are measured by products
        small = factor.shape[0] * factor.shape[1] <= FORM_ENTRIES
        if not (is_diagonal(change) or (change.matrix is not None and small)):
            return _measure_product(factor, penalty, change, which)
        factor = factor @ change.matrix
    # the ridge becomes further rows of the factor
    if penalty.any():
        factor = _stack(factor, _penalty_rows(penalty, change))
    return spectrum(gram(factor), which=which)


def least_penalty(penalty: Array, change: Change | None) -> Bounds:
    """The smallest eigenvalue of S' diag(penalty) S: the smallest curvature where the loss is flat."""
    if not penalty.all() or change is None:
        return Bounds.exactly(float(penalty.min()))
    if is_diagonal(change):
        return Bounds.exactly(float((penalty * change.matrix.diagonal() ** 2).min()))
    if change.matrix is not None:
        return spectrum(gram(_penalty_rows(penalty, change))).smallest
    shape = (penalty.size, penalty.size)
    product = LinearMap(shape, lambda z: change.adjoint(penalty * change.apply(z)), psd=True)
    return spectrum(product, which="smallest").smallest


def with_ones(X: Matrix, intercept: bool) -> Matrix:
    """X, with a column of ones appended if there is an intercept."""
    if not intercept:
        return X
    ones = np.ones((X.shape[0], 1))
    if hasattr(X, "tocsr"):
        from scipy.sparse import csr_array, hstack

        return hstack([X, csr_array(ones)]).tocsr()
    return np.hstack([X, ones])


def is_diagonal(change: Change) -> bool:
    """Whether a change of variables is known to scale each of them by itself."""
    matrix = change.matrix
    return hasattr(matrix, "nnz") and int(matrix.nnz) == change.size == int(np.count_nonzero(matrix.diagonal()))


def _penalty_rows(penalty: Array, change: Change | None) -> Any:
    """The rows of sqrt(D) S that are not zero."""
    from scipy.sparse import diags_array

    roots = diags_array(np.sqrt(penalty)).tocsr()
    return (roots if change is None else roots @ change.matrix)[np.flatnonzero(penalty)]


def _stack(above: Any, below: Any) -> Any:
    if hasattr(above, "tocsr"):
        from scipy.sparse import csr_array, vstack

        return vstack([above, csr_array(below)])
    return np.vstack([above, dense(below)])


def _measure_product(factor: Matrix, penalty: Array, change: Change, which: Which) -> Spectrum:
    def product(z: Array) -> Array:
        x = change.apply(z)
        return change.adjoint(factor.T @ (factor @ x) + penalty * x)

    return spectrum(LinearMap((penalty.size, penalty.size), product, psd=True), which=which)
