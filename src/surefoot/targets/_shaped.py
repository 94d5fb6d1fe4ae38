"""Quadratics of a given shape: condition number, spectrum and size."""

from collections.abc import Callable
from typing import Annotated

import numpy as np

from surefoot.checks import Range, checked
from surefoot.errors import InvalidInput
from surefoot.operators import Array, LinearMap
from surefoot.problems import Quadratic
from surefoot.spectra import Bounds, Spectrum

CLUSTER = 1.2  # largest over smallest curvature within a cluster
BULK = 2.0  # of the bulk beside a spike


def _clusters(condition: float, size: int) -> Array:
    spread, half = min(CLUSTER, condition), size // 2
    return np.r_[np.linspace(1.0, spread, size - half), np.linspace(condition, condition / spread, half)[::-1]]


def _spike(condition: float, size: int) -> Array:
    return np.r_[np.linspace(1.0, min(BULK, condition), size - 1), condition]


# Spectra that tell methods apart: conjugate gradients need few steps for clusters, plain descent does not.
SHAPES: dict[str, Callable[[float, int], Array]] = {
    "linear": lambda condition, size: np.linspace(1.0, condition, size),
    "log": lambda condition, size: np.geomspace(1.0, condition, size),
    "clustered": _clusters,
    "spiked": _spike,
}


@checked
class ShapedQuadratic(Quadratic):
    """A quadratic with its eigenvectors along the axes, the minimum 0 at 0, and the start at (1, ..., 1).

        f(x) = (1/2) sum_i lambda_i x_i^2,    1 = lambda_1 <= ... <= lambda_n = condition

    Nothing is lost by the axes: gradient methods, conjugate gradients and L-BFGS do not see a rotation.

    Parameters
    ----------
    condition : float
        Largest over smallest curvature, >= 1.
    spectrum : "linear", "log", "clustered" or "spiked"
        Evenly spread; evenly in the logarithm; two clusters, one at each end; a bulk in [1, 2] and one at the top.
    size : int
        Number of unknowns, >= 2.

    Raises
    ------
    InvalidInput
        If a value is out of range or the spectrum unknown.

    Examples
    --------
    >>> from surefoot.targets._shaped import ShapedQuadratic
    >>> ShapedQuadratic(condition=100, spectrum="spiked", size=4).eigenvalues
    array([  1. ,   1.5,   2. , 100. ])
    """

    def __init__(
        self,
        condition: Annotated[float, Range("[1, inf)")] = 1e4,
        spectrum: str = "linear",
        size: Annotated[int, Range("[2, inf)")] = 1000,
    ) -> None:
        if spectrum not in SHAPES:
            raise InvalidInput(f"unknown spectrum {spectrum!r}; choose one of {', '.join(SHAPES)}")
        self.eigenvalues = SHAPES[spectrum](condition, size)
        self._shape = f"condition {condition:g}, {spectrum} spectrum"
        super().__init__(LinearMap((size, size), self._times, symmetric=True, psd=True, kind="curvature"))

    @property
    def name(self) -> str:
        """``quadratic`` with its size, condition and spectrum."""
        return f"quadratic, {self.size} unknowns, {self._shape}"

    def start(self) -> Array:
        """All ones: an error of 1 along every eigenvector."""
        return np.ones(self.size)

    def curvature(self) -> Spectrum:
        """Exactly the eigenvalues that were asked for."""
        return Spectrum(
            kind="curvature",
            largest=Bounds.exactly(float(self.eigenvalues.max())),
            smallest=Bounds.exactly(float(self.eigenvalues.min())),
            size=self.size,
            provenance="exact",
            scope="global",
            points=np.sort(self.eigenvalues),
            note="by construction",
        )

    def _times(self, v: Array) -> Array:
        return self.eigenvalues * v
