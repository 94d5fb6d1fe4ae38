"""Linear changes of variables x = S z, given by the products that a problem needs: S z, S'g and S^-1 x."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.errors import InvalidInput, InvalidType
from surefoot.operators import Array, Operator, as_operator
from surefoot.problems._checks import real_vector

# A matrix with a larger condition number loses every digit of S^-1 x.
WORST_CONDITION = 1e15
# Residual, relative to |x|, that the iteration inverting an operator must reach.
INVERTED = 1e-9

Product = Callable[[Array], Array]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Change:
    """x = S z with S invertible.

    Parameters
    ----------
    name : str
        Name of the change.
    size : int
        Number of variables, old and new.
    apply, adjoint, invert : callable
        S z, S'g and S^-1 x, each from shape (size,) to (size,).
    matrix : array or sparse array, shape (size, size), or None
        S, if its entries are stored.
    block : Change or None
        If S acts alike on equal parts of z: the change of one part.
    """

    name: str
    size: int
    apply: Product
    adjoint: Product
    invert: Product
    matrix: Any = None
    block: "Change | None" = None

    def repeat(self, copies: int) -> "Change":
        """The change that does the same to each of `copies` equal parts."""
        if copies == 1:
            return self

        def on_each(product: Product) -> Product:
            return lambda v: np.concatenate([product(part) for part in v.reshape(copies, -1)])

        return Change(
            name=self.name,
            size=copies * self.size,
            apply=on_each(self.apply),
            adjoint=on_each(self.adjoint),
            invert=on_each(self.invert),
            block=self,
        )

    def then(self, inner: "Change") -> "Change":
        """The change x = S (T z), T being the inner one."""
        outer, part = self.block, inner.block
        both = outer is not None and part is not None and outer.size == part.size
        return Change(
            name=f"{self.name}, then {inner.name}",
            size=self.size,
            apply=lambda z: self.apply(inner.apply(z)),
            adjoint=lambda g: inner.adjoint(self.adjoint(g)),
            invert=lambda x: inner.invert(self.invert(x)),
            matrix=None if self.matrix is None or inner.matrix is None else self.matrix @ inner.matrix,
            block=outer.then(part) if both and outer and part else None,
        )

    def on_part(self, copies: int) -> "Change | None":
        """The change of one of `copies` equal parts, if that of all is the same; else None."""
        return self if copies == 1 else self.block


def by_scale(scale: Any, name: str, size: int) -> Change:
    """The change x_i = s_i z_i.

    Raises
    ------
    InvalidInput
        If a scale is zero, or there is another number of them.
    """
    s = real_vector(scale, size, "by")
    # a negative entry is allowed: it mirrors its axis
    if not s.all():
        raise InvalidInput(f"a scale must not be zero; entry {int(np.argmin(np.abs(s)))} is: x could not move along it")
    from scipy.sparse import diags_array

    return Change(
        name=name,
        size=size,
        apply=lambda z: s * z,
        adjoint=lambda g: s * g,
        invert=lambda x: x / s,
        matrix=diags_array(s).tocsr(),
    )


def by_centring(means: Array, scales: Array, name: str) -> Change:
    """The change w = s v, c = z_0 - m'w of coefficients w and constant c.

    The scores X w + c are those of (X - 1 m') diag(s) in the variables (v, z_0).
    """
    from scipy.sparse import csr_array

    d = means.size
    shift = means * scales
    both = np.arange(d)
    entries = np.concatenate([scales, [1.0], -shift])
    places = np.concatenate([both, [d], np.full(d, d)]), np.concatenate([both, [d], both])
    return Change(
        name=name,
        size=d + 1,
        apply=lambda z: np.append(scales * z[:-1], z[-1] - shift @ z[:-1]),
        adjoint=lambda g: np.append(scales * g[:-1] - shift * g[-1], g[-1]),
        invert=lambda x: np.append(x[:-1] / scales, x[-1] + means @ x[:-1]),
        matrix=csr_array((entries, places), shape=(d + 1, d + 1)),
    )


def by_matrix(matrix: Any, name: str, size: int) -> Change:
    """The change x = S z for a dense or sparse matrix.

    Raises
    ------
    InvalidInput
        If S is not square, of another size, or singular.
    """
    if matrix.shape != (size, size):
        raise InvalidInput(f"by must have shape ({size}, {size}) or ({size},); got {matrix.shape}")
    if hasattr(matrix, "tocsc"):
        return _by_sparse(matrix, name, size)
    from scipy.linalg import lu_factor, lu_solve

    condition = float(np.linalg.cond(matrix))
    if not condition < WORST_CONDITION:
        raise InvalidInput(f"by must be invertible; its condition number is {condition:.2g}: some x are out of reach")
    factors = lu_factor(matrix)
    return Change(
        name=name,
        size=size,
        apply=lambda z: matrix @ z,
        adjoint=lambda g: matrix.T @ g,
        invert=lambda x: np.asarray(lu_solve(factors, x)),
        matrix=matrix,
    )


def _by_sparse(matrix: Any, name: str, size: int) -> Change:
    from scipy.sparse.linalg import splu

    try:
        factors = splu(matrix.tocsc())
    except RuntimeError as error:
        raise InvalidInput(f"by must be invertible; its factorisation says: {error}") from error
    return Change(
        name=name,
        size=size,
        apply=lambda z: matrix @ z,
        adjoint=lambda g: matrix.T @ g,
        invert=factors.solve,
        matrix=matrix,
    )


def by_upper_factor(upper: Any, name: str, size: int) -> Change:
    """The change x = R^-1 z for an upper triangular R, such as a Cholesky factor R'R of the curvature."""
    if hasattr(upper, "tocsc"):
        from scipy.sparse.linalg import splu

        # R is triangular: in natural order and without pivoting it is its own factorisation
        factors = splu(upper.tocsc(), permc_spec="NATURAL", diag_pivot_thresh=0.0)
        return Change(
            name=name,
            size=size,
            apply=factors.solve,
            adjoint=lambda g: factors.solve(g, trans="T"),
            invert=lambda x: upper @ x,
        )
    from scipy.linalg import solve_triangular

    return Change(
        name=name,
        size=size,
        apply=lambda z: np.asarray(solve_triangular(upper, z)),
        adjoint=lambda g: np.asarray(solve_triangular(upper, g, trans="T")),
        invert=lambda x: upper @ x,
        matrix=np.asarray(solve_triangular(upper, np.eye(size))),
    )


def by_operator(source: Any, name: str, size: int) -> Change:
    """The change x = S z for an operator with an adjoint product; S^-1 x is computed by iteration.

    Raises
    ------
    InvalidInput
        If S is not square or of another size; from `invert`, if an x is out of reach.
    InvalidType
        If S is complex.
    """
    operator = as_operator(source, tolerance=0.0)
    if operator.complex:
        raise InvalidType("by must be real; got complex entries")
    if operator.entries is not None:
        return by_matrix(operator.entries, name, size)
    if operator.shape != (size, size):
        raise InvalidInput(f"by must have shape ({size}, {size}) or ({size},); got {operator.shape}")
    return Change(
        name=name,
        size=size,
        apply=operator.matvec,
        adjoint=operator.rmatvec,
        invert=lambda x: _solve(operator, x),
    )


def _solve(operator: Operator, x: Array) -> Array:
    from scipy.sparse.linalg import LinearOperator, lsqr

    if not x.any():
        return np.zeros_like(x)
    products: Any = LinearOperator(operator.shape, operator.matvec, operator.rmatvec, dtype=operator.dtype)
    z = np.asarray(lsqr(products, x, atol=1e-15, btol=1e-15, conlim=0, iter_lim=20 * x.size + 100)[0])
    gap = float(np.linalg.norm(operator.matvec(z) - x) / np.linalg.norm(x))
    if not gap <= INVERTED:
        raise InvalidInput(
            f"could not solve S z = x by iteration (relative residual {gap:.1e}): S is singular or ill-conditioned; "
            "give its matrix, or start where S z is known"
        )
    return z
