"""Incomplete Cholesky factors: R'R = M on the entries that M has, for a sparse M; complete for a dense one."""

import math
from typing import Any

import numpy as np

from surefoot.errors import InvalidInput
from surefoot.operators import Array, Matrix

# Relative shift of the diagonal after the first bad pivot, and its growth after further ones. By convention.
FIRST_SHIFT = 1e-3
GROWTH = 4.0
# Attempts: the last raises the diagonal to 5 times itself, beyond which a factor is useless.
MOST_SHIFTS = 8


def upper_factor(M: Matrix, name: str) -> tuple[Any, float]:
    """An upper triangular R with R'R close to M, and the shift of the diagonal that was needed.

        (R'R)_ij = M_ij + shift M_ii [i = j],    R_ij = 0 where M_ij = 0

    (Meijerink, van der Vorst 1977.) A positive definite M may have no such factor; then the diagonal is raised until
    one exists (Manteuffel 1980). Dense matrices are factorised completely, with the same shifts.

    Parameters
    ----------
    M : dense or sparse matrix, shape (n, n)
        Symmetric, its diagonal positive.
    name : str
        Name of the problem, for a message.

    Returns
    -------
    R : array or csr_array, shape (n, n)
    shift : float
        Relative shift; 0 if none was needed.

    Raises
    ------
    InvalidInput
        If the diagonal is not positive, or no shift up to four times the diagonal helps.
    """
    diagonal = np.asarray(M.diagonal())
    if not (diagonal > 0).all():
        worst = int(np.argmin(diagonal))
        raise InvalidInput(
            f"{name}: the curvature along coordinate {worst} is {diagonal[worst]:.6g}, and a Cholesky factor needs it "
            "positive; add a ridge"
        )
    factor = _sparse if hasattr(M, "tocsr") else _dense
    shift = 0.0
    for _ in range(MOST_SHIFTS):
        R = factor(M, diagonal * (1 + shift))
        if R is not None:
            return R, shift
        shift = GROWTH * shift if shift else FIRST_SHIFT
    raise InvalidInput(f"{name}: the curvature matrix is far from positive definite; add a ridge")


def _dense(M: Array, diagonal: Array) -> Array | None:
    shifted = np.array(M)
    np.fill_diagonal(shifted, diagonal)
    try:
        return np.linalg.cholesky(shifted).T
    except np.linalg.LinAlgError:
        return None


def _sparse(M: Any, diagonal: Array) -> Any:
    """Row by row: R_ij = (M_ij - sum_k R_ki R_kj)/R_ii over the rows k above that hold both; None at a bad pivot."""
    from scipy.sparse import csr_array, triu

    upper = triu(M, k=1).tocsr()
    upper.sort_indices()
    rows = [
        dict(zip(upper.indices[a:b].tolist(), upper.data[a:b].tolist(), strict=True))
        for a, b in zip(upper.indptr[:-1], upper.indptr[1:], strict=True)
    ]
    pivots = diagonal.tolist()
    for i, row in enumerate(rows):
        if not pivots[i] > 0:
            return None
        pivots[i] = math.sqrt(pivots[i])
        for j in row:
            row[j] /= pivots[i]
        for j, entry in row.items():  # subtract the outer product of row i from the rows below
            below = rows[j]
            pivots[j] -= entry * entry
            for k, other in row.items():
                if k > j and k in below:
                    below[k] -= entry * other
    n = len(rows)
    R = csr_array(
        (
            [*pivots, *(v for row in rows for v in row.values())],
            (
                [*range(n), *(i for i, row in enumerate(rows) for _ in row)],
                [*range(n), *(j for row in rows for j in row)],
            ),
        ),
        shape=(n, n),
    )
    R.sort_indices()
    return R
