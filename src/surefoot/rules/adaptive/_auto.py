"""The rule for problems of which nothing is known."""

import math
from dataclasses import dataclass

from surefoot.checks import Positive, checked
from surefoot.rules._base import Decision, Observation
from surefoot.rules.adaptive._barzilai_borwein import secant_steps
from surefoot.rules.searches.acceptance import ACCEPTANCE_NEEDS, Reference, next_reference, shorter_step
from surefoot.rules.searches.first_step import FIRST_STEP_NEEDS, FirstStepState, SearchingRule

# All four were tuned on thirty problems (quadratics with linear, logarithmic, clustered and spiked spectra,
# least squares, logistic, softmax, robust and Poisson regression, Rosenbrock's function); results are flat
# around them. tests/rules/test_auto.py holds the counts.
# The ratio of short to long step above which the long one is taken: at the start, and the factor of its changes.
THRESHOLD = 0.5
ADAPTATION = 1.02
# The required share of the first-order decrease, and the weight of past losses in their average.
DECREASE = 1e-4
AVERAGING = 0.99


@dataclass(frozen=True, slots=True)
class AutoState:
    """The search for a first step, what trials are compared with, the last secant's steps and the threshold."""

    search: FirstStepState
    reference: Reference
    long: float = math.nan
    short: float = math.nan
    threshold: float = THRESHOLD


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Auto(SearchingRule):
    """Secant steps that solve a two-dimensional quadratic, guarded by the losses.

    With Barzilai and Borwein's a = |s|^2/<s, y> and b = <s, y>/|y|^2, and a', b' those of the move before:

        b/a >= tau:  eta = a,                       tau <- 1.02 tau
        b/a <  tau:  eta = min(b', b, max(c, 0)),   tau <- tau/1.02
        2/c = p + sqrt(p^2 - 4 q),   p = (a' b' - a b)/w,   q = (b' - b)/w,   w = b' b (a' - a)

    (Huang, Dai, Liu, Zhang 2021: the reciprocals of a, b of two moves determine a quadratic's curvatures in
    two dimensions, and 1/c is the larger one.) Long steps are taken while the gradient stays in directions of one
    curvature, a run of short ones when it spreads. A step is undone and shortened by its own secant when the loss rises
    above an average of the past ones (Zhang, Hager 2004). The first step is found by trials, so the scale of the data
    does not matter. Its speed is a heuristic; the accepted losses are bounded by that average.

    Parameters
    ----------
    first : float or None
        First step to try; None for a move of length 1, then corrected by its outcome.

    Examples
    --------
    >>> from surefoot.solvers import descend
    >>> from surefoot.problems import Quadratic
    >>> from surefoot.rules import Auto
    >>> descend(Quadratic([[1.0, 0.0], [0.0, 100.0]], [1.0, 1.0]), rule=Auto()).converged
    True
    """

    first: Positive | None = None
    needs = FIRST_STEP_NEEDS | ACCEPTANCE_NEEDS

    def begin(self, search: FirstStepState) -> AutoState:
        """Trials are compared with the loss at the start."""
        return AutoState(search, Reference(search.loss))

    def decide(self, state: AutoState, observation: Observation, *, fresh: bool) -> tuple[Decision, AutoState]:  # noqa: ARG002
        """The next step from here, or a shorter one from the last accepted point."""
        reference = next_reference(state.reference, observation, DECREASE, AVERAGING)
        if reference is None:
            return Decision.undo(shorter_step(observation), "loss rose too far"), state
        long, short = secant_steps(observation)
        if short >= state.threshold * long:
            step, threshold, reason = long, state.threshold * ADAPTATION, ""
        else:
            step = min(short, sharp_step(long, short, state.long, state.short))
            threshold, reason = state.threshold / ADAPTATION, "short"
        return Decision(step=step, reason=reason), AutoState(state.search, reference, long, short, threshold)


def sharp_step(long: float, short: float, long_before: float, short_before: float) -> float:
    """min(b', max(c, 0)); infinity where there is no move before, b' where c does not exist."""
    if math.isnan(long_before):
        return math.inf
    w = short_before * short * (long_before - long)
    # w = 0: the two moves show the same curvatures, and nothing follows for a second one
    if not 0 < abs(w) < math.inf:
        return short_before
    p = (long_before * short_before - long * short) / w
    discriminant = p * p - 4 * (short_before - short) / w
    if not 0 <= discriminant < math.inf:
        return short_before
    double = p + math.sqrt(discriminant)
    return min(short_before, 2 / double) if double > 0 else short_before
