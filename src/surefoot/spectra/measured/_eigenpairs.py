"""A few eigenvalues from one end of a spectrum, with their vectors and how far each can be trusted."""

import sys
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from surefoot.checks import Fraction, Positive, checked
from surefoot.errors import InvalidInput
from surefoot.operators import Array, LinearMap, MatrixOperator, Operator
from surefoot.records import Record
from surefoot.spectra._exact import dense
from surefoot.spectra._symmetric import symmetric_operator
from surefoot.spectra.measured._certificate import start_component, upper_bound
from surefoot.spectra.measured.ends import MAX_PRODUCTS
from surefoot.spectra.measured.lanczos import SLACK, Lanczos, random_unit
from surefoot.spectra.measured.spectrum import private_generator
from surefoot.spectra.types import Bounds

# A matrix at hand is solved up to this size.
SOLVED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class EigenPairs(Record):
    """Approximate eigenpairs from one end of a spectrum.

    Parameters
    ----------
    values : array, shape (k,)
        From the end inwards.
    vectors : array, shape (n, k)
        Orthonormal columns.
    residuals : array, shape (k,)
        ||A v - value v||: within that distance of each value there is an eigenvalue (proved). That none was missed in
        between holds with high probability, as far as `rest` lies below the last value.
    extreme : Bounds
        On the outermost eigenvalue: proved on the inner side, probabilistic on the outer.
    rest : Bounds or None
        On the next eigenvalue, from a start of its own on what is left beside these vectors: its outer end bounds all
        eigenvalues but k of them (probabilistic), its inner end is an estimate. None for k = 1, where the budget was
        over before, and where nothing is left.
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
    eigenvalue is narrower than that. From one start an eigenvalue of any multiplicity shows once. So a fresh start
    follows on what is left beside the vectors found, and another, until one finds nothing above the k-th value.

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
    if max_products is not None and max_products < k:
        raise InvalidInput(f"max_products must be at least k = {k}; got {max_products!r}")
    if which == "smallest":
        return _smallest_pairs(operator, k, rtol, failure, max_products, rng)
    if operator.entries is not None and n <= SOLVED:
        return _solve(operator, k)
    generator = private_generator(rng)
    budget = MAX_PRODUCTS if max_products is None else max_products
    run, extreme, spent, converged = _run(operator, k, rtol, failure, min(n, budget), generator, probe=True)
    found = _pairs_of(run, k, extreme, spent, converged)
    size = run.scale
    # the interval of the first value says already that nothing lies above it
    while k > 1 and found.values.size < n and spent < budget:
        beside = _Beside(operator, found.vectors, size)
        wanted = k - found.values.size
        run, rest, more, converged = _run(beside, max(wanted, 1), rtol, failure, budget - spent, generator)
        spent += more
        # the Rayleigh quotients of new, orthogonal directions: to take them in can only raise the k-th value
        above = run.ritz.size if wanted > 0 else int((run.ritz > found.values[-1] + run.rounding * run.scale).sum())
        if not above or not converged or rest.upper <= rest.lower:
            # the inner end is that of the compression, which has no eigenvalue below the next one of the operator
            rest = replace(rest, lower_is="estimate")
            return replace(found, rest=rest, products=spent, note=found.note or _note(converged, spent))
        found = _join(operator, found, run.ritz_pairs(min(above, k))[1], k, size)
        spent += found.products
        found = replace(found, products=spent)
    return found


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
    """Lanczos until the k outermost residuals and the interval of the first are below rtol, or the budget is over."""
    n = operator.shape[0]
    start = random_unit(operator.space, n, generator)
    if isinstance(operator, _Beside):
        start = operator.project(start)
        start = start / operator.space.norm(start)
    # the vectors are asked for: their basis is stored whatever it takes
    size = operator.size if isinstance(operator, _Beside) else 0.0
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
        # what is left beside others is wanted as accurately as they were
        width = rtol * max(size, float(np.abs(run.ritz).max()))
        converged = residuals.size == k and bool((residuals <= width).all()) and extreme.width <= width
        if converged or last:
            return run, extreme, spent, converged or run.exhausted


class _Beside(LinearMap):
    """(I - VV') A (I - VV'): what an operator is on the vectors orthogonal to those found.

    Its products are rounded like those of A, whose `size` is max |lambda|, even where nothing is left.
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


def _join(operator: Operator, found: EigenPairs, rows: Array, k: int, size: float) -> EigenPairs:
    """Rayleigh-Ritz on what was found and new directions together; `products` is what this cost.

    Products are rounded in proportion to the operator's `size`, max |lambda|, however small the values wanted are.
    """
    space = operator.space
    xp = space.xp
    basis = xp.linalg.qr(xp.concat([found.vectors, rows.T], axis=1))[0]
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
    low = max(found.extreme.lower, float(values[0]) - rounding)
    extreme = replace(found.extreme, lower=low, upper=max(low, found.extreme.upper))
    return replace(
        found,
        values=values,
        vectors=vectors,
        residuals=residuals,
        extreme=extreme,
        products=int(basis.shape[1]),
        note="" if values.size == k else found.note,
    )


def _residuals(run: Lanczos, k: int) -> NDArray[np.float64]:
    """|beta times last component|, from the outermost Ritz pair inwards, and the rounding of a product."""
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


def _pairs_of(run: Lanczos, k: int, extreme: Bounds, spent: int, converged: bool) -> EigenPairs:
    values, vectors = run.ritz_pairs(min(k, run.steps))
    return EigenPairs(
        values=values[::-1].copy(),
        vectors=run.space.xp.flip(vectors, axis=0).T,
        residuals=_residuals(run, k),
        extreme=extreme,
        products=spent,
        note=_note(converged, spent),
    )


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


def _smallest_pairs(
    operator: Operator,
    k: int,
    rtol: float,
    failure: float,
    max_products: int | None,
    rng: int | np.random.Generator,
) -> EigenPairs:
    """The smallest eigenvalues are minus the largest of -A."""
    minus = _negate(operator)
    found = eigenpairs(minus, k, rtol=rtol, failure=failure, max_products=max_products, rng=rng)
    return replace(
        found,
        values=-found.values,
        extreme=-found.extreme,
        rest=None if found.rest is None else -found.rest,
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
