"""A matrix of an array library other than NumPy, multiplied on its own device."""

import math
from typing import Any

import numpy as np

from surefoot.errors import InvalidType
from surefoot.operators._base import Array, Kind, Matrix, Operator, check_matrix_shape, refuse_nonfinite
from surefoot.operators.space import Space
from surefoot.operators.symmetry import symmetrised_note, tolerance_of_eps

# Entries of a matrix that is copied to the host so that all eigenvalues can be computed: 32 MB in float64.
LARGEST_COPY = 2000 * 2000


class ArrayMatrix(Operator):
    """A torch tensor (dense, or sparse in any layout), a JAX or CuPy array, as an operator on its device.

    Parameters
    ----------
    matrix : array, shape (m, n)
        16-bit floats and integers are multiplied in float32.
    psd, kind, tolerance
        As in `MatrixOperator`, and so are the errors.
    """

    def __init__(
        self, matrix: Any, *, psd: bool = False, kind: Kind | None = None, tolerance: float | None = None
    ) -> None:
        shape = check_matrix_shape(matrix.shape)
        space = Space.of(matrix)
        if not space.xp.isdtype(matrix.dtype, ("bool", "numeric")):
            raise InvalidType(f"matrix entries must be numbers; got dtype {matrix.dtype}")
        # the given precision, which may be coarser than the one that products are computed in
        floating = space.xp.isdtype(matrix.dtype, ("real floating", "complex floating"))
        eps = max(float(space.xp.finfo(matrix.dtype).eps), space.eps) if floating else space.eps
        self._sparse = str(getattr(matrix, "layout", "")).startswith("torch.sparse")
        # a sparse matrix in COO format too: entries and transpose are available there whatever the given layout
        pairs = matrix.detach().to_sparse().to(space.dtype).coalesce() if self._sparse else None
        matrix = space.asarray(matrix)
        values = matrix if pairs is None else pairs.values()
        # counted on the host, since JAX has no 64-bit integers unless it is told to
        finite = space.xp.isfinite(values)
        if not bool(space.xp.all(finite)):
            refuse_nonfinite(int(np.count_nonzero(space.host(finite) == 0)), math.prod(values.shape))
        self.asymmetry = _asymmetry(space, matrix if pairs is None else pairs, values)
        allowed = tolerance_of_eps(eps, kind) if tolerance is None else tolerance
        symmetric = self.asymmetry == 0 or self.asymmetry <= allowed
        # a sparse matrix is left as it is: its symmetric part would have another sparsity pattern and layout
        if symmetric and self.asymmetry and not self._sparse:
            matrix = (matrix + space.xp.conj(matrix.T)) / 2
        dtype = "complex128" if space.complex else "float64"
        super().__init__(shape, dtype, symmetric=symmetric, psd=psd, kind=kind, like=space)
        self._matrix = matrix
        self._pairs = pairs

    @property
    def note(self) -> str:
        """What was changed in the matrix; empty if nothing was."""
        changed = self.symmetric and self.asymmetry and not self._sparse
        return symmetrised_note(self.asymmetry) if changed else ""

    @property
    def entries(self) -> Matrix | None:
        """A copy of a small matrix on the host; None for a large one."""
        if math.prod(self.shape) > LARGEST_COPY:
            return None
        return self.space.host(self._matrix if self._pairs is None else self._pairs.to_dense())

    def _apply(self, x: Array) -> Array:
        return self._matrix @ x

    def _apply_adjoint(self, x: Array) -> Array:
        conj = self.space.xp.conj
        transposed = self._matrix.T if self._pairs is None else self._pairs.t()
        return conj(transposed @ conj(x)) if self.complex else transposed @ x


def _asymmetry(space: Space, matrix: Any, values: Array) -> float:
    """`symmetry.asymmetry` on the device; for a sparse matrix relative to its largest entry, not to its rows."""
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
