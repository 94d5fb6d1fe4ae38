"""The Jacobian of y' = fun(t, y) at a point as an operator: analytic, by differences, or by products alone."""

from collections.abc import Callable
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.checks import checked, real_array
from surefoot.errors import InvalidInput, InvalidType, NotFinite, NotRepeatable
from surefoot.operators import Array, Matrix, MatrixOperator, Operator

__all__ = ["Fun", "Jacobian", "check_fun", "check_point", "check_sparsity", "evaluate_twice", "jacobian"]

Fun = Callable[[float, Any], ArrayLike]
Scheme = Literal["auto", "analytic", "dense", "sparse", "products"]

# Step of central differences, cbrt(eps): truncation and rounding balance at eps^(2/3) relative to fun.
RELATIVE_STEP = float(np.finfo(np.float64).eps) ** (1 / 3)
# Relative error of such a difference, with room for components of unequal size.
PRECISION = 1e-9
# A component below this share of the largest is displaced as if it were that large.
SMALLEST_SHARE = 1e-3
# Most columns that are formed by differences without a sparsity pattern; each costs two evaluations.
DENSE_LIMIT = 500
# Error of a difference quotient as a share of the largest entry of its row: eps over the relative step, times what a
# component below SMALLEST_SHARE loses. Asymmetry of that size is rounding.
NOISE = 1e-7


@checked
class Jacobian(Operator):
    """The derivative of a flow at a point; `evaluations` counts calls of fun so far.

    Made by `jacobian`.
    """

    def __init__(
        self,
        size: int,
        *,
        matrix: MatrixOperator | None = None,
        derivative: Callable[[Array], Array] | None = None,
        precision: float = PRECISION,
    ) -> None:
        symmetric = None if matrix is None else matrix.symmetric
        super().__init__((size, size), symmetric=symmetric, kind="jacobian", precision=precision, scope="local")
        self.evaluations = 0
        self._matrix = matrix
        self._derivative = derivative

    @property
    def entries(self) -> Matrix | None:
        """The matrix; None if only products are available."""
        return None if self._matrix is None else self._matrix.entries

    def _apply(self, x: Array) -> Array:
        if self._matrix is not None:
            return self._matrix.matvec(x)
        if self._derivative is None:
            raise InvalidInput("a Jacobian is made by surefoot.jacobian(fun, t, y)")
        return self._derivative(x)

    def _apply_adjoint(self, x: Array) -> Array:
        return super()._apply_adjoint(x) if self._matrix is None else self._matrix.rmatvec(x)


@checked
def jacobian(
    fun: Fun,
    t: float,
    y: ArrayLike,
    *,
    jac: Any = None,
    sparsity: Any = None,
    scheme: Scheme = "auto",
) -> Jacobian:
    """The Jacobian of y' = fun(t, y) at (t, y), for `surefoot.spectrum` and `surefoot.limits`.

    Parameters
    ----------
    fun : callable
        ``fun(t, y)`` returning an array of y's shape, as for ``scipy.integrate.solve_ivp``.
    t : float
    y : array, shape (n,)
    jac : callable or matrix, optional
        The analytic Jacobian: ``jac(t, y)`` or a constant matrix, dense or sparse, shape (n, n).
    sparsity : array or sparse matrix, shape (n, n), optional
        Nonzero where fun's component i may depend on y's component j: columns that share no row are differenced
        together (Curtis, Powell, Reid 1974), so a banded Jacobian costs a few evaluations whatever its size.
    scheme : str
        ``auto``: analytic if `jac` is given, sparse if `sparsity` is, dense up to 500 unknowns, else products. With
        products the Jacobian is never formed: each costs two evaluations of fun, and there is no adjoint.

    Returns
    -------
    Jacobian
        An `Operator` of kind "jacobian".

    Raises
    ------
    InvalidType
        If fun cannot be called.
    InvalidInput
        If fun or jac returns another shape, or the scheme lacks what it needs.
    NotFinite
        If fun or jac returns NaN or infinity.
    NotRepeatable
        If fun gives two different answers at the same point.

    Examples
    --------
    >>> import surefoot as sf
    >>> J = sf.jacobian(lambda t, y: [y[1], -y[0] - 0.2 * y[1]], 0.0, [1.0, 0.0])
    >>> print(f"{sf.limits(J, sf.methods.RK4()).stable:.4f}")
    2.9509
    """
    y = check_point(y)
    checked = check_fun(fun, y.size)
    evaluate_twice(checked, float(t), y)
    chosen = _choose(scheme, jac, sparsity, y.size)
    if chosen == "analytic":
        return _analytic(jac, float(t), y)
    calls = 2

    def count_calls(x: Array) -> Array:
        nonlocal calls
        calls += 1
        made.evaluations = calls
        return checked(float(t), x)

    steps = RELATIVE_STEP * np.maximum(np.abs(y), SMALLEST_SHARE * (np.abs(y).max(initial=0.0) or 1.0))
    if chosen == "products":
        made = Jacobian(y.size, derivative=_differentiator(count_calls, y))
    else:
        made = Jacobian(y.size)
        pattern = np.ones((y.size, y.size), dtype=bool) if chosen == "dense" else sparsity
        matrix = _differences(count_calls, y, steps, pattern, sparse=chosen == "sparse")
        made = Jacobian(y.size, matrix=MatrixOperator(matrix, kind="jacobian", tolerance=NOISE))
    made.evaluations = calls
    return made


def check_fun(fun: Fun, size: int) -> Callable[[float, Array], NDArray[np.float64]]:
    """Fun with its result converted to float64 and checked: shape (size,) and finite."""
    if not callable(fun):
        raise InvalidType(f"fun must be a function of (t, y); got {type(fun).__name__}")

    def call(t: float, y: Array) -> NDArray[np.float64]:
        value = real_array(fun(t, y), "what fun returns")
        if value.shape != (size,):
            raise InvalidInput(f"fun must return an array of y's shape ({size},); got shape {value.shape}")
        if not np.isfinite(value).all():
            bad = np.flatnonzero(~np.isfinite(value))
            raise NotFinite(
                f"fun returned NaN or infinity in {bad.size} of {size} components (first: {int(bad[0])}) at t={t:.6g}; "
                "check the point and the model's domain"
            )
        return value

    return call


def evaluate_twice(fun: Callable[[float, Array], NDArray[np.float64]], t: float, y: Array) -> NDArray[np.float64]:
    """The value of a checked fun at a point, evaluated twice: a fun with a memory has no Jacobian."""
    value = fun(t, y)
    if not np.array_equal(fun(t, y), value):
        raise NotRepeatable(
            "fun gave two different answers at the same point; it must depend on t and y alone (no counters, caches of "
            "previous calls, or random numbers)"
        )
    return value


def check_point(y: ArrayLike, name: str = "y") -> NDArray[np.float64]:
    """The state as a float64 vector; a copy."""
    point = real_array(y, name)
    if point.ndim != 1 or point.size == 0:
        raise InvalidInput(f"{name} must be a vector with at least one entry; got shape {point.shape}")
    if not np.isfinite(point).all():
        raise NotFinite(f"{name} has NaN or infinite entries")
    return point.copy()


def _choose(scheme: str, jac: Any, sparsity: Any, size: int) -> str:
    if scheme == "auto":
        if jac is not None:
            return "analytic"
        if sparsity is not None:
            return "sparse"
        return "dense" if size <= DENSE_LIMIT else "products"
    needed, given = {"analytic": ("jac", jac), "sparse": ("sparsity", sparsity)}.get(scheme, ("", size))
    if given is None:
        raise InvalidInput(f"scheme={scheme!r} needs {needed}")
    return scheme


def _analytic(jac: Any, t: float, y: Array) -> Jacobian:
    matrix = jac(t, y) if callable(jac) else jac
    operator = MatrixOperator(matrix, kind="jacobian")
    if operator.shape != (y.size, y.size):
        raise InvalidInput(f"jac must give a matrix of shape {(y.size, y.size)}; got {operator.shape}")
    return Jacobian(y.size, matrix=operator, precision=operator.precision)


def _differentiator(fun: Callable[[Array], Array], y: Array) -> Callable[[Array], Array]:
    """The map v to J v, by a central difference along v."""
    scale = float(np.linalg.norm(y)) or 1.0

    def derivative(v: Array) -> Array:
        size = float(np.linalg.norm(v))
        if size == 0:
            return np.zeros_like(y)
        step = RELATIVE_STEP * scale / size
        return (fun(y + step * v) - fun(y - step * v)) / (2 * step)

    return derivative


def check_sparsity(pattern: Any, size: int) -> Any:
    """A sparsity pattern as a matrix in CSC format."""
    from scipy.sparse import csc_array

    try:
        columns: Any = csc_array(pattern)
    except (TypeError, ValueError) as error:
        raise InvalidType(f"sparsity must be a matrix, sparse or dense: {error}") from error
    if columns.shape != (size, size):
        raise InvalidInput(f"sparsity must have shape {(size, size)}; got {columns.shape}")
    return columns


def _differences(
    fun: Callable[[Array], Array], y: Array, steps: NDArray[np.float64], pattern: Any, *, sparse: bool
) -> Matrix:
    from scipy.sparse import coo_array

    columns = check_sparsity(pattern, y.size)
    starts = np.asarray(columns.indptr)
    rows = np.asarray(columns.indices)
    groups = _groups(starts, rows, y.size) if sparse else np.arange(y.size)
    column_of = np.repeat(np.arange(y.size), np.diff(starts))
    values = np.empty(rows.size)
    for group in range(int(groups.max()) + 1):
        moved = np.where(groups == group, steps, 0.0)
        change = fun(y + moved) - fun(y - moved)
        entries = groups[column_of] == group
        values[entries] = change[rows[entries]] / (2 * steps[column_of[entries]])
    if not sparse:
        return values.reshape(y.size, y.size).T
    return cast(Matrix, coo_array((values, (rows, column_of)), shape=(y.size, y.size)).tocsr())


def _groups(starts: NDArray[Any], rows: NDArray[Any], size: int) -> NDArray[np.int64]:
    """Group numbers of the columns, greedily in order, such that no two columns of a group share a row."""
    taken: list[set[int]] = [set() for _ in range(size)]
    groups = np.empty(size, dtype=np.int64)
    bounds, indices = starts.tolist(), rows.tolist()
    for column in range(size):
        mine = indices[bounds[column] : bounds[column + 1]]
        group = 0
        while any(group in taken[row] for row in mine):
            group += 1
        groups[column] = group
        for row in mine:
            taken[row].add(group)
    return groups
