"""Penalties for inverse problems: lengths of vectors (total variation) and the distance from data."""

from dataclasses import dataclass

import numpy as np

from surefoot.checks import Count, Nonnegative, checked, real_array
from surefoot.operators import Array


@checked
@dataclass(frozen=True, slots=True)
class GroupL1:
    """The sum of lengths of vectors; for the gradient of an image, its isotropic total variation.

        h(p) = weight sum_i |(p_1i, ..., p_di)|_2,    prox: each vector shortened by tau weight

    Parameters
    ----------
    weight : float
        >= 0.
    parts : int
        d: p holds d arrays one after the other, as `surefoot.operators.gradient` returns them.

    Raises
    ------
    InvalidInput
        If the weight is negative or not finite, or there is no part.
    """

    weight: Nonnegative = 1.0
    parts: Count = 2

    def __call__(self, x: Array) -> float:
        return self.weight * float(self._lengths(x).sum())

    def prox(self, x: Array, tau: float) -> Array:
        """Each vector shortened by tau * weight, to zero if it is no longer than that."""
        lengths = self._lengths(x)
        kept = 1 - tau * self.weight / np.maximum(lengths, max(tau * self.weight, np.finfo(np.float64).tiny))
        return (x.reshape(self.parts, -1) * kept).ravel()

    def _lengths(self, x: Array) -> Array:
        return np.sqrt(np.square(x.reshape(self.parts, -1)).sum(axis=0))


@checked
@dataclass(frozen=True, slots=True, eq=False)
class SquaredDistance:
    """Half the squared distance from a point: the data term of denoising.

        g(x) = (weight/2) |x - b|^2,    prox(x) = (x + tau weight b)/(1 + tau weight)

    Parameters
    ----------
    point : array, shape (size,)
        Data b.
    weight : float
        >= 0.

    Raises
    ------
    InvalidInput
        If the weight is negative or not finite.
    """

    point: Array
    weight: Nonnegative = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "point", real_array(self.point, "point").ravel())

    def __call__(self, x: Array) -> float:
        return 0.5 * self.weight * float(np.square(x - self.point).sum())

    def prox(self, x: Array, tau: float) -> Array:
        """A weighted mean of x and the point."""
        return (x + tau * self.weight * self.point) / (1 + tau * self.weight)
