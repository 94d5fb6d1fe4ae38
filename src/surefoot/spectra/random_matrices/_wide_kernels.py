"""Covariances of a wide network's activations: what one layer does to the Gram matrix of its inputs."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surefoot.errors import InvalidInput

Reals = NDArray[np.float64]

# Nodes of the quadrature: exact for polynomials of degree 319, and for tanh and erf at deviations up to 10 to 1e-8.
NODES = 160
# Hermite coefficients kept; the rest of a smooth activation matters on the diagonal only, which is computed directly.
ORDER = 40
# Correlations are kept this far from 1, where the arc-cosine has no derivative.
EDGE = 1e-15


@dataclass(frozen=True, slots=True)
class Activation:
    """How an activation transforms covariances.

    Parameters
    ----------
    name : str
    function : callable or None
        Elementwise, smooth, handled by its Hermite series; None for ReLU, which has closed forms.
    active : float
        Share of the neurons that transmit a gradient.
    """

    name: str
    function: Callable[[Reals], Reals] | None
    active: float = 1.0

    def kernels(self, covariance: Reals) -> tuple[Reals, Reals]:
        """E phi(u_i) phi(u_j) and E phi'(u_i) phi'(u_j) for u ~ N(0, covariance), each of shape (n, n)."""
        deviations = np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
        correlation = np.clip(covariance / np.outer(deviations, deviations), -1 + EDGE, 1 - EDGE)
        np.fill_diagonal(correlation, 1.0)
        if self.function is None:
            return _arc_cosine(correlation, deviations)
        return _hermite(self.function, correlation, deviations)


def activation_of(name: str) -> Activation:
    """The activation of a name."""
    if name not in ACTIVATIONS:
        raise InvalidInput(f"activation must be one of {', '.join(ACTIVATIONS)}; got {name!r}")
    return ACTIVATIONS[name]


def _arc_cosine(correlation: Reals, deviations: Reals) -> tuple[Reals, Reals]:
    """ReLU: (sin a + (pi - a) cos a) s_i s_j / 2 pi and (pi - a) / 2 pi, a the angle (Cho, Saul 2009)."""
    angle = np.arccos(correlation)
    values = (np.sin(angle) + (np.pi - angle) * correlation) * np.outer(deviations, deviations) / (2 * np.pi)
    return values, (np.pi - angle) / (2 * np.pi)


def _hermite(function: Callable[[Reals], Reals], correlation: Reals, deviations: Reals) -> tuple[Reals, Reals]:
    """sum_k c_k(s_i) c_k(s_j) rho^k, c_k the coefficients of phi(s x) in normalised Hermite polynomials."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / math.sqrt(2 * math.pi)
    basis = [np.ones_like(nodes), nodes]
    for k in range(1, ORDER + 1):
        basis.append((nodes * basis[-1] - math.sqrt(k) * basis[-2]) / math.sqrt(k + 1))
    images = function(deviations[:, None] * nodes[None])
    coefficients = (images * weights) @ np.stack(basis, axis=1)
    slopes = coefficients[:, 1:] * np.sqrt(np.arange(1, ORDER + 2)) / deviations[:, None]
    values, derivatives = np.zeros_like(correlation), np.zeros_like(correlation)
    power = np.ones_like(correlation)
    for k in range(ORDER + 1):
        values += np.outer(coefficients[:, k], coefficients[:, k]) * power
        derivatives += np.outer(slopes[:, k], slopes[:, k]) * power
        power *= correlation
    np.fill_diagonal(values, (images**2) @ weights)
    return values, derivatives


def _erf(x: Reals) -> Reals:
    from scipy.special import erf

    return np.asarray(erf(x))


def _gelu(x: Reals) -> Reals:
    return x * (1 + _erf(x / math.sqrt(2))) / 2


ACTIVATIONS = {
    "relu": Activation("relu", None, active=0.5),
    "tanh": Activation("tanh", np.tanh),
    "erf": Activation("erf", _erf),
    "gelu": Activation("gelu", _gelu, active=0.5),
    "identity": Activation("identity", lambda x: x),
}
