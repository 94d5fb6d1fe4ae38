"""A matrix too large for memory: Dask reads it block by block, vectors are NumPy arrays."""

import importlib
from typing import Any

import array_api_compat as compat
import numpy as np

from surefoot.errors import InvalidType
from surefoot.operators._base import Array, Kind, Operator, check_matrix_shape, refuse_nonfinite


class OutOfCore(Operator):
    """A Dask array as an operator: each product is computed at once, in one pass over the blocks.

    Vectors are NumPy arrays: as Dask arrays each would carry the graph of all products before it.

    Parameters
    ----------
    matrix : dask.array.Array, shape (m, n)
        Real.
    kind
        As in `Operator`.

    Raises
    ------
    InvalidInput
        If the matrix is empty or not two-dimensional.
    InvalidType
        If the entries are not real numbers.
    NotFinite
        If an entry is NaN or infinite: a pass over the blocks.
    """

    def __init__(self, matrix: Any, *, kind: Kind | None = None) -> None:
        xp: Any = compat.array_namespace(matrix)
        m, n = check_matrix_shape(matrix.shape)
        if not xp.isdtype(matrix.dtype, ("bool", "integral", "real floating")):
            raise InvalidType(f"entries of a Dask array must be real numbers; got dtype {matrix.dtype}")
        refuse_nonfinite(int(xp.sum(~xp.isfinite(matrix))), m * n)
        # whether it is symmetric would cost another pass over all blocks
        super().__init__((int(m), int(n)), np.float64, symmetric=False, kind=kind)
        self.blocks = matrix.astype(np.float64)

    def _apply(self, x: Array) -> Array:
        return np.asarray(self.blocks @ x)

    def _apply_adjoint(self, x: Array) -> Array:
        return np.asarray(self.blocks.T @ x)

    def gram_product(self, x: Any) -> Any:
        """A^H A x, in one pass: a block serves both products while it is in memory."""
        n = self.shape[1]
        return self._multiply(lambda v: np.asarray(self.blocks.T @ (self.blocks @ v)), x, n, n)


def at_once(*arrays: Any) -> tuple[Array, ...]:
    """NumPy arrays of all of these; those of Dask are computed together, so that they share a pass over the blocks."""
    if not any(map(compat.is_dask_array, arrays)):
        return tuple(map(np.asarray, arrays))
    dask: Any = importlib.import_module("dask")
    return dask.compute(*arrays)
