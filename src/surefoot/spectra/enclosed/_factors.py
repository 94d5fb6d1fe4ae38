"""Separable convolutions: the factors of a kernel, and the extreme singular values of each as a banded matrix.

The singular values of A = A_1 (x) ... (x) A_d are the products of those of its factors, under any boundary.
"""

import numpy as np
from numpy.typing import NDArray

from surefoot.operators import Convolution, Matrix

EPS = float(np.finfo(np.float64).eps)
# A kernel this close to rank one, relative to its largest entry, is a rounded product: it was rounded once in each
# axis' normalisation and once in the product; 64 leaves room for a kernel that was scaled as well.
RANK_ONE = 64 * EPS
# Larger matrices are bisected with Cholesky factorisations, O(N taps^2) each, instead of solved in O(N^2 taps). The two
# cost the same near 1000; only a solve gives the smallest eigenvalue too.
SOLVE_LIMIT = 1024
# Relative width at which bisection stops: above the rounding error of a factorisation.
BISECTED = 1e-12

Ends = tuple[float, float, float, float]


def factors_of(kernel: NDArray[np.float64]) -> list[NDArray[np.float64]] | None:
    """One-dimensional factors, one for each axis, whose outer product is the kernel; None if there are none.

    They are the lines through the largest entry, where division loses least.
    """
    peak = np.unravel_index(int(np.argmax(np.abs(kernel))), kernel.shape)
    top = float(kernel[peak])
    if top == 0.0:
        return None
    factors: list[NDArray[np.float64]] = []
    product = np.ones(())
    for axis in range(kernel.ndim):
        line = kernel[tuple(slice(None) if i == axis else at for i, at in enumerate(peak))]
        factors.append(line if axis == 0 else line / top)
        product = np.multiply.outer(product, factors[-1])
    return factors if np.abs(product - kernel).max() <= RANK_ONE * abs(top) else None


def banded_ends(operator: Convolution, factor: NDArray[np.float64], axis: int) -> Ends:
    """Smallest and largest squared singular value along one axis, each as (lower, upper); equal ends are exact.

    A symmetric Toeplitz matrix (zero boundary, even factor) is solved for its own eigenvalues, any other for those of
    the banded A'A, which loses the small ones.
    """
    size = operator.image_shape[axis]
    if factor.size == 1:
        square = float(factor[0]) ** 2
        return square, square, square, square
    matrix = _sparse(operator, factor, axis)
    if size <= SOLVE_LIMIT:
        if operator.boundary == "zero" and factor.size % 2 and np.allclose(factor, factor[::-1], rtol=0, atol=RANK_ONE):
            values = _banded_eigenvalues(matrix) ** 2
        else:
            values = np.maximum(_banded_eigenvalues(matrix.T @ matrix), 0.0)
        largest = float(values.max())
        least = float(values.min())
        # the smallest is known up to rounding relative to the largest
        noise = size * EPS * largest
        return max(least - noise, 0.0) if least <= noise else least, max(least, noise), largest, largest
    gram = (matrix.T @ matrix).tocsr()
    lower, upper = _top_by_bisection(gram)
    return 0.0, float(gram.diagonal().min()), lower, upper


def _sparse(operator: Convolution, factor: NDArray[np.float64], axis: int) -> Matrix:
    """The matrix of a one-dimensional convolution along an axis."""
    from scipy.sparse import csr_array

    size, taps = operator.image_shape[axis], factor.size
    source = operator.sources(axis)
    rows, taken = np.indices((size, taps))
    columns = source[rows + taps - 1 - taken]
    inside = columns >= 0
    return csr_array((factor[taken[inside]], (rows[inside], columns[inside])), shape=(size, size))


def _bands(matrix: Matrix) -> NDArray[np.float64]:
    """The lower bands of a symmetric matrix, as SciPy's banded solvers take them."""
    pairs = matrix.tocoo()
    below = pairs.row - pairs.col
    kept = below >= 0
    bands = np.zeros((int(below.max()) + 1, matrix.shape[0]))
    np.add.at(bands, (below[kept], pairs.col[kept]), pairs.data[kept])
    return bands


def _banded_eigenvalues(matrix: Matrix) -> NDArray[np.float64]:
    from scipy.linalg import eig_banded

    return np.asarray(eig_banded(_bands(matrix), lower=True, eigvals_only=True), dtype=np.float64)


def _top_by_bisection(gram: Matrix) -> tuple[float, float]:
    """The largest eigenvalue by inertia: t I - A'A has a Cholesky factor if and only if t is above it."""
    from scipy.linalg import LinAlgError, cholesky_banded

    bands = -_bands(gram)
    # a diagonal entry is a Rayleigh quotient, a row sum Gershgorin's bound
    lower = float(-bands[0].min())
    upper = float(np.abs(gram).sum(axis=1).max()) * (1 + BISECTED)
    while upper - lower > BISECTED * upper:
        middle = 0.5 * (lower + upper)
        shifted = bands.copy()
        shifted[0] += middle
        try:
            cholesky_banded(shifted, lower=True)
            upper = middle
        except LinAlgError:
            lower = middle
    # the computed factor is exact for a matrix that differs from this one by its rounding (backward stability)
    slack = 16 * len(bands) * EPS * upper
    return lower - slack, upper + slack
