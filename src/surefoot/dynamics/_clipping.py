"""Gradient clipping above the stability limit: not divergence but a cycle of predictable size."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.errors import InvalidInput
from surefoot.stability import ClippedCycle

__all__ = ["ClippedCycle", "ClippedQuadratic", "clipped_cycle"]


def clipped_cycle(curvature: float, step: float, cap: float) -> ClippedCycle | None:
    """What gradient descent with a clipped gradient norm does on a quadratic above the limit 2/curvature.

        f = a x^2/2,  eta > 2/a,  |gradient| cut to C:    {x, x - eta C},  C/a <= |x|, |x - eta C| <= eta C - C/a

    *Exact* for one dimension. Both points are clipped, so each step moves by eta C, and any such pair is a cycle: the
    family is neutral, which member is reached depends on the start, and a clip that is not exact (an epsilon in the
    norm) drifts slowly along it. Unclipped points near the minimum are repelled, since |1 - eta a| > 1.

    Parameters
    ----------
    curvature : float
        a, along the direction that is unstable; positive.
    step : float
        eta, unit 1/curvature.
    cap : float
        C, the largest norm of a gradient.

    Returns
    -------
    ClippedCycle or None
        None up to step = 2/curvature, where gradient descent settles with or without a clip.

    Raises
    ------
    InvalidInput
        If an argument is not positive and finite.

    Examples
    --------
    >>> from surefoot.dynamics._clipping import clipped_cycle
    >>> print(clipped_cycle(curvature=10.0, step=0.5, cap=1.0))
    clipped: alternates over a distance of 0.5, mean distance from the minimum 0.25, each point between 0.1 and 0.4
    """
    for name, value in (("curvature", curvature), ("step", step), ("cap", cap)):
        if not 0 < value < math.inf:
            raise InvalidInput(f"{name} must be positive and finite; got {value!r}")
    if step * curvature <= 2:
        return None
    return ClippedCycle(step * cap, cap / curvature, step * cap - cap / curvature)


@dataclass(frozen=True, slots=True)
class ClippedQuadratic:
    """One step of clipped gradient descent on a x^2/2, as an update (x, step) for `orbit`.

    Parameters
    ----------
    a, cap : float
        Curvature and largest gradient, positive.
    """

    a: float
    cap: float

    def __call__(self, x: Any, step: Any) -> Any:
        """One step: x - step * clip(a x)."""
        return x - step * np.clip(self.a * x, -self.cap, self.cap)
