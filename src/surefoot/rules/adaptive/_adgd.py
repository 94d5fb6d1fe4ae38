"""Adaptive gradient descent without descent: steps from the local smoothness, without a search."""

import math
from dataclasses import dataclass
from typing import Literal

from surefoot.checks import Positive, checked
from surefoot.rules._base import Decision, Observation
from surefoot.rules.searches.first_step import AFTER_NOT_FINITE, FirstStepState, SearchingRule, is_finite


@dataclass(frozen=True, slots=True)
class AdGDState:
    """The search for a first step, the last step and its ratio to the one before."""

    search: FirstStepState
    step: float = math.nan
    ratio: float = math.inf


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class AdGD(SearchingRule):
    """Steps from the local Lipschitz constant L_k = |y|/|s|, with growth bounded by the last steps.

        2020:  eta_k = min( sqrt(1 + theta) eta,     1/(2 L_k) )
        2023:  eta_k = min( sqrt(2/3 + theta) eta,   eta/sqrt([2 eta^2 L_k^2 - 1]_+) )

    with eta the step before and theta its ratio to the one before that. Proved to converge for convex f with
    a locally Lipschitz gradient, without a search and without the loss (Malitsky, Mishchenko 2020, algorithm
    1; 2023, algorithm 2). The first step is found by trial, which reads the loss; the second is the bound
    from its secant.

    Parameters
    ----------
    version : 2020 or 2023
        The later one takes longer steps.
    first : float or None
        First step to try; None for a move of length 1, then corrected by its outcome.

    Raises
    ------
    InvalidInput
        If the version is neither.

    Examples
    --------
    >>> from surefoot.problems import Quadratic
    >>> from surefoot.rules import AdGD
    >>> from surefoot.solvers import descend
    >>> descend(Quadratic([[1.0, 0.0], [0.0, 10.0]], [1.0, 1.0]), rule=AdGD()).converged  # no rate was given
    True
    """

    version: Literal[2020, 2023] = 2023
    first: Positive | None = None

    def begin(self, search: FirstStepState) -> AdGDState:
        """No step yet."""
        return AdGDState(search)

    def decide(self, state: AdGDState, observation: Observation, *, fresh: bool) -> tuple[Decision, AdGDState]:
        """The next step; a point that is not finite is undone."""
        if fresh:
            step = _inverse_smoothness(observation) * (0.5 if self.version == 2020 else math.sqrt(0.5))
            # the papers' theta_0: unlimited growth, and 1/3, which caps the second step's growth at 1
            return Decision(step=step), AdGDState(state.search, step, math.inf if self.version == 2020 else 1 / 3)
        if not is_finite(observation):
            return Decision.undo(AFTER_NOT_FINITE * observation.step, "not finite"), state
        previous = observation.step
        local = _inverse_smoothness(observation)
        if self.version == 2020:
            step = min(math.sqrt(1 + state.ratio) * previous, 0.5 * local)
        else:
            scaled = previous / local if local > 0 else math.inf
            excess = 2 * scaled * scaled - 1
            bound = previous / math.sqrt(excess) if excess > 0 else math.inf
            step = min(math.sqrt(2 / 3 + state.ratio) * previous, bound)
        # the growth factor overflows where the steps before grew without end (f = const): stay
        if not 0 < step < math.inf:
            step = previous
        return Decision(step=step), AdGDState(state.search, step, step / previous if previous > 0 else 1.0)


def _inverse_smoothness(point: Observation) -> float:
    """|s|/|y|; the last step where the gradient did not change."""
    ratio = point.displacement / point.gradient_change if point.gradient_change > 0 else math.inf
    return ratio if 0 < ratio < math.inf else point.step
