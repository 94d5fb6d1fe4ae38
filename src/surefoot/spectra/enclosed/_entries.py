"""Deterministic bounds on eigenvalues and norms from the entries of a matrix."""

import numpy as np

from surefoot.checks import checked
from surefoot.errors import InvalidInput
from surefoot.operators import Matrix, as_operator


@checked
def gershgorin(matrix: Matrix) -> tuple[float, float]:
    """An interval that holds all eigenvalues of a Hermitian matrix, or all their real parts.

        min_i (Re a_ii - R_i) <= Re lambda <= max_i (Re a_ii + R_i),    R_i = sum_{j != i} |a_ij|

    (Gershgorin 1931. For a matrix that is not Hermitian, that of its Hermitian part, which bounds the real parts.)

    Parameters
    ----------
    matrix : array or sparse, shape (n, n)

    Returns
    -------
    lower, upper : float

    Raises
    ------
    InvalidInput
        If the matrix is not square.
    """
    operator = as_operator(matrix, tolerance=0.0)
    if operator.shape[0] != operator.shape[1]:
        raise InvalidInput(f"eigenvalues need a square matrix; got shape {operator.shape}")
    matrix = operator.entries
    hermitian = (matrix + matrix.conj().T) / 2
    diagonal = hermitian.diagonal().real
    radius = np.asarray(abs(hermitian).sum(axis=1)).ravel() - np.abs(diagonal)
    return float((diagonal - radius).min()), float((diagonal + radius).max())


@checked
def norm_bound(matrix: Matrix) -> float:
    """An upper bound on the spectral norm: the smaller of the Frobenius norm and sqrt(||A||_1 ||A||_inf).

    (Golub, Van Loan 2013, section 2.3.)

    Parameters
    ----------
    matrix : array or sparse, shape (m, n)

    Returns
    -------
    float
    """
    matrix = as_operator(matrix, tolerance=0.0).entries
    magnitudes = abs(matrix)
    column_sums = np.asarray(magnitudes.sum(axis=0)).ravel()
    row_sums = np.asarray(magnitudes.sum(axis=1)).ravel()
    largest = float(magnitudes.max())
    if largest == 0.0:
        return 0.0
    # scaled, so that squares neither overflow nor vanish; roots before the product for the same reason
    values = magnitudes.data if hasattr(matrix, "tocsr") else magnitudes
    frobenius = largest * float(np.linalg.norm(values / largest))
    return min(float(np.sqrt(column_sums.max()) * np.sqrt(row_sums.max())), frobenius)
