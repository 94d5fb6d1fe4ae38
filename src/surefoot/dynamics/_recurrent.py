"""A recurrent network with one weight, whose training by gradient descent becomes chaotic."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.checks import Count, Finite, checked
from surefoot.dynamics._landscape import Landscape


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class TanhRNN(Landscape):
    """The loss of a tanh network that runs for a few time steps with one recurrent weight w.

        h_0 = start,  h_{t+1} = tanh(w h_t);    f(w) = (h_T - target)^2 / 2

    With the defaults gradient descent from w = 1 converges to w* = 0.92963279 (sharpness 0.94364542) below the step
    2.119440164, alternates up to 2.825501087, doubles again and again, and is chaotic soon after.

    Parameters
    ----------
    length : int
        Steps T of the recurrence.
    target, start : float
    """

    length: Count = 3
    target: Finite = 0.5
    start: Finite = 1.0

    def value(self, x: Any) -> Any:
        """The loss at the weight x."""
        return (self._run(x)[0] - self.target) ** 2 / 2

    def gradient(self, x: Any) -> Any:
        """(h_T - target) dh_T/dw, with the derivative in forward mode."""
        state, slope = self._run(x)
        return (state - self.target) * slope

    def _run(self, w: Any) -> tuple[Any, Any]:
        h, slope = self.start + w * 0.0, w * 0.0
        for _ in range(self.length):
            after = np.tanh(w * h)
            h, slope = after, (1 - after * after) * (h + w * slope)
        return h, slope
