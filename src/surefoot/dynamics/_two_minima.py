"""A quadratic with a narrow dent: a simple loss with a flat and a sharp minimum."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.checks import Finite, Positive, checked
from surefoot.dynamics._landscape import Landscape


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class TwoMinima(Landscape):
    """A flat minimum at 0 and a sharp one near `centre`.

        f(x) = x^2/2 - depth exp(-(x - centre)^2 / (2 width^2))

    With the defaults: the sharp minimum is at 0.971398 with curvature 23.849342, the barrier towards 0 at 0.921871.

    Parameters
    ----------
    depth, centre, width : float
        Shape of the dent; depth and width positive.
    """

    depth: Positive = 0.1
    centre: Finite = 1.0
    width: Positive = 0.05

    def value(self, x: Any) -> Any:
        """The loss."""
        return x * x / 2 - self._dent(x)

    def gradient(self, x: Any) -> Any:
        """The slope: x + (x - centre)/width^2 times the dent."""
        return x + (x - self.centre) / self.width**2 * self._dent(x)

    def curvature(self, x: Any) -> Any:
        """The second derivative: 1 + (1 - (x - centre)^2/width^2)/width^2 times the dent."""
        u = (x - self.centre) / self.width
        return 1 + (1 - u * u) / self.width**2 * self._dent(x)

    def _dent(self, x: Any) -> Any:
        u = (x - self.centre) / self.width
        return self.depth * np.exp(-u * u / 2)
