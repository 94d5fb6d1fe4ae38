"""Gram products, shifts and symmetric scalings of operators."""

from typing import Any

import numpy as np

from surefoot.checks import checked, real_array
from surefoot.errors import InvalidInput, NotFinite
from surefoot.operators._adapters import LinearMap, MatrixOperator, as_operator
from surefoot.operators._base import Array, Operator
from surefoot.operators.space import Space


@checked
class Gram(Operator):
    """F^H F, given by its factor F and never formed; positive semidefinite."""

    def __init__(self, factor: Operator) -> None:
        n = factor.shape[1]
        super().__init__((n, n), factor.dtype, psd=True, kind="curvature", **factor.facts)
        self._factor = factor

    @property
    def factor(self) -> Operator:
        return self._factor

    def _apply(self, x: Array) -> Array:
        return self._factor.gram_product(x)


@checked
class Shifted(Operator):
    """A + diag(d), given by A and d."""

    def __init__(self, base: Operator, diagonal: Any) -> None:
        super().__init__(
            base.shape,
            base.dtype,
            symmetric=base.symmetric,
            psd=base.psd and bool((diagonal >= 0).all()),
            kind=base.kind,
            **base.facts,
        )
        self.base = base
        self.diagonal = diagonal
        # a shift that was broadcast from a number is used as a number, without a vector of equal entries
        constant = isinstance(diagonal, np.ndarray) and diagonal.strides == (0,)
        self._along: Any = float(diagonal[0]) if constant else base.space.asarray(diagonal)

    @property
    def note(self) -> str:
        """What was changed in the base."""
        return self.base.note

    def _apply(self, x: Array) -> Array:
        return self.base.matvec(x) + self._along * x

    def _apply_adjoint(self, x: Array) -> Array:
        return self.base.rmatvec(x) + self._along * x


@checked
def gram(A: Any, weights: Any = None) -> Gram:
    """A^H A, or A^H W A with W = diag(weights), without forming it.

    Parameters
    ----------
    A : matrix or operator, shape (m, n)
        Anything `as_operator` takes; an operator needs an adjoint product.
    weights : array, shape (m,), or float, optional
        Nonnegative row weights; a number weights every row (1/m makes means of sums).

    Returns
    -------
    Gram
        Shape (n, n), marked positive semidefinite.

    Raises
    ------
    InvalidInput
        If the weights have another shape or a negative entry.
    NotFinite
        If a weight is NaN or infinite.
    """
    operator = as_operator(A, tolerance=0.0)
    return Gram(operator if weights is None else _weighted_rows(operator, weights))


@checked
def shifted(operator: Operator, shift: float | Array) -> Shifted:
    """A + shift I, or A + diag(shift) for a vector of shape (n,): ridge and coupled weight decay.

    Raises
    ------
    InvalidInput
        If the operator is not square or the shift has another shape.
    NotFinite
        If the shift is NaN or infinite.
    """
    return Shifted(operator, _diagonal(shift, operator, "shift"))


@checked
def scaled(operator: Operator, scale: float | Array) -> Operator:
    """D A D with D = diag(scale): feature scaling and symmetric preconditioning (scale = P^-1/2).

    D A D has the eigenvalues of D^2 A and so the step limits of an iteration that multiplies gradients by D^2.

    Raises
    ------
    InvalidInput
        If the operator is not square or the scale has another shape.
    NotFinite
        If the scale is NaN or infinite.

    Examples
    --------
    >>> from surefoot.operators import as_operator, scaled
    >>> scaled(as_operator([[4.0, 1.0], [1.0, 1.0]]), [0.5, 1.0]) @ [1.0, 0.0]  # Jacobi's D = diag(A)^(-1/2)
    array([1. , 0.5])
    """
    diagonal = operator.space.asarray(_diagonal(scale, operator, "scale"))
    return LinearMap(
        operator.shape,
        lambda x: diagonal * operator.matvec(diagonal * x),
        lambda x: diagonal * operator.rmatvec(diagonal * x),
        operator.dtype,
        symmetric=operator.symmetric,
        psd=operator.psd,
        kind=operator.kind,
        **operator.facts,
    )


def _weighted_rows(operator: Operator, weights: Any) -> Operator:
    values = _vector(weights, operator.shape[0], "weights")
    if (values < 0).any():
        raise InvalidInput(f"weights must be nonnegative; the least is {values.min():g}")
    root = np.sqrt(values)
    if operator.entries is None or not operator.space.on_numpy:
        along = operator.space.asarray(root)
        return LinearMap(
            operator.shape,
            lambda x: along * operator.matvec(x),
            lambda x: operator.rmatvec(along * x),
            operator.dtype,
            **operator.facts,
        )
    # with the entries at hand the product is again a matrix, which can be solved exactly
    if hasattr(operator.entries, "tocsr"):
        return MatrixOperator(operator.entries.multiply(root[:, None]))
    return MatrixOperator(root[:, None] * operator.entries)


def _vector(value: Any, size: int, name: str) -> Array:
    # an array of another library is copied to the host; anything else is read as numbers here
    foreign = hasattr(value, "dtype") and not isinstance(value, np.ndarray | np.generic)
    vector = real_array(Space.host_space().host(value) if foreign and not hasattr(value, "tocsr") else value, name)
    if vector.shape not in ((), (size,)):
        raise InvalidInput(f"{name} must be a number or have shape ({size},); got {vector.shape}")
    if not np.isfinite(vector).all():
        raise NotFinite(f"{name} holds NaN or infinity")
    return np.broadcast_to(vector, (size,))


def _diagonal(value: Any, operator: Operator, name: str) -> Any:
    """A diagonal for a square operator: a vector of its own space stays there, anything else becomes a NumPy array."""
    (size, columns), space = operator.shape, operator.space
    if size != columns:
        raise InvalidInput(f"needs a square operator; got shape {(size, columns)}")
    if space.on_numpy or not space.holds(value) or value.ndim == 0:
        return _vector(value, size, name)
    if tuple(value.shape) != (space.entries(size),):
        raise InvalidInput(f"{name} must be a number or have shape ({size},); got {tuple(value.shape)}")
    if not space.finite(value):
        raise NotFinite(f"{name} holds NaN or infinity")
    return value
