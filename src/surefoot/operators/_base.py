"""What every room asks of a linear map: its shape, its products and the facts known about it."""

from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from surefoot.errors import InvalidInput, NotFinite

__all__ = ["Array", "Kind", "Matrix", "Operator"]

Array = NDArray[Any]
# A dense array or any scipy.sparse matrix or array: explicit entries. SciPy's classes are not imported for a hint.
Matrix = Any
Kind = Literal["curvature", "jacobian"]


class Operator(ABC):
    """A linear map A of shape (m, n), known by its products and by a few facts.

    SciPy's iterative routines take an instance as it is (``scipy.sparse.linalg.eigsh(operator)``), by its
    `shape`, `dtype` and `matvec`.

    Parameters
    ----------
    shape : (m, n)
        m rows, n columns, both positive.
    dtype : numpy dtype
        float64 or complex128: what products return.
    symmetric : bool or None
        True for a symmetric or Hermitian map, None when nobody knows.
    psd : bool
        True if all eigenvalues are known to be >= 0 (a Gram matrix, a convex problem's Hessian).
    kind : "curvature", "jacobian" or None
        What the eigenvalues mean; None when the operator does not say.
    precision : float
        Relative rounding error of one product: the eps of the arithmetic inside it (float32 products: 1.2e-7).
    scope : "global" or "local"
        "local" for a Hessian at one point of a function that is not quadratic.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        dtype: Any = np.float64,
        *,
        symmetric: bool | None = None,
        psd: bool = False,
        kind: Kind | None = None,
        precision: float = float(np.finfo(np.float64).eps),
        scope: Literal["global", "local"] = "global",
    ) -> None:
        m, n = int(shape[0]), int(shape[1])
        if m < 1 or n < 1:
            raise InvalidInput(f"an operator needs at least one row and one column; got shape {(m, n)}")
        self.shape = (m, n)
        self.dtype = np.dtype(np.complex128 if np.dtype(dtype).kind == "c" else np.float64)
        self.symmetric = True if psd else symmetric
        self.psd = psd
        self.kind: Kind | None = kind
        self.precision = precision
        self.scope: Literal["global", "local"] = scope

    @abstractmethod
    def _apply(self, x: Array) -> Array:
        """A x for a vector x of shape (n,)."""

    def _apply_adjoint(self, x: Array) -> Array:
        """A^H x for a vector x of shape (m,)."""
        if self.symmetric:
            return self._apply(x)
        raise InvalidInput("this operator has no adjoint product; give it an rmatvec")

    @property
    def entries(self) -> Matrix | None:
        """The matrix itself, dense or sparse, where it is at hand; else None."""
        return None

    @property
    def note(self) -> str:
        """What was done to the data before it became this operator; empty where nothing was."""
        return ""

    @property
    def factor(self) -> "Operator | None":
        """The map F with A = F^H F where the operator is such a product; else None."""
        return None

    @property
    def complex(self) -> bool:
        """Whether products are complex."""
        return self.dtype.kind == "c"

    def matvec(self, x: Array) -> Array:
        """A x.

        Parameters
        ----------
        x : array, shape (n,) or (n, 1)

        Returns
        -------
        array, shape (m,) or (m, 1)

        Raises
        ------
        InvalidInput
            If x has another size.
        NotFinite
            If the product holds NaN or infinity.
        """
        return self._checked(self._apply, x, self.shape[1], self.shape[0])

    def rmatvec(self, x: Array) -> Array:
        """A^H x, the adjoint product; shapes as in `matvec` with m and n exchanged.

        Raises
        ------
        InvalidInput
            If x has another size or the operator has no adjoint.
        NotFinite
            If the product holds NaN or infinity.
        """
        return self._checked(self._apply_adjoint, x, self.shape[0], self.shape[1])

    def __matmul__(self, x: Array) -> Array:
        return self.matvec(x)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape})"

    def _checked(self, product: Any, x: Array, size: int, result_size: int) -> Array:
        x = np.asarray(x)
        if x.shape not in ((size,), (size, 1)):
            raise InvalidInput(f"this product takes a vector of {size} entries; got shape {x.shape}")
        y = np.asarray(product(x.reshape(size)))
        if y.size != result_size:
            raise InvalidInput(f"the product returned shape {y.shape}; expected ({result_size},)")
        y = y.astype(np.complex128 if self.complex else np.float64, copy=False)
        if not np.isfinite(y).all():
            bad = int(np.count_nonzero(~np.isfinite(y)))
            raise NotFinite(
                f"a product with {self!r} gave {bad} of {result_size} entries NaN or infinite; "
                "check the data and the point where it is evaluated"
            )
        return y.reshape((result_size, *x.shape[1:]))
