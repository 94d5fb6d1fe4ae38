"""All eigenvalues of a matrix whose entries are stored and that is small enough to factorise."""

import numpy as np
from numpy.typing import NDArray

from surefoot.operators import Array, Matrix, Operator, dense

# Multiply-adds that a factorisation may cost: about two seconds on one core.
EXACT_WORK = 1e10
EPS = float(np.finfo(np.float64).eps)


def symmetric_eigenvalues(operator: Operator) -> NDArray[np.float64] | None:
    """Ascending eigenvalues of a symmetric operator; None if they would cost too much.

    A Gram product goes through the singular values of its factor, which keeps the small ones: eigenvalues of F'F lose
    everything below eps * lambda_max, squared singular values only below eps^2 * lambda_max. Values at rounding level
    are set to zero, since their sign would be noise.
    """
    if operator.factor is not None:
        m, n = operator.factor.shape
        if operator.factor.entries is None or m * n * min(m, n) > EXACT_WORK:
            return None
        from scipy.linalg import svdvals

        singular = np.asarray(svdvals(dense(operator.factor.entries)))
        singular = clear_noise(singular, max(m, n) * EPS * singular.max(initial=0.0))
        # F'F has n eigenvalues and F at most m singular values: the other eigenvalues are 0
        return np.sort(np.concatenate([singular**2, np.zeros(n - singular.size)]))
    if operator.entries is None or operator.shape[0] ** 3 > EXACT_WORK:
        return None
    from scipy.linalg import eigvalsh

    values = np.asarray(eigvalsh(dense(operator.entries)), dtype=np.float64)
    return clear_noise(values, len(values) * EPS * np.abs(values).max(initial=0.0))


def eigenvalues(matrix: Matrix) -> Array | None:
    """Eigenvalues of a square matrix, complex, ordered by real part; None if they would cost too much.

    Real and imaginary parts at rounding level are set to zero.
    """
    if 10.0 * matrix.shape[0] ** 3 > EXACT_WORK:
        return None
    from scipy.linalg import eigvals

    values = np.asarray(eigvals(dense(matrix)), dtype=np.complex128)
    noise = np.abs(values).max(initial=0.0) * len(values) * EPS
    return np.sort_complex(clear_noise(values.real, noise) + 1j * clear_noise(values.imag, noise))


def clear_noise(values: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """The values, those no larger than `noise` set to 0."""
    return np.where(np.abs(values) <= noise, 0.0, values)
