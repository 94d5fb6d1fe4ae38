"""Clipped gradient descent on a quadratic as a map; see `surefoot.stability.clipped_oscillation`."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.checks import Positive, checked


@checked
@dataclass(frozen=True, slots=True)
class ClippedQuadratic:
    """One step of clipped gradient descent on a x^2/2, as an update (x, step) for `orbit`.

    Parameters
    ----------
    a, cap : float
        Curvature and largest gradient, positive.
    """

    a: Positive
    cap: Positive

    def __call__(self, x: Any, step: Any) -> Any:
        """One step: x - step * clip(a x)."""
        return x - step * np.clip(self.a * x, -self.cap, self.cap)
