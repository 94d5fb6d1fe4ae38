"""Silver steps: accelerated gradient descent by step sizes alone."""

import math
from dataclasses import dataclass

from surefoot.checks import Positive, checked
from surefoot.rules.schedules._smooth import Schedule


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Silver(Schedule):
    """The silver schedule for convex functions with a gradient of Lipschitz constant L.

        eta_k = (1 + rho^(v(k + 1) - 1))/L,    rho = 1 + sqrt 2,    v(m) = number of factors 2 in m

    so sqrt 2, 2, sqrt 2, 2 + sqrt 2, ... over L (Altschuler, Parrilo 2023, "Acceleration by stepsize hedging
    II"). After n = 2^j - 1 steps f(x_n) - f* <= L |x_0 - x*|^2 / (2 rho^j) up to a constant: O(n^-1.27),
    where a constant step has O(1/n). The loss may rise in between, and a run should end at n = 2^j - 1.

    Parameters
    ----------
    smoothness : float
        L > 0, an upper bound on the curvature everywhere. A bound that is too small can diverge.

    Examples
    --------
    >>> from surefoot.rules import Silver
    >>> [round(Silver(smoothness=1.0).at(k), 4) for k in range(4)]
    [1.4142, 2.0, 1.4142, 3.4142]
    """

    smoothness: Positive

    def at(self, k: int) -> float:
        """The k-th step."""
        twos = ((k + 1) & -(k + 1)).bit_length() - 1
        return (1 + (1 + math.sqrt(2)) ** (twos - 1)) / self.smoothness
