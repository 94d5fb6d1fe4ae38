"""Convert arrays, sparse matrices, SciPy and PyLops operators and functions to one type."""

from collections.abc import Callable
from typing import Any

import array_api_compat as compat
import numpy as np

from surefoot.checks import checked, refuse_mask
from surefoot.errors import InvalidInput, InvalidType
from surefoot.operators._array_matrix import ArrayMatrix
from surefoot.operators._base import Array, Kind, Matrix, Operator, check_matrix_shape, refuse_nonfinite
from surefoot.operators._out_of_core import OutOfCore
from surefoot.operators.space import Space
from surefoot.operators.symmetry import asymmetry, symmetrised_note, symmetry_tolerance


class MatrixOperator(Operator):
    """A dense or sparse matrix whose entries are stored.

    Asymmetry that is only rounding is removed; `note` then says how large it was.

    Parameters
    ----------
    matrix : array or scipy.sparse matrix or array, shape (m, n)
        Finite numbers of any real, integer or complex dtype; kept as float64 or complex128.
    psd, kind
        Known facts, as in `Operator`.
    tolerance : float, optional
        Asymmetry that counts as rounding, as a share of the largest entry of the rows concerned. Default: 1000 eps of
        the matrix's dtype (float32's, where float64 holds what were float32 values), 1e-4 for kind="curvature" so that
        differences pass, and 32 eps of float64 for kind="jacobian".

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
        self, matrix: Matrix, *, psd: bool = False, kind: Kind | None = None, tolerance: float | None = None
    ) -> None:
        given = _check(matrix)
        matrix = given.astype(np.complex128 if given.dtype.kind == "c" else np.float64)
        self.asymmetry = asymmetry(matrix)
        allowed = tolerance
        if tolerance is None and self.asymmetry:
            allowed = symmetry_tolerance(given, kind)
        symmetric = self.asymmetry <= (allowed or 0.0)
        super().__init__(matrix.shape, matrix.dtype, symmetric=symmetric, psd=psd, kind=kind)
        if symmetric and self.asymmetry:
            half = matrix * 0.5  # halved first, because the sum of two entries may overflow
            matrix = half + half.conj().T
        self._matrix = matrix

    @property
    def note(self) -> str:
        """What was changed in the matrix; empty if nothing was."""
        return symmetrised_note(self.asymmetry) if self.symmetric and self.asymmetry else ""

    @property
    def entries(self) -> Matrix:
        return self._matrix

    def _apply(self, x: Array) -> Array:
        return self._matrix @ x

    def _apply_adjoint(self, x: Array) -> Array:
        # conjugating the vectors instead of the matrix avoids a copy of its entries
        return (self._matrix.T @ x.conj()).conj()


@checked
class LinearMap(Operator):
    """A linear map given by functions.

    Parameters
    ----------
    shape : (m, n)
    matvec : callable
        x of shape (n,) to A x of shape (m,).
    rmatvec : callable, optional
        The adjoint product.
    **facts
        As in `Operator`: dtype, symmetric, psd, kind, precision, scope, like. `black_box` is True by default.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        matvec: Callable[[Array], Array],
        rmatvec: Callable[[Array], Array] | None = None,
        dtype: Any = np.float64,
        **facts: Any,
    ) -> None:
        facts.setdefault("black_box", True)
        super().__init__(shape, dtype, **facts)
        self._matvec = matvec
        self._rmatvec = rmatvec

    def _apply(self, x: Array) -> Array:
        return self._matvec(x)

    def _apply_adjoint(self, x: Array) -> Array:
        return super()._apply_adjoint(x) if self._rmatvec is None else self._rmatvec(x)


@checked
def as_operator(
    source: Any, n: int | None = None, *, like: Any = None, kind: Kind | None = None, tolerance: float | None = None
) -> Operator:
    """Convert a matrix or an operator of any common kind to an `Operator`.

    Parameters
    ----------
    source : object
        An `Operator` (returned as it is), a dense array (nested sequences too), a scipy.sparse matrix or array, a
        torch tensor (dense or sparse) or JAX, CuPy or Dask array, a SciPy LinearOperator, a PyLops operator, any object
        with `shape` and `matvec` (and, if it can, `rmatvec` and `dtype`), or, with `n`, a function x -> A x.
    n : int, optional
        Size of a square operator that is given by a function.
    like : array, optional
        An example of the vectors that a function or an object with `matvec` takes: their array library, device and
        precision (`Space.of`). Default: NumPy in double precision.
    kind : "curvature" or "jacobian", optional
        What the matrix is, if the caller knows; it decides how much asymmetry counts as rounding (`MatrixOperator`).
    tolerance : float, optional
        The asymmetry that counts as rounding; 0 leaves data unchanged.

    Returns
    -------
    Operator
        Products stay in the array library, on the device and in the precision of the source. CuPy takes the same path
        as the others but has not been tested.

    Raises
    ------
    InvalidType
        If the object is none of these, or its entries are not numbers.
    InvalidInput
        If it is empty or not two-dimensional.
    NotFinite
        If an entry is NaN or infinite.

    Examples
    --------
    >>> import surefoot as sf
    >>> sf.operators.as_operator([[2, 1], [1, 3]])
    MatrixOperator(shape=(2, 2))
    """
    if isinstance(source, Operator):
        return source
    if hasattr(source, "matvec") and hasattr(source, "shape"):
        return _from_duck(source, like)
    if n is not None and callable(source):
        product: Callable[..., Any] = source
        return LinearMap((n, n), product, None, _dtype_like(like), like=like)
    if compat.is_dask_array(source):
        return OutOfCore(source, kind=kind)
    if compat.is_array_api_obj(source) and not compat.is_numpy_array(source):
        return ArrayMatrix(source, kind=kind, tolerance=tolerance)
    if isinstance(source, np.ndarray | list | tuple) or hasattr(source, "tocsr") or hasattr(source, "__array__"):
        return MatrixOperator(source, kind=kind, tolerance=tolerance)
    raise InvalidType(
        f"cannot use a {type(source).__name__} as a linear operator; give an array, a scipy.sparse matrix, "
        "a LinearOperator, an object with shape and matvec, or a function and its size: as_operator(f, n)"
    )


def _dtype_like(like: Any) -> Any:
    return np.complex128 if like is not None and Space.of(like).complex else np.float64


def _from_duck(source: Any, like: Any) -> LinearMap:
    m, n = check_matrix_shape(source.shape)
    products = source.matvec, getattr(source, "rmatvec", None)
    if like is not None:
        return LinearMap((m, n), *products, _dtype_like(like), like=like)
    # SciPy's LinearOperator has dtype None when it was made of functions without one
    dtype = np.dtype(np.float64 if getattr(source, "dtype", None) is None else source.dtype)
    # an operator of integers multiplies in double precision
    precision = float(np.finfo(dtype if dtype.kind in "fc" else np.float64).eps)
    return LinearMap((m, n), *products, dtype, precision=precision)


def _check(matrix: Matrix) -> Matrix:
    """The matrix as an array or in CSR format, its dtype unchanged; refused unless all entries are finite numbers."""
    refuse_mask(matrix, "the matrix")
    if hasattr(matrix, "tocsr"):
        matrix = matrix.tocsr()
        values = matrix.data
    else:
        try:
            matrix = values = np.asarray(matrix)
        except (ValueError, RuntimeError) as error:  # rows of unequal length, a tensor that requires grad
            raise InvalidInput(f"cannot read this as a matrix: {error}") from error
    check_matrix_shape(matrix.shape)
    if values.dtype.kind not in "buifc":
        raise InvalidType(f"matrix entries must be numbers; got dtype {values.dtype}")
    refuse_nonfinite(int(np.count_nonzero(~np.isfinite(values))), values.size)
    return matrix
