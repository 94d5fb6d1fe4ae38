"""The base class of linear maps: a shape, products with vectors and a few facts."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from operator import index
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from surefoot.errors import InvalidInput, InvalidType, NotFinite
from surefoot.operators.space import Space

Array = NDArray[Any]
# A dense array or any scipy.sparse matrix or array: explicit entries. SciPy's classes are not imported for a hint.
Matrix = Any
Kind = Literal["curvature", "jacobian"]


class Operator(ABC):
    """A linear map A of shape (m, n), given by its products and a few facts.

    Vectors belong to the operator's `space`: an array library (NumPy by default), a device and a precision.
    The product with an array of that library stays there; with a NumPy array it is a NumPy array, so SciPy's
    iterative routines accept an instance (``scipy.sparse.linalg.eigsh(operator)``) by its `shape`, `dtype`
    and `matvec`.

    Parameters
    ----------
    shape : (m, n)
        m rows, n columns, both positive.
    dtype : numpy dtype
        float64 or complex128: what products with NumPy arrays return.
    symmetric : bool or None
        True for a symmetric or Hermitian map, None if it is not known.
    psd : bool
        True if all eigenvalues are known to be >= 0 (a Gram matrix, a convex problem's Hessian).
    kind : "curvature", "jacobian" or None
        What the eigenvalues mean; None when the operator does not say.
    precision : float
        Relative rounding error of one product: the eps of the arithmetic inside it (float32 products: 1.2e-7).
    scope : "global" or "local"
        "local" for a Hessian at one point of a function that is not quadratic.
    like : array, optional
        Vectors have its array library, device and precision (see `Space.of`); default NumPy in double precision.
    black_box : bool
        Whether products come from a function that was not checked: measurements then spend one product on a random
        combination to test that it is linear.

    Examples
    --------
    >>> from surefoot.operators import as_operator
    >>> A = as_operator([[2.0, 1.0], [1.0, 3.0]])  # what `spectrum` and every solver work with
    >>> A @ [1.0, 0.0], A.symmetric
    (array([2., 1.]), True)
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
        like: Any = None,
        black_box: bool = False,
    ) -> None:
        try:
            m, n = (index(size) for size in shape)
        except (TypeError, ValueError) as error:
            raise InvalidType(f"a shape is two whole numbers (m, n); got {shape!r}") from error
        if m < 1 or n < 1:
            raise InvalidInput(f"an operator needs at least one row and one column; got shape {(m, n)}")
        self.shape = (m, n)
        is_complex = np.dtype(dtype).kind == "c"
        self.space = Space.host_space(is_complex=is_complex) if like is None else _space(like)
        self.dtype = np.dtype(np.complex128 if is_complex or self.space.complex else np.float64)
        self.symmetric = True if psd else symmetric
        self.psd = psd
        self.kind: Kind | None = kind
        # a product is no more precise than the vectors that it returns
        self.precision = max(float(precision), self.space.eps)
        self.scope: Literal["global", "local"] = scope
        self.black_box = black_box

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
        """The matrix itself, dense or sparse, if it is stored; else None."""
        return None

    @property
    def note(self) -> str:
        """What was changed in the data that the operator was made from; empty if nothing was."""
        return ""

    @property
    def facts(self) -> dict[str, Any]:
        """Arguments for an operator built from this one: its precision, scope, space and `black_box`."""
        return {"precision": self.precision, "scope": self.scope, "like": self.space, "black_box": self.black_box}

    @property
    def factor(self) -> "Operator | None":
        """The map F if the operator is a product A = F^H F; else None."""
        return None

    @property
    def complex(self) -> bool:
        """Whether products are complex."""
        return self.dtype.kind == "c"

    def matvec(self, x: Any) -> Any:
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
        return self._multiply(self._apply, x, self.shape[1], self.shape[0])

    def rmatvec(self, x: Any) -> Any:
        """A^H x, the adjoint product; shapes as in `matvec` with m and n exchanged.

        Raises
        ------
        InvalidInput
            If x has another size or the operator has no adjoint.
        NotFinite
            If the product holds NaN or infinity.
        """
        return self._multiply(self._apply_adjoint, x, self.shape[0], self.shape[1])

    def gram_product(self, x: Any) -> Any:
        """A^H A x, for x as in `matvec`: both products, at the cost of one where they can share what they read."""
        return self.rmatvec(self.matvec(x))

    def __matmul__(self, x: Any) -> Any:
        return self.matvec(x)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape})"

    def _multiply(self, product: Any, x: Array, size: int, full_size: int) -> Array:
        """The product, brought to the space and checked; x and the result keep the caller's library and shape."""
        space, own = self.space, self.space.holds(x)
        x = x if own else np.asarray(x)
        # where vectors are sharded, a vector of the space is this process's part; a NumPy vector is the whole
        result_size = full_size
        if own:
            size, result_size = space.entries(size), space.entries(result_size)
        if tuple(x.shape) not in ((size,), (size, 1)):
            raise InvalidInput(f"this product takes a vector of {size} entries; got shape {tuple(x.shape)}")
        vector = x.reshape(size)
        y = product(vector if space.on_numpy else space.asarray(vector))
        y = np.asarray(y) if space.on_numpy else space.asarray(y)
        if space.on_numpy and y.dtype in (np.float32, np.complex64):
            # a function given without `like` may compute in single precision all the same
            self.precision = max(self.precision, float(np.finfo(np.float32).eps))
        if math.prod(y.shape) != space.entries(full_size):
            raise InvalidInput(f"the product returned shape {tuple(y.shape)}; expected ({result_size},)")
        if space.on_numpy:
            y = y.astype(self.dtype, copy=False)
        if not space.finite(y):
            bad = int(np.count_nonzero(~np.isfinite(space.host(y))))
            raise NotFinite(
                f"a product with {self!r} gave {bad} of {result_size} entries NaN or infinite; "
                "check the data and the point where it is evaluated"
            )
        return (y if own else space.host(y)).reshape((result_size, *x.shape[1:]))


def _space(like: Any) -> Space:
    return like if isinstance(like, Space) else Space.of(like)


def dense(matrix: Matrix) -> Array:
    """The entries of a dense or sparse matrix as an array."""
    return matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix)


def check_matrix_shape(shape: Sequence[int]) -> tuple[int, int]:
    """The shape of a matrix.

    Raises
    ------
    InvalidInput
        If there are not two dimensions, or one of them is 0.
    """
    if len(shape) != 2:
        raise InvalidInput(f"a matrix has two dimensions; got shape {tuple(shape)}")
    if 0 in shape:
        raise InvalidInput(f"the matrix is empty: shape {tuple(shape)}")
    return shape[0], shape[1]


def refuse_nonfinite(bad: int, size: int) -> None:
    """Refuse a matrix of `size` entries if `bad` of them, more than none, are NaN or infinite."""
    if bad:
        raise NotFinite(f"the matrix has {bad} NaN or infinite entries of {size}; drop or impute them")
