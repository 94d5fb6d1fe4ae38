"""A matrix of another array library than NumPy, multiplied where it lives."""

import math
from typing import Any

from surefoot.errors import InvalidInput, InvalidType, NotFinite
from surefoot.operators._base import Array, Kind, Matrix, Operator
from surefoot.operators.space import Space
from surefoot.operators.symmetry import made_symmetric, rounding_of

# Entries up to which a copy on the host costs nothing beside what it is good for: all eigenvalues at once.
COPIED = 2000 * 2000


class ArrayMatrix(Operator):
    """A torch tensor (dense, or sparse in any layout), a JAX or CuPy array, as an operator on its device.

    Parameters
    ----------
    matrix : array, shape (m, n)
        16-bit floats and integers are multiplied in float32.
    psd, kind, tolerance
        As in `MatrixOperator`.

    Raises
    ------
    InvalidInput
        If the matrix is empty or not two-dimensional.
    InvalidType
        If the entries are not numbers.
    NotFinite
        If an entry is NaN or infinite.
    """

    def __init__(
        self, matrix: Any, *, psd: bool = False, kind: Kind | None = None, tolerance: float | None = None
    ) -> None:
        shape = tuple(matrix.shape)
        if len(shape) != 2:
            raise InvalidInput(f"a matrix has two dimensions; got shape {shape}")
        if 0 in shape:
            raise InvalidInput(f"the matrix is empty: shape {shape}")
        space = Space.of(matrix)
        if not space.xp.isdtype(matrix.dtype, ("bool", "numeric")):
            raise InvalidType(f"matrix entries must be numbers; got dtype {matrix.dtype}")
        eps = _eps(space, matrix)
        self._sparse = str(getattr(matrix, "layout", "")).startswith("torch.sparse")
        # a sparse matrix as sorted pairs too, whose entries and transpose are at hand in every layout
        pairs = matrix.detach().to_sparse().to(space.dtype).coalesce() if self._sparse else None
        matrix = space.asarray(matrix)
        values = matrix if pairs is None else pairs.values()
        _check_finite(space, values)
        self.asymmetry = _asymmetry(space, matrix if pairs is None else pairs, values)
        allowed = rounding_of(eps, kind) if tolerance is None else tolerance
        symmetric = self.asymmetry == 0 or self.asymmetry <= allowed
        if symmetric and self.asymmetry and not self._sparse:
            matrix = (matrix + space.xp.conj(matrix.T)) / 2
        dtype = "complex128" if space.complex else "float64"
        super().__init__(shape, dtype, symmetric=symmetric, psd=psd, kind=kind, like=space)
        self._matrix = matrix
        self._pairs = pairs

    @property
    def note(self) -> str:
        """What was done to the matrix; empty where nothing was."""
        changed = self.symmetric and self.asymmetry and not self._sparse
        return made_symmetric(self.asymmetry) if changed else ""

    @property
    def entries(self) -> Matrix | None:
        """A copy on the host of a small matrix."""
        if math.prod(self.shape) > COPIED:
            return None
        return self.space.host(self._matrix if self._pairs is None else self._pairs.to_dense())

    def _apply(self, x: Array) -> Array:
        return self._matrix @ x

    def _apply_adjoint(self, x: Array) -> Array:
        conj = self.space.xp.conj
        transposed = self._matrix.T if self._pairs is None else self._pairs.t()
        return conj(transposed @ conj(x)) if self.complex else transposed @ x


def _eps(space: Space, matrix: Any) -> float:
    xp = space.xp
    if xp.isdtype(matrix.dtype, ("real floating", "complex floating")):
        return max(float(xp.finfo(matrix.dtype).eps), space.eps)
    return space.eps


def _check_finite(space: Space, values: Array) -> None:
    finite = space.xp.isfinite(values)
    if not bool(space.xp.all(finite)):
        total = math.prod(values.shape)
        bad = total - int(space.xp.sum(space.xp.astype(finite, space.xp.int64)))
        raise NotFinite(f"the matrix has {bad} NaN or infinite entries of {total}; drop or impute them")


def _asymmetry(space: Space, matrix: Any, values: Array) -> float:
    """`symmetry.asymmetry` on the device; of a sparse matrix in units of its largest entry."""
    if matrix.shape[0] != matrix.shape[1]:
        return math.inf
    xp = space.xp
    if str(getattr(matrix, "layout", "")).startswith("torch.sparse"):
        gaps: Any = xp.abs((matrix - matrix.conj().t()).coalesce().values())
        sizes: Any = xp.max(xp.abs(values)) if 0 not in values.shape else 1.0
    else:
        gaps = xp.abs(matrix - xp.conj(matrix.T))
        rows = xp.max(xp.abs(matrix), axis=1)
        sizes = xp.maximum(rows[:, None], rows[None, :])
    if 0 in gaps.shape:
        return 0.0
    return float(xp.max(xp.where(gaps > 0, gaps / sizes, 0.0)))
