"""Steps from noisy measurements of the curvature, as long as an upper confidence bound on it allows."""

import math
from dataclasses import dataclass, field, replace
from typing import Annotated

from surefoot.checks import Fraction, Positive, Range, checked
from surefoot.rules._base import Decision, Observation, Rule
from surefoot.rules.adaptive.moments import Moments
from surefoot.rules.searches.first_step import AFTER_NOT_FINITE


@dataclass(frozen=True, slots=True)
class ConfidentState:
    """The curvatures measured so far, and the last step."""

    seen: Moments = field(default_factory=Moments)
    step: float = math.nan


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Confident(Rule):
    """Steps from an upper confidence bound on the curvature along the moves.

        kappa_k = <s, y>/|s|^2,    eta_k = min(1/U_k, growth eta_{k-1}, longest)

    y is the change of a gradient along the move s: of one mini-batch at both ends, so that its noise does not grow as
    1/|s|. U_k is above the mean curvature with the given confidence, from a running mean and variance that forget (see
    `Moments.upper`), and not below a kappa_k that is an outlier to the values before: noise makes steps shorter, never
    longer.

    What is bounded is the mean curvature along the last moves, not the largest: directions are not seen until the
    iterate moves along them, so the loss may rise for a few steps. Nor does curvature alone see the noise: where it
    vanishes far out (logistic loss) single samples carry the iterate there, and steps grow; give `longest`.

    The bound is Student's: exact for independent normal values of equal weight, an *estimate* else. Where single values
    are skewed to the right it holds less often than it says (docs/noise.md has figures), unless `width` gives an
    interval's length that they all stay in.

    Parameters
    ----------
    first : float
        First step, > 0.
    confidence : float
        Confidence of the one-sided bound, for each step.
    memory : float
        Weight of a value after one move more; at 0.9 the mean is as uncertain as one of 19.
    growth : float
        Largest factor from step to step, at least 1.
    longest : float or None
        Longest step, where something is known: 1/L, or the mean-square limit at this batch size.
    width : float or None
        Length of an interval that all single curvatures lie in: then the bound is the empirical Bernstein one.

    Raises
    ------
    InvalidInput
        If a number is out of range.

    Examples
    --------
    >>> import surefoot as sf
    >>> problem = sf.problems.LeastSquares([[1.0, 0.0], [0.0, 2.0]], [1.0, 2.0])
    >>> sf.descend(problem, rule=sf.rules.Confident(first=0.01)).converged
    True
    """

    first: Positive
    confidence: Fraction = 0.95
    memory: Fraction = 0.9
    growth: Annotated[float, Range("[1, inf)")] = 1.5
    longest: Positive | None = None
    width: Positive | None = None
    needs = frozenset({"alignment", "displacement"})

    def init(self) -> ConfidentState:
        """The state before the first observation."""
        return ConfidentState()

    def update(self, state: ConfidentState, observation: Observation) -> tuple[Decision, ConfidentState]:
        """The next step; a point where the curvature is not finite is undone, where the driver can."""
        if math.isnan(state.step):
            return Decision(step=self.first), ConfidentState(step=self.first)
        length = observation.displacement
        kappa = observation.alignment / length / length if length > 0 else math.nan
        if not math.isfinite(observation.alignment) or not length < math.inf:
            step = AFTER_NOT_FINITE * state.step
            return Decision.undo(step, "not finite"), replace(state, step=step)
        seen = state.seen.with_value(kappa, self.memory) if math.isfinite(kappa) else state.seen
        bound = seen.upper(self.confidence, self.width)
        # an outlier to the past may be a cliff: it counts in full, not as one of many in the mean
        if kappa > state.seen.reach(self.confidence) or bound == math.inf:
            bound = max(kappa, bound if bound < math.inf else 0.0)
        longest = self.growth * state.step if self.longest is None else min(self.growth * state.step, self.longest)
        step = min(longest, 1 / bound) if 0 < bound < math.inf else longest
        if not 0 < step < math.inf:
            step = state.step
        return Decision(step=step), ConfidentState(seen, step)
