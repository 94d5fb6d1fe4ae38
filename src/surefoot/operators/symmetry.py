"""Whether a matrix is symmetric up to rounding: one measure, and a tolerance for each source of rounding."""

import math

import numpy as np

from surefoot.operators._base import Array, Kind, Matrix, Operator

__all__ = [
    "asymmetry",
    "asymmetry_note",
    "symmetrised_note",
    "symmetry_tolerance",
    "tolerance_of_eps",
]

# Multiple of the dtype's eps. Weighted Gram products and Hessians by torch's and JAX's automatic differentiation, in
# float32 and float64, on up to 1500 unknowns and 300,000 rows, came out within 10 eps; longer sums go as the square
# root of their length at worst.
ROUNDING = 1000
# The rounding of float64 sums in another order, in eps: all the asymmetry that is removed from a declared Jacobian,
# where leaving it costs a little time and removing it could lose a rotation.
SUMS = 32
# Second derivatives by differences are off by eps^(1/2) to eps^(1/4) of the largest entry: this much is rounding in a
# declared curvature.
DIFFERENCES = 1e-4
# For a coarse eps (float16) no more than this counts as rounding.
COARSEST = 0.01
EPS = float(np.finfo(np.float64).eps)


def asymmetry(matrix: Matrix) -> float:
    """The distance of a square matrix from its conjugate transpose, relative to its rows.

        max_ij |a_ij - conj(a_ji)| / max(r_i, r_j),    r_i = max_j |a_ij|

    Relative to rows, because rounding is as large as its row: a small rotation beside one large entry is no rounding.

    Returns
    -------
    float
        0 for a symmetric matrix, at most 2; infinity for one that is not square.
    """
    if matrix.shape[0] != matrix.shape[1]:
        return math.inf
    half = matrix * 0.5  # halved, because the difference of two entries may overflow
    gap = abs(half - half.conj().T)
    rows = abs(matrix).max(axis=1)
    rows = rows.toarray().ravel() if hasattr(rows, "toarray") else rows
    if hasattr(gap, "tocoo"):
        gap = gap.tocoo()
        sizes, gaps = np.maximum(rows[gap.row], rows[gap.col]), gap.data
    else:
        sizes, gaps = np.maximum(rows[:, None], rows[None, :]), gap
    positive = gaps > 0
    return 2 * float((gaps[positive] / sizes[positive]).max(initial=0.0))


def symmetry_tolerance(matrix: Matrix, kind: Kind | None = None) -> float:
    """The asymmetry up to which a matrix counts as symmetric, from its dtype and its declared kind.

    1000 eps of the dtype; of float32 also if a float64 matrix holds values that were float32. A Jacobian must be
    symmetric to 32 eps of float64, a curvature only to 1e-4, so that derivatives by differences pass.
    """
    dtype = matrix.dtype
    eps = float(np.finfo(dtype).eps) if dtype.kind in "fc" else EPS
    square = matrix.shape[0] == matrix.shape[1]
    if square and kind != "jacobian" and eps <= EPS and _came_from_float32(matrix):
        eps = float(np.finfo(np.float32).eps)

    return tolerance_of_eps(eps, kind)


def tolerance_of_eps(eps: float, kind: Kind | None = None) -> float:
    """`symmetry_tolerance` from the eps of the dtype."""
    if kind == "jacobian":
        return SUMS * EPS
    tolerance = min(ROUNDING * eps, COARSEST)
    return max(tolerance, DIFFERENCES) if kind == "curvature" else tolerance


def symmetrised_note(amount: float) -> str:
    """The note on a matrix whose asymmetry was removed."""
    return f"made symmetric: mirrored entries differed by {amount:.2g} of their rows' largest"


def asymmetry_note(operator: Operator) -> str:
    """The asymmetry of a matrix in brackets, for a message; empty for an operator given by products only."""
    amount = getattr(operator, "asymmetry", None)
    return "" if amount is None else f" (mirrored entries differ by {amount:.2g} of their rows' largest)"


def _came_from_float32(matrix: Matrix) -> bool:
    """Whether float32 holds all entries, but half precision does not hold those that differ from their mirror.

    Whole numbers and simple fractions fit any format, so where they differ it was meant, not rounded.
    """
    values = matrix.data if hasattr(matrix, "tocsr") else matrix
    if values.dtype.kind not in "fc" or not _fit(values, np.float32):
        return False
    gap = abs(matrix - matrix.conj().T)
    unlike = gap.tocoo() if hasattr(gap, "tocoo") else None
    entries = values[gap > 0] if unlike is None else matrix.tocsr()[unlike.row, unlike.col]
    return not _fit(np.asarray(entries), np.float16)


def _fit(values: Array, dtype: type) -> bool:
    """Whether rounding to the mantissa of dtype changes no value."""
    digits = np.finfo(dtype).nmant + 1
    parts = (np.real(values), np.imag(values)) if values.dtype.kind == "c" else (values,)
    for part in parts:
        mantissa, _ = np.frexp(part)
        scaled = mantissa * 2.0**digits
        if not (scaled == np.round(scaled)).all():
            return False
    return True
