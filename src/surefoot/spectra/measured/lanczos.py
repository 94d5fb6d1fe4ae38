"""The Lanczos recurrence, one product at a time, with a stored basis or without."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surefoot.errors import InvalidInput, NotRepeatable, NotSymmetric
from surefoot.operators import Array, Operator, Space
from surefoot.spectra.measured._basis import Basis

__all__ = ["MAX_BASIS_BYTES", "ROWS", "SLACK", "Lanczos", "not_linear", "random_unit"]

# What a basis may take unless told otherwise. Memory is one reason; the other is that orthogonalising against a larger
# one costs more than it saves: on a transformer of 9.8 million parameters 40 products with a basis took 490 gradients
# of processor time, 47 without took 122.
MAX_BASIS_BYTES = 2**30
# Rounding errors of one product by which both ends of an interval are widened. A product of n terms is off by a few of
# them, and so is a Ritz value of an orthonormal basis.
SLACK = 16
# Without a basis T gathers errors: its eigenvalues were seen up to 3 sqrt(steps) rounding errors outside the spectrum
# (eight spectra of 400 eigenvalues, 10 to 640 steps, float32 and float64).
GROWTH = 4
# Steps in which symmetry is looked for without a basis. Vectors are still random and show it at once; later, where
# beta is small, neighbours are orthogonal to less than rounding and no longer tell.
CHECKED = 8
# A basis is begun where so many vectors fit: 1% intervals took 15 to 100 products on everything measured so far.
ROWS = 128


class Lanczos:
    """A V = V T + residual, extended by one product per `advance`.

        beta_k v_(k+1) = A v_k - alpha_k v_k - beta_(k-1) v_(k-1),    T tridiagonal with alpha and beta

    Vectors stay in the operator's space: its array library, device and precision. Only the entries of T come to the
    host. With a stored basis each new vector is orthogonalised against all others twice, so T stays accurate to a few
    rounding errors. Without one three vectors are kept. Orthogonality is then lost once a Ritz value has converged,
    and the computed T is, to rounding, that of an exact run on a larger matrix whose eigenvalues are tiny clusters
    about those of A (Greenbaum 1989): the ends are as right, copies of converged Ritz values cost some more products,
    and there are no Ritz vectors but by a second run.

    Parameters
    ----------
    operator : Operator, shape (n, n)
        Symmetric or Hermitian; asymmetry is found from coefficients that symmetry makes zero, at no extra product.
    start : array, shape (n,)
        Unit vector.
    max_memory : int
        Bytes that the basis may take. Where 128 vectors do not fit none is stored; where more turn out to be needed
        than fit, it is let go and the run continues without.
    size : float
        What the rounding of a product is relative to, if that is more than the products themselves: max |lambda| of the
        operator of which this one is what is left beside some vectors.

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
        self._let_go = False
        self._store(self._start)

    @property
    def steps(self) -> int:
        """Products so far."""
        return len(self.alphas)

    @property
    def stored(self) -> bool:
        """Whether the basis is at hand."""
        return self._basis is not None

    @property
    def complete(self) -> bool:
        """Whether the basis spans the whole space: then T has all that A has."""
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
        if self._let_go:
            # T of a run that was orthogonalised in part does not repeat without: make one that does
            run = Lanczos(self.operator, self._start, max_memory=0, size=self.size)
            while run.steps < self.steps and not run.exhausted:
                run.advance()
            return run.ritz_pairs(top)
        return chosen, self._second_run(rows)

    @property
    def scale(self) -> float:
        """A lower estimate of max |lambda|, from the entries of T; at least `size`."""
        return max(map(abs, [self.size, *self.alphas, *self.betas]))

    @property
    def precision(self) -> float:
        """The relative rounding error of one product: that of the operator or of the vectors."""
        return max(self.operator.precision, self.space.eps)

    @property
    def rounding(self) -> float:
        """What rounding may have moved a Ritz value by, relative to max |lambda|."""
        errors = SLACK if self.stored else max(SLACK, GROWTH * math.sqrt(self.steps))
        return errors * self.precision

    def advance(self) -> None:
        """One more product.

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
        """One product on a combination of the last two vectors, against what linearity makes it.

            A (v_1 - 2 v_2) = alpha_1 v_1 + beta_1 v_2 - 2 (beta_1 v_1 + alpha_2 v_2 + beta_2 v_3)

        Called after the second step, whose right-hand side costs nothing; v_1 is random.
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
            self._basis, self._let_go = None, True
            return
        basis.append(row)
        # the stored row, so that a vector is not kept twice
        self._current = basis[basis.rows - 1]

    def _orthogonalise(self, product: Array, basis: Basis) -> tuple[float, Array]:
        """alpha, and what is left of a product beside the basis."""
        k = self.steps
        coefficients = basis.project(product)
        residual = basis.subtract(product, coefficients)
        residual = basis.subtract(residual, basis.project(residual))
        seen = self.space.host(coefficients)
        expected = np.zeros(k + 1, dtype=seen.dtype)
        # T must come out tridiagonal and Hermitian; what else is in the coefficients is asymmetry
        expected[k] = seen[k].real
        if k:
            expected[k - 1] = self.betas[-1]
        self._check_symmetry(float(np.abs(seen - expected).max()), product)
        # a matrix product may round more than a sum does (TF32, running sums); alpha goes into T
        alpha = seen[k] if self.space.on_numpy else self.space.inner(self._current, product)
        return float(alpha.real), residual

    def _three_terms(self, product: Array) -> tuple[float, Array]:
        """alpha, and what the three-term recurrence leaves of a product.

        Without a basis symmetry shows in one coefficient: <v_(k-1), A v_k> must be beta_(k-1), as long as neighbours
        are orthogonal.
        """
        space = self.space
        previous, residual = self._previous, None
        if previous is not None:
            if self.steps <= CHECKED:
                # each small residual magnifies rounding: neighbours that it has turned are not orthogonal, and tell
                # nothing
                turned = SLACK * self.precision * math.prod(self.scale / beta for beta in self.betas)
                gap = abs(space.inner(previous, product) - self.betas[-1])
                self._check_symmetry(gap / (1 + turned / math.sqrt(self.precision)), product)
            # the vector before the last is needed no more; the product may be the operator's own and is left alone
            residual = -self.betas[-1] * previous if previous is self._start or self._let_go else previous
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
        # the scale of T bounds the product's norm within a factor: a pass over the vector only where it matters
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
        """Combinations of the basis vectors, from the recurrence run again; rows of shape (k, steps)."""
        xp, vector, previous = self.space.xp, self._start, None
        found: list[Any] = [float(row[0]) * vector for row in rows]
        for j in range(self.steps - 1):
            residual = self.operator.matvec(vector) - self.alphas[j] * vector
            if previous is not None:
                residual = residual - self.betas[j - 1] * previous
            vector, previous = residual / self.betas[j], vector
            found = [sum_ + float(row[j + 1]) * vector for sum_, row in zip(found, rows, strict=True)]
        # without orthogonality the combination of unit vectors is no unit vector
        return xp.stack([v / self.space.norm(v) for v in found])


def not_linear(gap: float) -> InvalidInput:
    """The error for a map that does not keep a combination, off by `gap` of its size."""
    return InvalidInput(
        f"the operator is not linear: A(x - 2 y) and A x - 2 A y differ by {gap:.2g} of their size; leave out "
        "what does not depend on x, or give the Jacobian of a nonlinear map"
    )


def random_unit(space: Space, size: int, generator: np.random.Generator) -> Array:
    """A uniform vector on the unit sphere of R^n or C^n, drawn where it is used."""
    vector = space.normal(size, generator)
    return vector / (np.linalg.norm(vector) if space.on_numpy else space.norm(vector))
