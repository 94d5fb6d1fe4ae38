"""What every room asks of a linear map: its shape, its products and the facts known about it."""

import math
from abc import ABC, abstractmethod
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
    """A linear map A of shape (m, n), known by its products and by a few facts.

    Vectors live where the operator does, in its `space`: an array library (NumPy by default), a device and a precision.
    A product with an array of that library stays there; one with a NumPy array gives a NumPy array back, so SciPy's
    iterative routines take an instance as it is (``scipy.sparse.linalg.eigsh(operator)``), by its `shape`, `dtype`
    and `matvec`.

    Parameters
    ----------
    shape : (m, n)
        m rows, n columns, both positive.
    dtype : numpy dtype
        float64 or complex128: what products with NumPy arrays return.
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
    like : array, optional
        Vectors have its array library, device and precision (see `Space.of`); default NumPy in double precision.
    black_box : bool
        Whether products come from a function that nobody has checked: measurements then spend one product on a random
        combination, to see that it is linear.

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
        """The matrix itself, dense or sparse, where it is at hand; else None."""
        return None

    @property
    def note(self) -> str:
        """What was done to the data before it became this operator; empty where nothing was."""
        return ""

    @property
    def facts(self) -> dict[str, Any]:
        """What an operator made of this one takes over, as arguments: precision, scope, space, whether to check it."""
        return {"precision": self.precision, "scope": self.scope, "like": self.space, "black_box": self.black_box}

    @property
    def factor(self) -> "Operator | None":
        """The map F with A = F^H F where the operator is such a product; else None."""
        return None

    @property
    def complex(self) -> bool:
        """Whether products are complex."""
        return self.dtype.kind == "c"

    @property
    def namespace(self) -> Any:
        """The array namespace of vectors, as array-api-compat gives it."""
        return self.space.xp

    @property
    def device(self) -> Any:
        """Where vectors live, as their library spells it."""
        return self.space.device

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
        return self._check(self._apply, x, self.shape[1], self.shape[0])

    def rmatvec(self, x: Any) -> Any:
        """A^H x, the adjoint product; shapes as in `matvec` with m and n exchanged.

        Raises
        ------
        InvalidInput
            If x has another size or the operator has no adjoint.
        NotFinite
            If the product holds NaN or infinity.
        """
        return self._check(self._apply_adjoint, x, self.shape[0], self.shape[1])

    def __matmul__(self, x: Any) -> Any:
        return self.matvec(x)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape})"

    def _check(self, product: Any, x: Array, size: int, result_size: int) -> Array:
        space, own = self.space, self.space.holds(x)
        x = x if own else np.asarray(x)
        whole = result_size
        if own:
            size, result_size = space.entries(size), space.entries(result_size)
        if tuple(x.shape) not in ((size,), (size, 1)):
            raise InvalidInput(f"this product takes a vector of {size} entries; got shape {tuple(x.shape)}")
        vector = x.reshape(size)
        y = product(vector if space.on_numpy else space.asarray(vector))
        y = np.asarray(y) if space.on_numpy else space.asarray(y)
        if space.on_numpy and y.dtype in (np.float32, np.complex64):
            # a function of another library's, given without `like`, may compute in single precision
            self.precision = max(self.precision, float(np.finfo(np.float32).eps))
        if math.prod(y.shape) != space.entries(whole):
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
