"""Quantiles of Student's t distribution, without arrays."""

import math
from functools import lru_cache

from surefoot.errors import InvalidInput

__all__ = ["student_quantile"]

# Lentz's continued fraction ends where a factor no longer changes the product, within about 4 roundings.
CONVERGED = 1e-15
# Most terms, and most Newton steps: the fraction needs about sqrt(freedom) terms, Newton's method tens of steps from 0.
MOST_TERMS = 2000
# Newton's method doubles the digits with each move: after a relative move below this the error is rounding.
SETTLED = 1e-12
# Degrees of freedom above which differences of lgamma lose more digits than an expansion about the normal distribution.
NEARLY_NORMAL = 3e5


# cached: rules ask at every step, and the weight of one that forgets converges to a fixed number
@lru_cache(maxsize=1024)
def student_quantile(probability: float, freedom: float) -> float:
    """The t with P(T <= t) = probability, T of Student's distribution.

        P(T <= t) = 1 - I_x(nu/2, 1/2)/2,    x = nu/(nu + t^2),    t >= 0

    Parameters
    ----------
    probability : float
        Strictly between 0 and 1.
    freedom : float
        Degrees of freedom nu > 0; need not be whole.

    Returns
    -------
    float
        To nine digits.
    """
    if not 0 < probability < 1 or not freedom > 0:
        raise InvalidInput(f"needs 0 < probability < 1 and freedom > 0; got {probability!r} and {freedom!r}")
    if probability < 0.5:
        return -student_quantile(1 - probability, freedom)
    # Newton's method from the left: the upper tail is convex for t > 0, so it never overshoots
    log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)
    tail, t = 1 - probability, 0.0
    for _ in range(MOST_TERMS):
        density = math.exp(log_scale - 0.5 * (freedom + 1) * math.log1p(t * t / freedom))
        move = (_upper_tail(t, freedom) - tail) / density
        t += move
        if move <= SETTLED * t:
            break
    return t


def _upper_tail(t: float, freedom: float) -> float:
    if freedom > NEARLY_NORMAL:
        z = t * (1 - 1 / (4 * freedom)) / math.sqrt(1 + t * t / (2 * freedom))  # Abramowitz, Stegun, 26.7.8
        return 0.5 * math.erfc(z / math.sqrt(2))
    return 0.5 * _beta_share(freedom / (freedom + t * t), freedom / 2, t * t / (freedom + t * t))


def _beta_share(x: float, a: float, complement: float) -> float:
    """I_x(a, 1/2), the regularised incomplete beta function; `complement` is 1 - x without cancellation."""
    b = 0.5
    if x <= 0 or complement <= 0:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(complement))
    # the fraction converges fast on one side of the mean of the beta distribution
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(complement, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of I_x(a, b), by Lentz's method (Numerical Recipes, section 6.4)."""
    d = 1 / (1 - (a + b) * x / (a + 1))
    c, product = 1.0, d
    for m in range(1, MOST_TERMS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + term * d)
            c = 1 + term / c
            product *= c * d
        if abs(c * d - 1) < CONVERGED:
            break
    return product
