"""Losses of one variable, whose gradient descent is a map."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from surefoot.dynamics._tangent import TINY
from surefoot.dynamics.maps import ignore_overflow
from surefoot.errors import InvalidInput

# Most steps of Newton's method: it needs few once it is near, and the rest is for distant starts.
NEWTON_STEPS = 100
# A move this small relative to 1 + |x| is a few rounding errors, and the next would be rounding.
SETTLED = 1e-14


class Landscape(ABC):
    """A loss f of one variable; called with (x, step) it makes one step of gradient descent, an update for `orbit`.

    Examples
    --------
    >>> from surefoot.dynamics import Landscape
    >>> class DoubleWell(Landscape):
    ...     def value(self, x):
    ...         return x**4 / 4 - x**2 / 2
    ...     def gradient(self, x):
    ...         return x**3 - x
    >>> f = DoubleWell()
    >>> f.minimum(near=0.8), float(f.curvature(1.0))
    (1.0, 2.0)
    """

    @abstractmethod
    def value(self, x: Any) -> Any:
        """f(x), elementwise."""

    @abstractmethod
    def gradient(self, x: Any) -> Any:
        """f'(x), elementwise; analytic, so that it accepts complex x."""

    def curvature(self, x: Any) -> Any:
        """f''(x), elementwise: by the complex step from the gradient, exact to rounding."""
        return np.asarray(self.gradient(np.asarray(x) + 1j * TINY), dtype=np.complex128).imag / TINY

    def __call__(self, x: Any, step: Any) -> Any:
        """One step: x - step * f'(x)."""
        return x - step * self.gradient(x)

    def minimum(self, near: float) -> float:
        """The minimum to which Newton's method converges from a point near it.

        Raises
        ------
        InvalidInput
            If it does not converge to a minimum.
        """
        x = self.stationary(near)
        if not np.isfinite(x) or float(self.curvature(x)) <= 0:
            raise InvalidInput(
                f"Newton's method from {near!r} found no minimum (it ended at {x:g}): start nearer to one"
            )
        return x

    def stationary(self, near: float) -> float:
        """The end of Newton's method on f' from a point: a minimum, a maximum, or not finite."""
        x = float(near)
        with ignore_overflow():
            for _ in range(NEWTON_STEPS):
                move = float(self.gradient(x)) / float(self.curvature(x))
                x -= move
                if abs(move) <= SETTLED * (1 + abs(x)):
                    break
        return x
