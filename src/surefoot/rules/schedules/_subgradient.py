"""Steps of a length fixed in advance, for functions that are not smooth."""

import math
from dataclasses import dataclass
from typing import Literal

from surefoot.checks import Positive, checked
from surefoot.rules._base import Decision, Observation, Rule
from surefoot.rules.schedules._smooth import ScheduleState

# The power of k in the decay of the moves, by the decay's name.
POWERS = {"constant": 0.0, "sqrt": 0.5, "square summable": 1.0}


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Subgradient(Rule):
    """A move of a length fixed in advance along the normalised subgradient.

        eta_k = length * decay(k)/|g_k|,    decay = 1,  1/sqrt(k + 1)  or  1/(k + 1)

    (Shor 1985.) For convex f with |g| <= G and |x_0 - x*| <= R the best of k steps has f - f* <= G (R^2 + sum
    length_i^2)/(2 sum length_i): "constant" ends within G length/2, "sqrt" converges like log k/sqrt k,
    "square summable" for any start, slowly. A subgradient norm does not fall near a minimiser, so a constant
    *step* would leave a ball whose size depends on it; a constant length says how large the ball is.

    Parameters
    ----------
    length : float
        Length of the first move, > 0, unit of x; about |x_0 - x*| for the fastest start.
    decay : "constant", "sqrt" or "square summable"
        Law by which moves shorten.

    Raises
    ------
    InvalidInput
        If the decay is unknown.
    """

    length: Positive
    decay: Literal["constant", "sqrt", "square summable"] = "sqrt"
    needs = frozenset({"gradient_norm"})

    def init(self) -> ScheduleState:
        """The empty state."""
        return ScheduleState()

    def update(self, state: ScheduleState, observation: Observation) -> tuple[Decision, ScheduleState]:
        """The next move's length over the norm; no move where the subgradient is 0: a minimiser."""
        norm, k = observation.gradient_norm, observation.iteration
        if not norm > 0:
            return Decision(step=0.0, reason="the subgradient is 0"), state
        step = self.length / ((k + 1) ** POWERS[self.decay] * norm)
        return Decision(step=step if step < math.inf else 0.0), state
