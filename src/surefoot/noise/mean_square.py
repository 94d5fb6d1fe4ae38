"""The largest rate at which SGD is stable in mean square."""

import math
from typing import Any

import numpy as np

from surefoot.checks import Count, checked
from surefoot.errors import InvalidInput, InvalidType
from surefoot.noise._types import remainder
from surefoot.operators import Array, LinearMap
from surefoot.problems import Problem
from surefoot.spectra import spectrum
from surefoot.stability import Limits

__all__ = ["mean_square_limits", "mean_square_limits_of"]

# The operator acts on m x m matrices, of which Lanczos stores some tens: 5 MB each at this size, 150 MB in all.
MOST_DIRECTIONS = 800
# Eigenvalues of H below this share of the largest are 0 to rounding, and every term's Hessian vanishes there too.
NULL = 1e-13


@checked
def mean_square_limits(
    problem: Problem,
    batch: Count,
    *,
    at: Any = None,
    replacement: bool = True,
    rtol: float = 0.01,
    failure: float = 1e-6,
    rng: int = 0,
) -> Limits:
    """The largest rate at which the second moments of SGD stay bounded near a minimum of a finite sum.

        rate < 2/lambda_max(C^+ D),    C = (H kron I + I kron H)/2
        D = (1 - p) H kron H + p (1/n) sum_i H_i kron H_i

    with p = 1/B with replacement, (n - B)/(B (n - 1)) without. The rate never exceeds 2/lambda_max(H), that of the full
    batch. Above it E|x|^2 grows without bound, although single runs may well converge: almost sure convergence allows
    larger rates (for a scalar N(0, 1) feature with B = 1: 2/3 in mean square, 2.42 almost surely).

    Parameters
    ----------
    problem : Problem
        A linear model with terms: least squares, logistic, softmax, Huber, with or without a ridge.
    batch : int
        Batch size B.
    at : array, shape (size,), optional
        The minimum; needed if the curvature depends on x.
    replacement : bool
        Whether a term can be drawn twice in a batch.
    rtol, failure, rng
        As in `surefoot.spectrum`.

    Returns
    -------
    Limits
        `stable` is the rate, from the upper end of the eigenvalue's interval: a linear claim at the minimum, exact for
        least squares. The best rate is not computed.

    Raises
    ------
    InvalidType
        If the problem is no linear model with terms.
    InvalidInput
        If a number is out of range, the minimum is needed but not given, or there are too many unknowns.

    References
    ----------
    R. Mulayoff, T. Michaeli, Exact mean square linear stability analysis for SGD, COLT 2024, theorem 4.

    Examples
    --------
    >>> from surefoot.problems import LeastSquares
    >>> from surefoot.noise.mean_square import mean_square_limits
    >>> problem = LeastSquares([[1.0], [3.0]], [0.0, 0.0])  # curvatures 1 and 9, mean 5, variance 16
    >>> round(mean_square_limits(problem, 1).stable, 10)  # 2 * 5/(25 + 16)
    0.243902439
    """
    factors = getattr(problem, "term_factors", None)
    if factors is None:
        raise InvalidType(
            f"{type(problem).__name__} has no terms with a known curvature; give LeastSquares, Logistic, Softmax, Huber"
        )
    if at is None and not problem.constant_curvature:
        raise InvalidInput(
            f"the curvature of {problem.name} changes with x, and the claim is about a minimum; give at=descend(...).x"
        )
    if problem.size > MOST_DIRECTIONS:
        raise InvalidInput(
            f"{problem.size} unknowns are too many: the operator acts on matrices; {MOST_DIRECTIONS} at most"
        )
    F, penalty = factors(problem.start() if at is None else problem.checked(at, "at"))
    return mean_square_limits_of(
        F,
        batch,
        penalty=penalty,
        replacement=replacement,
        scope="global" if problem.constant_curvature else "local",
        rtol=rtol,
        failure=failure,
        rng=rng,
    )


def mean_square_limits_of(
    factors: Array,
    batch: int,
    *,
    penalty: Array | None = None,
    replacement: bool = True,
    scope: Any = "local",
    rtol: float = 0.01,
    failure: float = 1e-6,
    rng: int = 0,
) -> Limits:
    """`mean_square_limits` for terms with H_i = F_i'F_i + diag(penalty).

    Parameters
    ----------
    factors : array, shape (n, r, m)
        Factors F_i of shape (r, m).
    penalty : array, shape (m,), optional
        The penalty, the same for all terms.
    """
    n = len(factors)
    # the weight p of the noise in D
    share = remainder(batch, None if replacement else n) / batch
    ridge = np.zeros(factors.shape[2]) if penalty is None else penalty
    # H of the terms is the Gram matrix of all factors' rows
    flat = factors.reshape(-1, factors.shape[2])
    values, vectors = np.linalg.eigh(flat.T @ flat / n + np.diag(ridge))
    kept = values > NULL * max(float(values[-1]), 0.0)
    h, V = values[kept], vectors[:, kept]
    if not h.size:
        return _limits(batch, math.inf, math.inf, 0.0, scope)
    step = _second_moments(factors @ V, h, V.T @ (ridge[:, None] * V), share)
    spec = spectrum(step, which="largest", rtol=rtol, failure=failure, rng=rng)
    return _limits(batch, spec.largest.upper, float(h[-1]), spec.failure, scope)


def _second_moments(F: Array, h: Array, ridge: Array, share: float) -> LinearMap:
    """C^-1/2 D C^-1/2 on m x m matrices, in the basis where H = diag(h), so that C is diagonal."""
    n, _, m = F.shape
    flat = F.reshape(-1, m)
    weight = 1 / np.sqrt(0.5 * (h[:, None] + h[None, :]))
    mean = np.diag(h) - ridge  # the mean of the F_i'F_i: the ridge, common to all terms, adds no noise

    def product(z: Array) -> Array:
        X = weight * z.reshape(m, m)
        inner = (flat @ X).reshape(F.shape) @ F.transpose(0, 2, 1)
        terms = flat.T @ (inner @ F).reshape(-1, m) / n
        image = h[:, None] * X * h + share * (terms - mean @ X @ mean)
        return (weight * image).ravel()

    return LinearMap((m * m, m * m), product, symmetric=True, psd=True, kind="curvature")


def _limits(batch: int, largest: float, full: float, failure: float, scope: Any) -> Limits:
    stable, reason = math.inf, "there is no positive curvature"
    if math.isfinite(largest):
        stable = 2 / largest
        reason = f"mean square: 2/l, l <= {largest:.6g}; without noise 2/L = {2 / full:.6g}"
    return Limits(
        method=f"SGD, batches of {batch}",
        stable=stable,
        curvature_limit=stable,
        scope=scope,
        failure=failure,
        reasons={
            "stable": reason,
            "curvature limit": reason,
            "safe": "a single noisy step can always rise",
            "optimal": "not computed: it depends on how far from the minimum the run is",
            "rate": "not computed",
            "condition": "not a property of the noise",
        },
    )
