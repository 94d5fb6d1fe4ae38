"""A part of the stability limit, tracked along a run."""

import math
from dataclasses import dataclass, replace
from typing import Annotated

from surefoot.checks import Count, Positive, Range, checked
from surefoot.rules._base import Decision, Observation, Rule


@dataclass(frozen=True, slots=True)
class SharpnessState:
    """The rate in force, the limit last measured and the updates until the next look."""

    rate: float = 0.0
    limit: float = math.nan
    wait: int = 0


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Sharpness(Rule):
    """A fixed part of the optimizer's linear stability limit.

        eta = safety * limit,   limit = 2/lambda_max(P^-1/2 H P^-1/2) for gradient descent, 38/lambda_max for Adam, ...

    limit is what `surefoot.training.SharpnessTracker` reads: lambda_max with the optimizer's preconditioner, and the
    real stability limit of its momentum. Between readings the rate stays; a new one changes it by a factor of
    `within` at most, up or down, from the second reading on. A linear claim at a point: a network's curvature adapts
    to the rate, so what this holds is a margin, not an optimum (Cohen et al. 2021).

    Parameters
    ----------
    safety : float
        s > 0; 1 is the edge.
    every : int
        Updates between readings; each costs some products (about three gradients each).
    within : float
        >= 1.

    Examples
    --------
    >>> from types import SimpleNamespace as Seen
    >>> from surefoot.rules import Sharpness
    >>> rule = Sharpness(safety=0.5)
    >>> rule.update(rule.init(), Seen(limit=0.2))[0].step  # half of the limit that was measured
    0.1
    """

    safety: Positive = 0.5
    every: Count = 10
    within: Annotated[float, Range("[1, inf)")] = 1.5
    needs = frozenset({"limit"})

    def init(self) -> SharpnessState:
        """Nothing measured yet."""
        return SharpnessState()

    def update(self, state: SharpnessState, observation: Observation) -> tuple[Decision, SharpnessState]:
        """The rate, measured anew when it is time."""
        if state.wait > 0:
            after = replace(state, wait=state.wait - 1)
            return Decision(step=state.rate, limit=state.limit, look_back=False), after
        limit = observation.limit
        rate = state.rate
        # no positive curvature: no limit to go by
        if 0 < limit < math.inf:
            wanted = self.safety * limit
            rate = wanted if rate == 0 else min(max(wanted, rate / self.within), rate * self.within)
        after = SharpnessState(rate, limit, self.every - 1)
        return Decision(step=rate, limit=limit, look_back=False), after
