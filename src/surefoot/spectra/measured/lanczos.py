"""The Lanczos recurrence with full reorthogonalisation, one product at a time."""

import math

import numpy as np
from numpy.typing import NDArray

from surefoot.errors import NotRepeatable, NotSymmetric
from surefoot.operators import Array, Operator

__all__ = ["Lanczos", "random_unit"]

GROWTH = 32  # basis vectors allocated at a time
TINY = float(np.finfo(np.float64).tiny)


class Lanczos:
    """A V = V T + residual, extended by one product per `advance`.

    The basis is kept in float64 (complex128) and reorthogonalised against all of it twice, so T stays accurate whatever
    the precision of the products.

    Parameters
    ----------
    operator : Operator, shape (n, n)
        Symmetric or Hermitian; asymmetry is found from the coefficients that symmetry makes zero, at no extra product.
    start : array, shape (n,)
        Unit vector.
    """

    def __init__(self, operator: Operator, start: Array) -> None:
        self.operator = operator
        self.alphas: list[float] = []
        self.betas: list[float] = []
        self.exhausted = False
        self._ritz: NDArray[np.float64] | None = None
        self._rows = np.empty((GROWTH, start.size), dtype=operator.dtype)
        self._rows[0] = start

    @property
    def steps(self) -> int:
        """Products so far."""
        return len(self.alphas)

    @property
    def basis(self) -> Array:
        """Orthonormal rows, shape (steps, n)."""
        return self._rows[: self.steps]

    @property
    def ritz(self) -> NDArray[np.float64]:
        """Eigenvalues of T, ascending."""
        if self._ritz is None or self._ritz.size != self.steps:
            from scipy.linalg import eigvalsh_tridiagonal

            self._ritz = np.asarray(eigvalsh_tridiagonal(self.alphas, self.betas[:-1]), dtype=np.float64)
        return self._ritz

    def ritz_pairs(self) -> tuple[NDArray[np.float64], Array]:
        """Ritz values, ascending, and their unit vectors as rows of shape (steps, n)."""
        from scipy.linalg import eigh_tridiagonal

        values, weights = eigh_tridiagonal(self.alphas, self.betas[:-1])
        return np.asarray(values, dtype=np.float64), np.asarray(weights).T @ self.basis

    @property
    def scale(self) -> float:
        """A lower estimate of max |lambda|, from the entries of T."""
        return max(map(abs, [*self.alphas, *self.betas]), default=0.0)

    def advance(self) -> None:
        """One more product.

        Raises
        ------
        NotSymmetric
            If the operator turns out not to be symmetric.
        NotRepeatable
            If the same product gives two different answers.
        """
        k = self.steps
        product = self.operator.matvec(self._rows[k])
        basis = self._rows[: k + 1]
        coefficients = basis.conj() @ product
        residual = product - coefficients @ basis
        correction = basis.conj() @ residual
        residual -= correction @ basis
        self._check_symmetry(coefficients, product)

        self.alphas.append(float(coefficients[k].real))
        beta = norm(residual)
        # A residual at the rounding level of the product has no direction of its own.
        floor = max(8 * self.operator.precision * max(self.scale, beta), TINY)
        self.betas.append(max(beta, floor))
        self.exhausted = beta <= floor or k + 1 == residual.size
        if not self.exhausted:
            self._append(residual / beta)

    def _append(self, row: Array) -> None:
        if self.steps == len(self._rows):
            self._rows = np.concatenate(
                [self._rows, np.empty((max(GROWTH, self.steps // 2), row.size), self._rows.dtype)]
            )
        self._rows[self.steps] = row

    def _check_symmetry(self, coefficients: Array, product: Array) -> None:
        """T must come out tridiagonal and Hermitian; what else is in the coefficients is asymmetry."""
        k = self.steps
        expected = np.zeros(k + 1, dtype=self.operator.dtype)
        expected[k] = coefficients[k].real
        if k:
            expected[k - 1] = self.betas[-1]
        gap = float(np.abs(coefficients - expected).max())
        size = max(self.scale, norm(product))
        if gap <= math.sqrt(self.operator.precision) * size:
            return
        again = self.operator.matvec(self._rows[k])
        change = norm(again - product)
        if change > math.sqrt(self.operator.precision) * size:
            raise NotRepeatable(
                f"the same product gave two answers that differ by {change / size:.2g} of their size; "
                "make the operator deterministic (model.eval() for dropout, fixed batches)"
            )
        raise NotSymmetric(
            f"the operator is not symmetric (relative asymmetry {gap / size:.2g}); "
            "say symmetric=False for a Jacobian, or pass gram(A) for least squares"
        )


def norm(vector: Array) -> float:
    """Euclidean norm without under- or overflow of the squares."""
    largest = float(np.abs(vector).max())
    return 0.0 if largest == 0.0 else largest * float(np.linalg.norm(vector / largest))


def random_unit(size: int, generator: np.random.Generator, *, is_complex: bool) -> Array:
    """A uniform vector on the unit sphere of R^n or C^n."""
    vector: Array = generator.standard_normal(size)
    if is_complex:
        vector = vector + 1j * generator.standard_normal(size)
    return vector / np.linalg.norm(vector)
