"""The Lanczos recurrence, one product at a time, with or without a stored basis."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surefoot.errors import InvalidInput, NotRepeatable, NotSymmetric
from surefoot.operators import Array, Operator, Space
from surefoot.spectra.measured._basis import Basis

__all__ = ["MAX_BASIS_BYTES", "ROWS", "SLACK", "Lanczos", "not_linear", "random_unit"]

# Default memory of a basis. Orthogonalising against a larger one also costs more time than it saves: on a transformer
# of 9.8 million parameters 40 products with a basis took the processor time of 490 gradients, 47 without one that of
# 122.
MAX_BASIS_BYTES = 2**30
# Both ends of an interval are widened by this many rounding errors of one product: a product of n terms is off by a
# few, and so is a Ritz value of an orthonormal basis.
SLACK = 16
# Without a basis T accumulates errors: its eigenvalues were seen up to 3 sqrt(steps) rounding errors outside the
# spectrum (eight spectra of 400 eigenvalues, 10 to 640 steps, float32 and float64).
GROWTH = 4
# Steps in which symmetry is tested without a basis. The vectors are still random and show asymmetry at once; later,
# once a beta has been small, neighbours are no longer orthogonal to rounding and the test would mislead.
CHECKED = 8
# A basis is stored if so many vectors fit: 1% intervals took 15 to 100 products on everything measured so far.
ROWS = 128


class Lanczos:
    """A V = V T + residual, extended by one product per `advance`.

        beta_k v_(k+1) = A v_k - alpha_k v_k - beta_(k-1) v_(k-1),    T tridiagonal with alpha and beta

    Vectors stay in the operator's space: its array library, device and precision. Only the entries of T come to the
    host. With a stored basis each new vector is orthogonalised twice against all others, so T stays accurate to a few
    rounding errors. Without one three vectors are kept. Orthogonality is then lost when a Ritz value has converged, and
    the computed T is, to rounding, that of an exact run on a larger matrix whose eigenvalues are tiny clusters about
    those of A (Greenbaum 1989): the ends are as accurate, copies of converged Ritz values cost a few more products, and
    Ritz vectors need a second run.

    Parameters
    ----------
    operator : Operator, shape (n, n)
        Symmetric or Hermitian; asymmetry is detected, without a further product, in coefficients that should be zero.
    start : array, shape (n,)
        Unit vector.
    max_memory : int
        Bytes that the basis may take. If 128 vectors do not fit none is stored; if more turn out to be needed than
        fit, the basis is dropped and the run continues without one.
    size : float
        The scale of rounding errors, if larger than the products themselves: for a deflated operator, max |lambda| of
        the operator before deflation.

    References
    ----------
    C. C. Paige, Accuracy and effectiveness of the Lanczos algorithm for the symmetric eigenproblem, Linear Algebra
    Appl. 34 (1980) 235-258; A. Greenbaum, Behavior of slightly perturbed Lanczos and conjugate-gradient recurrences,
    Linear Algebra Appl. 113 (1989) 7-63.
    """

    def __init__(
        self, operator: Operator, start: Array, *, max_memory: int = MAX_BASIS_BYTES, size: float = 0.0
    ) -> None:
        self.operator = operator
        self.size = size
        self.space: Space = operator.space
        self.alphas: list[float] = []
        self.betas: list[float] = []
        self.exhausted = False
        self.max_memory = max_memory
        self._ritz: NDArray[np.float64] | None = None
        self._start = self.space.asarray(start)
        self._previous: Array | None = None
        self._current: Array = self._start
        basis = Basis(self.space, operator.shape[0])
        fits = self.space.whole and basis.bytes_with(min(ROWS, basis.size)) <= max_memory
        self._basis: Basis | None = basis if fits else None
        self._dropped = False
        self._store(self._start)

    @property
    def steps(self) -> int:
        """Number of products so far."""
        return len(self.alphas)

    @property
    def stored(self) -> bool:
        """Whether the basis is stored."""
        return self._basis is not None

    @property
    def complete(self) -> bool:
        """Whether the basis spans the whole space, so that T has all eigenvalues of A."""
        return self.stored and self.steps == self.operator.shape[0]

    @property
    def ritz(self) -> NDArray[np.float64]:
        """Eigenvalues of T, ascending."""
        if self._ritz is None or self._ritz.size != self.steps:
            from scipy.linalg import eigvalsh_tridiagonal

            self._ritz = np.asarray(eigvalsh_tridiagonal(self.alphas, self.betas[:-1]), dtype=np.float64)
        return self._ritz

    def ritz_pairs(self, top: int | None = None) -> tuple[NDArray[np.float64], Array]:
        """Ritz values, ascending, and their unit vectors as rows in the operator's space.

        Parameters
        ----------
        top : int, optional
            Only so many of the largest.

        Returns
        -------
        values : array, shape (k,)
        vectors : array, shape (k, n)
            Without a stored basis they come from the same recurrence run once more, as many products.
        """
        from scipy.linalg import eigh_tridiagonal

        values, weights = eigh_tridiagonal(self.alphas, self.betas[:-1])
        first = 0 if top is None else max(0, self.steps - top)
        chosen, rows = np.asarray(values, dtype=np.float64)[first:], np.asarray(weights, dtype=np.float64).T[first:]
        if self._basis is not None:
            return chosen, self._basis.combine(rows)
        if top is None:
            raise InvalidInput("the basis was not stored; ask for a few vectors, or allow more max_memory")
        if self._dropped:
            # a run that was orthogonalised only at first cannot be repeated without the basis: run once without
            run = Lanczos(self.operator, self._start, max_memory=0, size=self.size)
            while run.steps < self.steps and not run.exhausted:
                run.advance()
            return run.ritz_pairs(top)
        return chosen, self._second_run(rows)

    @property
    def scale(self) -> float:
        """An estimate of max |lambda| from below, from the entries of T; at least `size`."""
        return max(map(abs, [self.size, *self.alphas, *self.betas]))

    @property
    def precision(self) -> float:
        """The relative rounding error of one product: the operator's or the vectors', whichever is larger."""
        return max(self.operator.precision, self.space.eps)

    @property
    def rounding(self) -> float:
        """Distance by which rounding may have moved a Ritz value, relative to max |lambda|."""
        errors = SLACK if self.stored else max(SLACK, GROWTH * math.sqrt(self.steps))
        return errors * self.precision

    def advance(self) -> None:
        """Make one more product.

        Raises
        ------
        NotSymmetric
            If the operator turns out not to be symmetric.
        NotRepeatable
            If the same product gives two different answers.
        """
        product = self.operator.matvec(self._current)
        if self._basis is None:
            alpha, residual = self._three_terms(product)
        else:
            alpha, residual = self._orthogonalise(product, self._basis)
        self.alphas.append(alpha)
        beta = self.space.norm(residual)
        # A residual at the rounding level of the product has no direction of its own.
        floor = max(8 * self.precision * max(self.scale, beta), self.space.tiny)
        self.betas.append(max(beta, floor))
        self.exhausted = beta <= floor or self.complete
        self._previous = self._current
        if not self.exhausted:
            residual /= beta
            self._current = residual
            self._store(residual)

    def probe(self) -> None:
        """Test linearity by one product with a combination of the first two vectors.

            A (v_1 - 2 v_2) = alpha_1 v_1 + beta_1 v_2 - 2 (beta_1 v_1 + alpha_2 v_2 + beta_2 v_3)

        For use after the second step, when the right-hand side is known; v_1 is random.
        """
        if self.steps != 2 or self.exhausted or self._previous is None:
            return
        first, second, third = self._start, self._previous, self._current
        (a1, a2), (b1, b2) = self.alphas, self.betas
        expected = (a1 - 2 * b1) * first + (b1 - 2 * a2) * second - (2 * b2) * third
        gap = self.space.norm(self.operator.matvec(first - 2 * second) - expected)
        size = abs(a1) + 4 * abs(b1) + 2 * abs(a2) + 2 * abs(b2)
        if gap > math.sqrt(self.precision) * size:
            raise not_linear(gap / size)

    def _store(self, row: Array) -> None:
        basis = self._basis
        if basis is None:
            return
        if basis.bytes_with(basis.rows + 1) > self.max_memory:
            self._basis, self._dropped = None, True
            return
        basis.append(row)
        # the stored row, so that a vector is not kept twice
        self._current = basis[basis.rows - 1]

    def _orthogonalise(self, product: Array, basis: Basis) -> tuple[float, Array]:
        """alpha, and the part of a product orthogonal to the basis."""
        k = self.steps
        coefficients = basis.project(product)
        residual = basis.subtract(product, coefficients)
        residual = basis.subtract(residual, basis.project(residual))
        seen = self.space.host(coefficients)
        expected = np.zeros(k + 1, dtype=seen.dtype)
        # symmetry makes T tridiagonal and Hermitian; anything else in the coefficients is asymmetry
        expected[k] = seen[k].real
        if k:
            expected[k - 1] = self.betas[-1]
        self._check_symmetry(float(np.abs(seen - expected).max()), product)
        # a matrix product may round more than a sum does (TF32, running sums), and alpha goes into T
        alpha = seen[k] if self.space.on_numpy else self.space.inner(self._current, product)
        return float(alpha.real), residual

    def _three_terms(self, product: Array) -> tuple[float, Array]:
        """alpha, and the residual of the three-term recurrence.

        Without a basis symmetry shows in one coefficient: <v_(k-1), A v_k> must be beta_(k-1), as long as neighbours
        are orthogonal.
        """
        space = self.space
        previous, residual = self._previous, None
        if previous is not None:
            if self.steps <= CHECKED:
                # each small residual magnifies rounding, so that neighbours may not be orthogonal and show asymmetry
                # where there is none
                turned = SLACK * self.precision * math.prod(self.scale / beta for beta in self.betas)
                gap = abs(space.inner(previous, product) - self.betas[-1])
                self._check_symmetry(gap / (1 + turned / math.sqrt(self.precision)), product)
            # the vector before the last is overwritten; the product may belong to the operator and is not
            residual = -self.betas[-1] * previous if previous is self._start or self._dropped else previous
            if residual is previous:
                residual *= -self.betas[-1]
            residual = space.plus(residual, 1.0, product)
        alpha = space.inner(self._current, product if residual is None else residual)
        self._check_symmetry(abs(alpha.imag), product)
        if residual is None:
            return float(alpha.real), product - float(alpha.real) * self._current
        return float(alpha.real), space.plus(residual, -float(alpha.real), self._current)

    def _check_symmetry(self, gap: float, product: Array) -> None:
        tolerance = math.sqrt(self.precision)
        # the scale of T is close to the product's norm: the norm itself is computed only if the test may fail
        if gap <= tolerance * self.scale:
            return
        size = max(self.scale, self.space.norm(product))
        if gap <= tolerance * size:
            return
        change = self.space.norm(self.operator.matvec(self._current) - product)
        if change > tolerance * size:
            raise NotRepeatable(
                f"the same product gave two answers that differ by {change / size:.2g} of their size; "
                "make the operator deterministic (model.eval() for dropout, fixed batches)"
            )
        raise NotSymmetric(
            f"the operator is not symmetric (relative asymmetry {gap / size:.2g}); "
            "say symmetric=False for a Jacobian, or pass gram(A) for least squares"
        )

    def _second_run(self, rows: NDArray[np.float64]) -> Array:
        """Unit combinations of the basis vectors, by running the recurrence again; `rows` has shape (k, steps)."""
        xp, vector, previous = self.space.xp, self._start, None
        sums: list[Any] = [float(row[0]) * vector for row in rows]
        for j in range(self.steps - 1):
            residual = self.operator.matvec(vector) - self.alphas[j] * vector
            if previous is not None:
                residual = residual - self.betas[j - 1] * previous
            vector, previous = residual / self.betas[j], vector
            sums = [total + float(row[j + 1]) * vector for total, row in zip(sums, rows, strict=True)]
        # the basis is not orthogonal, so the combinations are not unit vectors
        return xp.stack([v / self.space.norm(v) for v in sums])


def not_linear(gap: float) -> InvalidInput:
    """The error for a map that is not linear: a combination of products is off by `gap` of its size."""
    return InvalidInput(
        f"the operator is not linear: A(x - 2 y) and A x - 2 A y differ by {gap:.2g} of their size; leave out "
        "what does not depend on x, or give the Jacobian of a nonlinear map"
    )


def random_unit(space: Space, size: int, generator: np.random.Generator) -> Array:
    """A uniformly distributed unit vector of R^n or C^n, drawn on the device."""
    vector = space.normal(size, generator)
    return vector / (np.linalg.norm(vector) if space.on_numpy else space.norm(vector))
