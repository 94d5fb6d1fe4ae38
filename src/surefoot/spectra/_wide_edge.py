"""The top of a random Gram matrix F'F + A whose rows have a known covariance: an edge, or an outlier above it."""

import math

import numpy as np
from numpy.typing import NDArray

from surefoot.spectra._marchenko_pastur import TRACY_WIDOM

__all__ = ["top_eigenvalue"]

Reals = NDArray[np.float64]

# How close to 1 the search for the edge begins, and the widest it goes; logarithmic.
SEARCH = 1e-9, 1e6


def top_eigenvalue(covariance: Reals, added: Reals, rows: int) -> tuple[float, bool]:
    """The expected largest eigenvalue of F'F + A, F of `rows` independent rows, and whether it is an outlier.

        lambda(u):  u = 1 + u sum_i t_i / (lambda - a_i - m u t_i);    edge = min over u > 1 of lambda(u)

    t_i and a_i are the eigenvalues of the rows' covariance and of A, which are taken to share their eigenvectors, m the
    number of rows. (The deterministic equivalent of a sample covariance matrix: Silverstein, Choi 1995 for A = 0.) The
    largest of a_1 + m t_1 is an outlier if it lies above the edge of the others: lambda = a_1 + m u t_1, with u from the
    others (the spike of Baik and Silverstein 2006). An edge is corrected by the mean of the Tracy-Widom law with the scale
    of El Karoui (2007). An *estimate*, for sizes of some hundreds and more.

    Parameters
    ----------
    covariance, added : array, shape (n,)
        t_i >= 0 and a_i >= 0, in the same order.
    rows : int
        m.

    Returns
    -------
    largest : float
    outlier : bool
    """
    order = np.argsort(-(added + rows * covariance), kind="stable")
    t, a = covariance[order], added[order]
    if t.size > 1:
        edge, widest = _edge(t[1:], a[1:], rows)
        u = _inflation(t, a, rows)
        spike = a[0] + rows * u * t[0]
        if spike > edge and u < widest:
            return float(spike), True
    edge, _ = _edge(t, a, rows)
    return edge + TRACY_WIDOM[0] * _scale(t + a / rows, rows), False


def _edge(t: Reals, a: Reals, rows: int) -> tuple[float, float]:
    """The smallest lambda(u), and the u where it is taken."""
    from scipy.optimize import minimize_scalar

    if not t.any():
        return float(a.max()), math.inf
    result = minimize_scalar(
        lambda s: _outside(math.exp(s), t, a, rows),
        bounds=(math.log(SEARCH[0]), math.log(SEARCH[1])),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(result.fun), 1 + math.exp(float(result.x))


def _outside(excess: float, t: Reals, a: Reals, rows: int) -> float:
    """lambda(1 + excess): above all poles the sum falls from infinity to 0, so it takes each value once."""
    from scipy.optimize import brentq

    u = 1 + excess
    poles = a + rows * u * t
    top = float(poles.max())

    def defect(gap: float) -> float:
        return u * float((t / (top + gap - poles)).sum()) - excess

    # the largest term alone is below the sum, and all terms at the nearest pole above it
    low, high = u * float(t[int(poles.argmax())]) / excess, u * float(t.sum()) / excess
    low = max(low, 1e-300)
    return top + (low if defect(low) <= 0 else float(brentq(defect, low, high * (1 + 1e-12), rtol=1e-12)))


def _inflation(t: Reals, a: Reals, rows: int) -> float:
    """The u of an outlier t[0], a[0] over the others."""
    from scipy.optimize import brentq

    def defect(u: float) -> float:
        distance = np.maximum((a[0] - a[1:]) + rows * u * (t[0] - t[1:]), 1e-300)
        return 1 + u * float((t[1:] / distance).sum()) - u

    high = 2.0
    while defect(high) > 0 and high < SEARCH[1]:
        high *= 2
    return math.inf if defect(high) > 0 else float(brentq(defect, 1.0, high))


def _scale(t: Reals, rows: int) -> float:
    """The scale of the Tracy-Widom fluctuation at the edge of F'F."""
    from scipy.optimize import brentq

    top = float(t.max())

    def defect(c: float) -> float:
        return float(((t * c / (1 - t * c)) ** 2).sum()) - rows

    c = float(brentq(defect, 0.0, (1 - 1e-12) / top))
    cubes = float(((t * c / (1 - t * c)) ** 3).sum()) / rows
    return rows * rows ** (-2 / 3) / c * (1 + cubes) ** (1 / 3)
