"""Upper bounds on an eigenvalue from the Lanczos polynomial: the certificate behind every measured interval.

After k steps of Lanczos from a unit vector v1 the polynomial

    p_k(t) = prod_j (t - theta_j) / prod_j beta_j

satisfies ||p_k(A) v1|| = 1, so |p_k(lambda_max)| <= 1/|c1| with c1 the component of v1 along the top eigenvector. For
v1 uniform on the sphere |c1| >= delta with probability 1 - failure, hence lambda_max is at most the root above
theta_max of p_k(t) = 1/delta. Holds for every symmetric matrix, wherever one stops. (J. L. M. van Dorsselaer, M. E.
Hochstenbach, H. A. van der Vorst, Computing probabilistic bounds for extreme eigenvalues of symmetric matrices with the
Lanczos method, SIAM J. Matrix Anal. Appl. 22, 2001, 837-852.)
"""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["start_component", "upper_bound"]

BISECTIONS = 60

# Logarithms of floats stay below it.
LARGEST_LOG = 709.0


def start_component(size: int, failure: float, *, is_complex: bool) -> float:
    """The delta that |c1| of a uniform unit vector stays above, but with probability `failure`.

    |c1|^2 follows Beta(1/2, (n - 1)/2) for a real vector of n entries and Beta(1, n - 1) for a complex one.
    """
    if size == 1:
        return 1.0
    if is_complex:
        return math.sqrt(-math.expm1(math.log1p(-failure) / (size - 1)))
    from scipy.special import betaincinv

    return math.sqrt(float(betaincinv(0.5, 0.5 * (size - 1), failure)))


def upper_bound(ritz: NDArray[np.float64], log_betas: float, delta: float, scale: float) -> float:
    """The root above max(ritz) of p_k(t) = 1/delta.

    Parameters
    ----------
    ritz : array, shape (k,)
        Eigenvalues of the tridiagonal matrix.
    log_betas : float
        Sum of log beta_j, j = 1..k: the k-th is the norm of the residual that the last step left.
    delta : float
        From `start_component`.
    scale : float
        A positive length comparable to the spectrum, where the search for the root starts.

    Returns
    -------
    float
    """
    top = float(ritz.max())
    below = top - ritz
    target = log_betas - math.log(delta)

    # The root top + gap in log(gap): p_k grows from 0 at gap = 0, by at least gap^k in the end.
    def excess(log_gap: float) -> float:
        return float(np.log(math.exp(min(log_gap, LARGEST_LOG)) + below).sum()) - target

    low = high = math.log(scale)
    while excess(low) > 0 and low > -690:
        low -= 4
    while excess(high) < 0:
        high += 4
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if excess(middle) > 0 else (middle, high)
    return top + math.exp(high)
