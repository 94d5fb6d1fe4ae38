"""Upper bounds on an eigenvalue from the Lanczos polynomials: the certificate behind every measured interval.

Lanczos from a unit vector v1 makes the polynomials that are orthonormal under its weights c_i^2 on the eigenvalues,

    beta_j p_j(t) = (t - alpha_j) p_(j-1)(t) - beta_(j-1) p_(j-2)(t),    p_0 = 1

An eigenvalue t with weight c^2 satisfies c^2 sum_(j<=k) p_j(t)^2 <= 1 (Bessel's inequality for its indicator), and for
v1 uniform on the sphere |c| >= delta with probability 1 - failure. Hence lambda_max is at most the root above theta_max
of

    sum_(j=0)^k p_j(t)^2 = 1/delta^2

Nothing tighter follows from k products and |c| >= delta: at a t below the root there is a matrix with the same alphas
and betas that has this eigenvalue with this weight. Van Dorsselaer, Hochstenbach and van der Vorst take the last
polynomial alone, |p_k(t)| = 1/delta, whose root lies above. The sum takes no product more, and it never shrinks: when
a copy of a converged Ritz value appears (lost orthogonality), the last polynomial does.

References
----------
J. L. M. van Dorsselaer, M. E. Hochstenbach, H. A. van der Vorst, Computing probabilistic bounds for extreme eigenvalues
of symmetric matrices with the Lanczos method, SIAM J. Matrix Anal. Appl. 22 (2001) 837-852. The sum is the inverse of
the Christoffel function: G. Szego, Orthogonal Polynomials (1939), theorem 3.41.1 on the largest mass at a point.
"""

import math
from collections.abc import Sequence

# Halvings of an interval of length 4 in the logarithm of the gap: the gap is then known to 2e-7 of itself, from above.
BISECTIONS = 24
# A gap of e^-40 = 4e-18 of the spectrum's size is below the rounding of any sum.
NO_GAP = 40
# Sums are scaled down before they overflow; a step multiplies a polynomial by about 1e16 at most.
LARGE, SHRINK = 1e200, 1e-100


def start_component(size: int, failure: float, *, is_complex: bool) -> float:
    """The delta below which |c1| of a uniform unit vector lies with probability `failure`.

    |c1|^2 follows Beta(1/2, (n - 1)/2) for a real vector of n entries and Beta(1, n - 1) for a complex one.
    """
    if size == 1:
        return 1.0
    if is_complex:
        return math.sqrt(-math.expm1(math.log1p(-failure) / (size - 1)))
    from scipy.special import betaincinv

    return math.sqrt(float(betaincinv(0.5, 0.5 * (size - 1), failure)))


def upper_bound(top: float, alphas: Sequence[float], betas: Sequence[float], delta: float, scale: float) -> float:
    """The root above `top` of sum p_j(t)^2 = 1/delta^2; `top` itself if the sum is already larger there.

    Parameters
    ----------
    top : float
        The largest eigenvalue of the tridiagonal matrix.
    alphas, betas : sequences of k floats
        Entries of that matrix; the last beta is the norm of the residual that the last step left.
    delta : float
        From `start_component`.
    scale : float
        A positive length comparable to the spectrum, where the search for the gap starts.
    """
    rows = list(zip(alphas, [0.0, *betas[:-1]], betas, strict=True))
    target = -2 * math.log(delta)

    # log of the sum at top + gap over its target: all p_j have their roots below top and grow with the gap
    def excess(log_gap: float) -> float:
        t = top + math.exp(log_gap)
        before, last, total, shrunk = 0.0, 1.0, 1.0, 0
        for alpha, beta_before, beta in rows:
            before, last = last, ((t - alpha) * last - beta_before * before) / beta
            total += last * last
            if total > LARGE:
                before, last, total, shrunk = before * SHRINK, last * SHRINK, total * SHRINK**2, shrunk + 1
        return math.log(total) - 2 * shrunk * math.log(SHRINK) - target

    low = high = math.log(scale)
    least = high - NO_GAP
    # bracket the root, in steps of e^4
    while low > least and excess(low) > 0:
        high, low = low, low - 4
    while excess(high) < 0:
        low, high = high, high + 4
    if low <= least:
        return top
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if excess(middle) > 0 else (middle, high)
    return top + math.exp(high)
