"""Polyak's step: from the gap to the optimal value."""

import math
from dataclasses import dataclass
from typing import Annotated

from surefoot.checks import Count, Finite, Range, checked
from surefoot.errors import InvalidInput
from surefoot.rules._base import Decision, Observation, Rule
from surefoot.rules.searches.first_step import AFTER_NOT_FINITE


@dataclass(frozen=True, slots=True)
class PolyakState:
    """The best loss so far, the gain below it that the target asks for, and the steps spent waiting for it."""

    best: float = math.inf
    gain: float = math.nan
    waited: int = 0


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Polyak(Rule):
    """The gap to a target value over the squared gradient norm.

        eta_k = relaxation * (f(x_k) - target_k)/|g_k|^2

    (Polyak 1969, equation 4.) With the optimal value f* as the target it needs no curvature and no
    smoothness: the distance to the minimisers never grows, for relaxation in (0, 2). With only a lower bound
    the target is max(best - gain, bound), with a gain that doubles when reached and halves after `patience`
    steps without (the dynamic rule of Nedic, Bertsekas 2001, equations 2.22 and 2.23).

    Parameters
    ----------
    optimum : float or None
        f*, exactly.
    lower_bound : float or None
        Number <= f*. Give one of the two.
    relaxation : float
        Factor of the step, in (0, 2).
    patience : int
        Steps to wait for the gain.

    Raises
    ------
    InvalidInput
        If not exactly one of optimum and lower_bound is given.

    Examples
    --------
    >>> from surefoot.rules import Polyak
    >>> Polyak(optimum=0.0).relaxation
    1.0
    """

    optimum: Finite | None = None
    lower_bound: Finite | None = None
    # at 0 nothing moves, at 2 the distance to the minimiser need not fall
    relaxation: Annotated[float, Range("(0, 2)")] = 1.0
    patience: Count = 10
    needs = frozenset({"loss", "gradient_norm"})

    def __post_init__(self) -> None:
        if (self.optimum is None) == (self.lower_bound is None):
            raise InvalidInput(
                f"Polyak needs either optimum or lower_bound; got {self.optimum!r} and {self.lower_bound!r}; "
                "for a sum of squares or a logistic loss lower_bound=0 will do"
            )

    def init(self) -> PolyakState:
        """The state before the first observation."""
        return PolyakState()

    def update(self, state: PolyakState, observation: Observation) -> tuple[Decision, PolyakState]:
        """The step towards the target; a point that is not finite is undone."""
        loss, norm = observation.loss, observation.gradient_norm
        if not math.isfinite(loss) or not math.isfinite(norm):
            step = AFTER_NOT_FINITE * observation.step if observation.step > 0 else 0.0
            return Decision(step=step, accept=False, reason="not finite"), state
        state = self._track(state, loss)
        target = self.optimum
        if self.lower_bound is not None:
            target = max(state.best - state.gain, self.lower_bound)
        gap = loss - (target or 0.0)
        step = self.relaxation * gap / norm / norm if norm > 0 and gap > 0 else 0.0
        return Decision(step=step if step < math.inf else 0.0, reason="" if gap > 0 else "target reached"), state

    def _track(self, state: PolyakState, loss: float) -> PolyakState:
        """The best loss and the gain after one more loss."""
        if self.lower_bound is None:
            return PolyakState(min(state.best, loss))
        if state.best == math.inf:
            return PolyakState(loss, max(loss - self.lower_bound, 0.0))
        # half the gain counts as reached: otherwise a loss just short of the target would halve the gain
        if loss <= state.best - 0.5 * state.gain:
            return PolyakState(loss, min(2 * state.gain, max(loss - self.lower_bound, 0.0)))
        if state.waited + 1 >= self.patience:
            return PolyakState(min(state.best, loss), 0.5 * state.gain)
        return PolyakState(min(state.best, loss), state.gain, state.waited + 1)
