"""A matrix that does not fit into memory: Dask reads it block by block, vectors are NumPy's."""

from typing import Any

import array_api_compat as compat
import numpy as np

from surefoot.errors import InvalidInput, InvalidType, NotFinite
from surefoot.operators._base import Array, Kind, Operator


class OutOfCore(Operator):
    """A Dask array as an operator: each product is computed at once, in one pass over the blocks.

    Vectors are NumPy's: kept by Dask, each would carry the graph of all products before it.

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
        if len(matrix.shape) != 2 or 0 in matrix.shape:
            raise InvalidInput(f"a matrix has two dimensions and is not empty; got shape {tuple(matrix.shape)}")
        if not xp.isdtype(matrix.dtype, ("bool", "integral", "real floating")):
            raise InvalidType(f"entries of a Dask array must be real numbers; got dtype {matrix.dtype}")
        bad = int(xp.sum(~xp.isfinite(matrix)))
        if bad:
            raise NotFinite(f"the matrix has {bad} NaN or infinite entries; drop or impute them")
        super().__init__((int(matrix.shape[0]), int(matrix.shape[1])), np.float64, symmetric=False, kind=kind)
        self.blocks = matrix.astype(np.float64)

    def _apply(self, x: Array) -> Array:
        return np.asarray(self.blocks @ x)

    def _apply_adjoint(self, x: Array) -> Array:
        return np.asarray(self.blocks.T @ x)
