"""The largest eigenvalue of the kernel of a network of finite width: an edge, or an outlier above it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surefoot.spectra.random_matrices._marchenko_pastur import TRACY_WIDOM

Reals = NDArray[np.float64]

# Range of v - 1 that is searched for the edge, on a logarithmic scale. It tends to 0 for wide layers (like 1/sqrt(m))
# and is large if one direction has most of the mean.
SEARCH = 1e-6, 1e4
# An outlier fluctuates by sqrt(2/m) of itself; it counts as one from this many deviations above the bulk. By
# convention.
CLEAR = 2.0
# Variances below this share of the largest are dropped: the quotient of two kernels' diagonals is rounding there.
PRESENT = 1e-6
# The smallest distance from the pole at v = 1, relative to the largest mean, so that lambda stays finite there.
FLOOR = 1e-12
# Relative step for the second derivative at the edge: lambda is smooth there and its minimum known only to 1e-6.
STEP = 1e-2


@dataclass(frozen=True, slots=True)
class Layers:
    """A mean kernel, split by how many random layers each part has passed, in the basis of its eigenvectors.

    Parameters
    ----------
    parts : array, shape (L + 1, n)
        Diagonals, the largest mean first; part l is made of the features of layer l, so of l random layers.
    features : array, shape (L, n)
        Diagonals of the features' covariances in layers 1 to L.
    widths : tuple of L int
    """

    parts: Reals
    features: Reals
    widths: tuple[int, ...]


def top_eigenvalue(layers: Layers) -> tuple[float, bool]:
    """The expected largest eigenvalue of a random kernel, and whether it is an outlier.

        lambda(v) = v sum_l c_l prod_{k <= l} u_k(v),    u_k = 1 + (1/m_k) sum_i P_ki / (v M_1 - M_i)
        edge = min over v > 1 of lambda(v)

    M_i is the mean along direction i, c_l the parts of M_1, P_ki what direction i owes to layer k: the variance of its
    layer's features times the factor by which they are passed on, m_k the layer's width. For one layer this is the edge
    of a sample covariance matrix (Silverstein, Choi 1995); for several that of a product of them, as in a linear
    network; for a nonlinear one it is a *heuristic*, checked against random networks. The mean of the Tracy-Widom law
    is added, with the scale that the square root of the density at the edge implies. A direction clearly above the edge
    of the others is an outlier: lambda(1), the sums over the others (Baik, Silverstein 2006).

    Parameters
    ----------
    layers : Layers
        First the direction with the largest mean.

    Returns
    -------
    largest : float
    outlier : bool
    """
    mean = layers.parts.sum(axis=0)
    if layers.parts.shape[1] > 1:
        spike = _curve(1.0, layers, slice(1, None))
        edge, v = _edge(Layers(layers.parts[:, 1:], layers.features[:, 1:], layers.widths))
        if mean[0] > v * mean[1] and spike - edge > CLEAR * spike * math.sqrt(2 / min(layers.widths)):
            return spike, True
    edge, v = _edge(layers)
    return edge + TRACY_WIDOM[0] * _scale(layers, edge, v), False


def _edge(layers: Layers) -> tuple[float, float]:
    """The minimum of lambda(v) and the v where it lies."""
    from scipy.optimize import minimize_scalar

    result = minimize_scalar(
        lambda s: _curve(1 + math.exp(s), layers, slice(None)),
        bounds=(math.log(SEARCH[0]), math.log(SEARCH[1])),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(result.fun), 1 + math.exp(float(result.x))


def _curve(v: float, layers: Layers, others: slice) -> float:
    """lambda(v), its sums taken over the directions `others`."""
    mean = layers.parts.sum(axis=0)
    later = np.cumsum(layers.parts[::-1], axis=0)[::-1][1:]
    present = layers.features > PRESENT * layers.features.max(axis=1, keepdims=True)
    # the factor by which a layer is passed on linearly; anything beyond that was added by later layers
    factor = np.min(
        later / np.where(present, layers.features, 1.0), axis=1, keepdims=True, where=present, initial=np.inf
    )
    passed = factor * layers.features[:, others]
    gaps = np.maximum(v * mean[0] - mean[others], FLOOR * mean[0])
    inflation = 1 + (passed / gaps).sum(axis=1) / np.asarray(layers.widths)
    return float(v * (layers.parts[:, 0] * np.concatenate([[1.0], np.cumprod(inflation)])).sum())


def _scale(layers: Layers, edge: float, v: float) -> float:
    """The scale of the fluctuation of the edge.

        sigma^(-3/2) = |Y'(v)| / lambda * sqrt(2 / lambda''(v)),    Y = sum_i tau_i / (v - tau_i),  tau_i = M_i / M_1

    so that the number of eigenvalues near the edge grows as that of the Airy process.
    """
    mean = layers.parts.sum(axis=0)
    tau = np.minimum(mean / mean[0], 1.0)
    slope = float((tau / (v - tau) ** 2).sum())
    step = STEP * (v - 1)
    around = [_curve(v + s, layers, slice(None)) for s in (-step, step)]
    curvature = (around[0] - 2 * edge + around[1]) / step**2
    return (slope / edge) ** (-2 / 3) * (max(curvature, 0.0) / 2) ** (1 / 3)
