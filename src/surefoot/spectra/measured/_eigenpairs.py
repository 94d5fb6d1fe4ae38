"""A few eigenvalues from one end of a spectrum, with their vectors and how far each can be trusted."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from surefoot.errors import InvalidInput
from surefoot.operators import Array, LinearMap, MatrixOperator, Operator
from surefoot.spectra._symmetric import symmetric_operator
from surefoot.spectra.measured._certificate import start_component, upper_bound
from surefoot.spectra.measured.ends import MAX_PRODUCTS, SLACK
from surefoot.spectra.measured.lanczos import Lanczos, random_unit
from surefoot.spectra.measured.spectrum import private_generator
from surefoot.spectra.types import Bounds

__all__ = ["EigenPairs", "eigenpairs"]

# A matrix at hand is solved up to this size.
SOLVED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class EigenPairs:
    """Approximate eigenpairs from one end of a spectrum.

    Parameters
    ----------
    values : array, shape (k,)
        From the end inwards.
    vectors : array, shape (n, k)
        Orthonormal columns.
    residuals : array, shape (k,)
        ||A v - value v||: within that distance of each value there is an eigenvalue (proved). Not proved is that none
        was missed in between.
    extreme : Bounds
        On the outermost eigenvalue: proved on the inner side, probabilistic on the outer.
    products : int
    note : str
        What a reader should know.
    """

    values: NDArray[np.float64]
    vectors: Array
    residuals: NDArray[np.float64]
    extreme: Bounds
    products: int
    note: str = ""

    def __str__(self) -> str:
        lines = [f"outermost eigenvalue in {self.extreme} ({self.products} products)"]
        lines += [f"  {v:<12.6g} +- {r:.2g}" for v, r in zip(self.values, self.residuals, strict=True)]
        return "\n".join([*lines, f"  {self.note}"] if self.note else lines)


def eigenpairs(
    operator: Any,
    k: int = 5,
    *,
    which: Literal["largest", "smallest"] = "largest",
    rtol: float = 0.01,
    failure: float = 1e-6,
    max_products: int | None = None,
    rng: int | np.random.Generator = 0,
) -> EigenPairs:
    """The k algebraically largest (or smallest) eigenvalues of a symmetric operator, and their vectors.

        A v_i = theta_i v_i + r_i,    min_j |lambda_j - theta_i| <= ||r_i||

    Lanczos from one random start, until each residual is below rtol * max|theta| and the interval of the outermost
    eigenvalue is narrower than that. From one start an eigenvalue of any multiplicity shows once.

    Parameters
    ----------
    operator : matrix or operator, shape (n, n)
        Symmetric.
    k : int
        At most n.
    which : "largest" or "smallest"
    rtol : float
        Relative to max |lambda|.
    failure : float
        Probability that the outermost interval misses.
    max_products : int, optional
        Budget; when it ends the run first the note says so.
    rng : int or numpy Generator

    Returns
    -------
    EigenPairs

    Raises
    ------
    InvalidInput
        If the operator is not square or a number is out of range.
    NotSymmetric
        If the operator turns out not to be symmetric.

    References
    ----------
    B. N. Parlett, The symmetric eigenvalue problem, SIAM 1998, theorem 4.5.1 (residuals).

    Examples
    --------
    >>> import numpy as np
    >>> import surefoot as sf
    >>> sf.spectra.eigenpairs(np.diag([1.0, 5.0, 3.0]), 2).values
    array([5., 3.])
    """
    operator = symmetric_operator(operator)
    n = operator.shape[0]
    if not 1 <= k <= n:
        raise InvalidInput(f"k must be in 1..{n}, the size of the operator; got {k!r}")
    if which not in ("largest", "smallest"):
        raise InvalidInput(f"which must be 'largest' or 'smallest'; got {which!r}")
    if not rtol > 0 or not 0 < failure < 1:
        raise InvalidInput(f"rtol must be positive and failure in (0, 1); got {rtol!r} and {failure!r}")
    if max_products is not None and max_products < k:
        raise InvalidInput(f"max_products must be at least k = {k}; got {max_products!r}")
    if which == "smallest":
        return _mirrored(operator, k, rtol, failure, max_products, rng)
    if operator.entries is not None and n <= SOLVED:
        return _solved(operator, k)
    generator = private_generator(rng)
    run = Lanczos(operator, random_unit(n, generator, is_complex=operator.complex))
    delta = start_component(n, failure, is_complex=operator.complex)
    budget = min(n, MAX_PRODUCTS) if max_products is None else max_products
    while True:
        run.advance()
        last = run.exhausted or run.steps >= budget
        if run.steps < k and not last:
            continue
        residuals = _residuals(run, k)
        extreme = _extreme(run, delta, failure)
        size = rtol * float(np.abs(run.ritz).max())
        converged = residuals.size == k and bool((residuals <= size).all()) and extreme.width <= size
        if converged or last:
            return _found(run, k, residuals, extreme, converged)


def _residuals(run: Lanczos, k: int) -> NDArray[np.float64]:
    """|beta times last component|, from the outermost Ritz pair inwards, and the rounding of a product."""
    from scipy.linalg import eigh_tridiagonal

    _, vectors = eigh_tridiagonal(run.alphas, run.betas[:-1])
    last = np.abs(np.asarray(vectors)[-1])[::-1][:k]
    return np.asarray(run.betas[-1] * last + SLACK * run.operator.precision * run.scale, dtype=np.float64)


def _extreme(run: Lanczos, delta: float, failure: float) -> Bounds:
    scale = float(np.abs(run.ritz).max())
    slack = SLACK * run.operator.precision * scale
    top = float(run.ritz[-1])
    if run.steps == run.operator.shape[0] or scale == 0.0:
        return Bounds(top - slack, top + slack, "proved", "proved")
    upper = upper_bound(run.ritz, float(np.log(run.betas).sum()), delta, run.scale)
    return Bounds(top - slack, max(top, upper) + slack, "proved", "probabilistic", failure)


def _found(run: Lanczos, k: int, residuals: NDArray[np.float64], extreme: Bounds, converged: bool) -> EigenPairs:
    values, vectors = run.ritz_pairs()
    note = "" if converged else f"stopped after {run.steps} products: residuals or the interval wider than asked for"
    if values.size < k:
        note = f"the Krylov space has dimension {values.size}: fewer distinct eigenvalues than k seen"
    return EigenPairs(
        values=values[::-1][:k].copy(),
        vectors=vectors[::-1][:k].T.copy(),
        residuals=residuals,
        extreme=extreme,
        products=run.steps,
        note=note,
    )


def _solved(operator: Operator, k: int) -> EigenPairs:
    matrix: Any = operator.entries
    dense = matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix)
    values, vectors = np.linalg.eigh(dense)
    values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
    residuals = np.linalg.norm(dense @ vectors - vectors * values, axis=0)
    return EigenPairs(
        values=values.copy(),
        vectors=vectors.copy(),
        residuals=residuals,
        extreme=Bounds.exactly(float(values[0])),
        products=0,
    )


def _mirrored(
    operator: Operator,
    k: int,
    rtol: float,
    failure: float,
    max_products: int | None,
    rng: int | np.random.Generator,
) -> EigenPairs:
    """The smallest eigenvalues are minus the largest of -A."""
    minus = _negated(operator)
    found = eigenpairs(minus, k, rtol=rtol, failure=failure, max_products=max_products, rng=rng)
    e = found.extreme
    extreme = Bounds(-e.upper, -e.lower, e.upper_is, e.lower_is, e.failure)
    return replace(found, values=-found.values, extreme=extreme)


def _negated(operator: Operator) -> Operator:
    if operator.entries is not None:
        return MatrixOperator(-operator.entries)
    return LinearMap(
        operator.shape,
        lambda x: -operator.matvec(x),
        dtype=operator.dtype,
        symmetric=operator.symmetric,
        precision=operator.precision,
        scope=operator.scope,
    )
