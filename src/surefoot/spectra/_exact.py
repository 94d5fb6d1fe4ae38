"""All eigenvalues, where the matrix is at hand and small enough that this is the cheap way."""

import numpy as np
from numpy.typing import NDArray

from surefoot.operators import Array, Matrix, Operator

# Multiply-adds that an exact factorisation may cost: about two seconds on one core.
EXACT_WORK = 1e10
EPS = float(np.finfo(np.float64).eps)


def symmetric_eigenvalues(operator: Operator) -> NDArray[np.float64] | None:
    """Ascending eigenvalues of a symmetric operator, or None where that would cost too much.

    A Gram product goes through the singular values of its factor, which keeps the small ones: eigenvalues of F'F lose
    everything below eps * lambda_max, squared singular values only below eps^2 * lambda_max. Values at rounding level
    are set to zero, so that a sign is never read off noise.
    """
    if operator.factor is not None:
        singular = _singular_values(operator.factor)
        return None if singular is None else np.sort(np.concatenate([singular**2, _zeros(operator, singular)]))
    matrix = operator.entries
    if matrix is None or operator.shape[0] ** 3 > EXACT_WORK:
        return None
    from scipy.linalg import eigvalsh

    values = np.asarray(eigvalsh(dense(matrix)), dtype=np.float64)
    return _without_noise(values, len(values) * EPS)


def eigenvalues(matrix: Matrix) -> Array | None:
    """Eigenvalues of a square matrix, complex, ordered by real part; None where that would cost too much.

    Real and imaginary parts at rounding level are set to zero.
    """
    if 10.0 * matrix.shape[0] ** 3 > EXACT_WORK:
        return None
    from scipy.linalg import eigvals

    values = np.asarray(eigvals(dense(matrix)))
    size = np.abs(values).max(initial=0.0) * len(values) * EPS
    real = np.where(np.abs(values.real) <= size, 0.0, values.real)
    imaginary = np.where(np.abs(values.imag) <= size, 0.0, values.imag)
    return np.sort_complex(real + 1j * imaginary)


def _singular_values(factor: Operator) -> NDArray[np.float64] | None:
    m, n = factor.shape
    if factor.entries is None or m * n * min(m, n) > EXACT_WORK:
        return None
    from scipy.linalg import svdvals

    return _without_noise(np.asarray(svdvals(dense(factor.entries))), max(m, n) * EPS)


def _zeros(operator: Operator, singular: NDArray[np.float64]) -> NDArray[np.float64]:
    """The eigenvalues of F'F beyond the rank that F's rows allow."""
    return np.zeros(operator.shape[0] - singular.size)


def _without_noise(values: NDArray[np.float64], relative: float) -> NDArray[np.float64]:
    noise = relative * np.abs(values).max(initial=0.0)
    return np.where(np.abs(values) <= noise, 0.0, values)


def dense(matrix: Matrix) -> Array:
    """The entries of a matrix, sparse or not, as an array."""
    return matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix)
