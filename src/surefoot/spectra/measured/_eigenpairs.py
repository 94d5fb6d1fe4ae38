"""A few eigenpairs from one end of a spectrum, with error bounds."""

import sys
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from surefoot.checks import Fraction, Positive, checked
from surefoot.errors import InvalidInput
from surefoot.operators import Array, LinearMap, MatrixOperator, Operator, dense
from surefoot.records import Record
from surefoot.spectra._symmetric import symmetric_operator
from surefoot.spectra.measured._certificate import start_component, upper_bound
from surefoot.spectra.measured.ends import MAX_PRODUCTS
from surefoot.spectra.measured.lanczos import SLACK, Lanczos, random_unit
from surefoot.spectra.measured.spectrum import private_generator
from surefoot.spectra.types import Bounds

# A stored matrix is solved up to this size: a fraction of a second.
SOLVED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class EigenPairs(Record):
    """Approximate eigenpairs from one end of a spectrum.

    Parameters
    ----------
    values : array, shape (k,)
        Eigenvalues, from the end inwards.
    vectors : array, shape (n, k)
        Orthonormal columns.
    residuals : array, shape (k,)
        ||A v - value v||: within that distance of each value there is an eigenvalue (proved). That none was missed in
        between holds with high probability if `rest` lies below the last value.
    extreme : Bounds
        Interval of the outermost eigenvalue: proved on the inner side, probabilistic on the outer.
    rest : Bounds or None
        Interval of the next eigenvalue, from a fresh start orthogonal to these vectors: its outer end bounds all
        eigenvalues but these k (probabilistic), its inner end is an estimate. None for k = 1, if the budget ended
        before, or if there is no other eigenvalue.
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
    rest: Bounds | None = None

    def __str__(self) -> str:
        lines = [f"outermost eigenvalue in {self.extreme} ({self.products} products)"]
        lines += [f"  {v:<12.6g} +- {r:.2g}" for v, r in zip(self.values, self.residuals, strict=True)]
        return "\n".join([*lines, f"  {self.note}"] if self.note else lines)


@checked
def eigenpairs(
    operator: Any,
    k: int = 5,
    *,
    which: Literal["largest", "smallest"] = "largest",
    rtol: Positive = 0.01,
    failure: Fraction = 1e-6,
    max_products: int | None = None,
    rng: int | np.random.Generator = 0,
) -> EigenPairs:
    """The k algebraically largest (or smallest) eigenvalues of a symmetric operator, and their vectors.

        A v_i = theta_i v_i + r_i,    min_j |lambda_j - theta_i| <= ||r_i||

    Lanczos from a random start, until each residual is below rtol * max|theta| and the interval of the outermost
    eigenvalue is narrower than that. One start shows each eigenvalue once, whatever its multiplicity. So a fresh start
    follows, orthogonal to the vectors found so far, and another, until one finds nothing above the k-th value.

    Parameters
    ----------
    operator : matrix or operator, shape (n, n)
        Symmetric.
    k : int
        Number of pairs, at most n.
    which : "largest" or "smallest"
    rtol : float
        Tolerance of residuals and interval, relative to max |lambda|.
    failure : float
        Probability that the outermost interval misses.
    max_products : int, optional
        Budget; if it ends the run, the note says so.
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
    if max_products is not None and max_products < k:
        raise InvalidInput(f"max_products must be at least k = {k}; got {max_products!r}")
    if which == "smallest":
        # minus the largest of -A
        settings: dict[str, Any] = {"rtol": rtol, "failure": failure, "max_products": max_products, "rng": rng}
        pairs = eigenpairs(_negate(operator), k, **settings)
        rest = None if pairs.rest is None else -pairs.rest
        return replace(pairs, values=-pairs.values, extreme=-pairs.extreme, rest=rest)
    if operator.entries is not None and n <= SOLVED:
        return _solve(operator, k)
    generator = private_generator(rng)
    budget = MAX_PRODUCTS if max_products is None else max_products
    run, extreme, spent, converged = _run(operator, k, rtol, failure, min(n, budget), generator, probe=True)
    values, vectors = run.ritz_pairs(min(k, run.steps))
    pairs = EigenPairs(
        values=values[::-1].copy(),
        vectors=run.space.xp.flip(vectors, axis=0).T,
        residuals=_residuals(run, k),
        extreme=extreme,
        products=spent,
        note=_note(converged, spent),
    )
    size = run.scale
    # for k = 1 the interval of the first value already says that nothing lies above it
    while k > 1 and pairs.values.size < n and spent < budget:
        deflated = _Deflated(operator, pairs.vectors, size)
        wanted = k - pairs.values.size
        run, rest, more, converged = _run(deflated, max(wanted, 1), rtol, failure, budget - spent, generator)
        spent += more
        # Rayleigh quotients of new, orthogonal directions: including them can only raise the k-th value
        above = run.ritz.size if wanted > 0 else int((run.ritz > pairs.values[-1] + run.rounding * run.scale).sum())
        if not above or not converged or rest.upper <= rest.lower:
            # the inner end is a Ritz value of the compression, which is no bound for the operator itself
            rest = replace(rest, lower_is="estimate")
            return replace(pairs, rest=rest, products=spent, note=pairs.note or _note(converged, spent))
        pairs = _join(operator, pairs, run.ritz_pairs(min(above, k))[1], k, size)
        spent += pairs.products
        pairs = replace(pairs, products=spent)
    return pairs


def _run(
    operator: Operator,
    k: int,
    rtol: float,
    failure: float,
    budget: int,
    generator: np.random.Generator,
    *,
    probe: bool = False,
) -> tuple[Lanczos, Bounds, int, bool]:
    """Lanczos until the k outermost residuals and the interval of the first are below rtol, or the budget is spent."""
    n = operator.shape[0]
    start = random_unit(operator.space, n, generator)
    if isinstance(operator, _Deflated):
        start = operator.project(start)
        start = start / operator.space.norm(start)
    # the vectors are the result: their basis is stored whatever memory it takes
    size = operator.size if isinstance(operator, _Deflated) else 0.0
    run = Lanczos(operator, start, max_memory=sys.maxsize, size=size)
    delta = start_component(n, failure, is_complex=operator.complex)
    spent = 0
    while True:
        run.advance()
        spent += 1
        if probe and operator.black_box and run.steps == 2 and not run.exhausted:
            run.probe()
            spent += 1
        last = run.exhausted or spent >= budget
        if run.steps < k and not last:
            continue
        residuals = _residuals(run, k)
        extreme = _extreme(run, delta, failure)
        # relative to the operator itself, so that later pairs are as accurate as the first
        width = rtol * max(size, float(np.abs(run.ritz).max()))
        converged = residuals.size == k and bool((residuals <= width).all()) and extreme.width <= width
        if converged or last:
            return run, extreme, spent, converged or run.exhausted


class _Deflated(LinearMap):
    """(I - VV') A (I - VV'): the operator on the vectors orthogonal to those found.

    Its products have the rounding errors of A's, whose `size` is max |lambda|, however small its own eigenvalues are.
    """

    def __init__(self, operator: Operator, vectors: Array, size: float) -> None:
        self.size = size
        adjoint = operator.space.xp.conj(vectors).T
        self.project = lambda x: x - vectors @ (adjoint @ x)
        facts: dict[str, Any] = {**operator.facts, "black_box": False}
        super().__init__(
            operator.shape,
            lambda x: self.project(operator.matvec(self.project(x))),
            dtype=operator.dtype,
            symmetric=True,
            **facts,
        )


def _join(operator: Operator, pairs: EigenPairs, rows: Array, k: int, size: float) -> EigenPairs:
    """Rayleigh-Ritz on the vectors found so far and new directions together; `products` is the cost of this step.

    Products are rounded in proportion to the operator's `size`, max |lambda|, however small the values wanted are.
    """
    space = operator.space
    xp = space.xp
    basis = xp.linalg.qr(xp.concat([pairs.vectors, rows.T], axis=1))[0]
    images = xp.stack([operator.matvec(basis[:, i]) for i in range(basis.shape[1])], axis=1)
    small = space.host(xp.conj(basis).T @ images)
    values, weights = np.linalg.eigh((small + small.conj().T) / 2)
    values, weights = values[::-1][:k].copy(), weights[:, ::-1][:, :k]
    turn = weights if space.on_numpy else space.asarray(weights)
    vectors = basis @ turn
    scale = values if space.on_numpy else space.asarray(values)
    off = images @ turn - vectors * scale
    rounding = SLACK * max(operator.precision, space.eps) * max(size, float(np.abs(values).max()))
    residuals = np.array([space.norm(off[:, i]) for i in range(values.size)]) + rounding
    low = max(pairs.extreme.lower, float(values[0]) - rounding)
    extreme = replace(pairs.extreme, lower=low, upper=max(low, pairs.extreme.upper))
    return replace(
        pairs,
        values=values,
        vectors=vectors,
        residuals=residuals,
        extreme=extreme,
        products=int(basis.shape[1]),
        note="" if values.size == k else pairs.note,
    )


def _residuals(run: Lanczos, k: int) -> NDArray[np.float64]:
    """Residuals |beta s_k| of the outermost Ritz pairs, s_k the last component, plus the rounding of a product."""
    from scipy.linalg import eigh_tridiagonal

    _, vectors = eigh_tridiagonal(run.alphas, run.betas[:-1])
    last = np.abs(np.asarray(vectors)[-1])[::-1][:k]
    return np.asarray(run.betas[-1] * last + run.rounding * run.scale, dtype=np.float64)


def _extreme(run: Lanczos, delta: float, failure: float) -> Bounds:
    scale = max(run.size, float(np.abs(run.ritz).max()))
    slack = run.rounding * scale
    top = float(run.ritz[-1])
    if run.complete or scale == 0.0:
        return Bounds(top - slack, top + slack, "proved", "proved")
    upper = upper_bound(top, run.alphas, run.betas, delta, run.scale)
    return Bounds(top - slack, max(top, upper) + slack, "proved", "probabilistic", failure)


def _note(converged: bool, spent: int) -> str:
    return "" if converged else f"stopped after {spent} products: residuals or the interval wider than asked for"


def _solve(operator: Operator, k: int) -> EigenPairs:
    matrix = dense(operator.entries)
    values, vectors = np.linalg.eigh(matrix)
    values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
    residuals = np.linalg.norm(matrix @ vectors - vectors * values, axis=0)
    return EigenPairs(
        values=values.copy(),
        vectors=vectors.copy(),
        residuals=residuals,
        extreme=Bounds.exactly(float(values[0])),
        products=0,
    )


def _negate(operator: Operator) -> Operator:
    if operator.entries is not None and operator.space.on_numpy:
        return MatrixOperator(-operator.entries)
    return LinearMap(
        operator.shape,
        lambda x: -operator.matvec(x),
        dtype=operator.dtype,
        symmetric=operator.symmetric,
        **operator.facts,
    )
