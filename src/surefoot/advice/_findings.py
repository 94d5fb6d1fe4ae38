"""What limit and runs say together, in a sentence."""

import math

from surefoot.solvers import Ending
from surefoot.stability import Limits
from surefoot.trials.trial import Trial

# The linear limit and the short runs agree within this factor: short runs bracket a step to a factor of 2.
AGREEMENT = 2.0


def finding(
    limits: Limits,
    trials: tuple[Trial, ...],
    usable: tuple[float, float] | None,
    suggested: float | None,
    *,
    initial: float = math.nan,
    constant: float | None = None,
) -> str:
    """The disagreement between the linear limit and the real runs, or their agreement.

    Parameters
    ----------
    limits : Limits
    trials : tuple of Trial
        Ascending steps.
    usable : (float, float) or None
    suggested : float or None
    initial : float
        Loss at the start; nan where it does not matter.
    constant : float or None
        Loss of the best constant predictor, where it is known.

    Returns
    -------
    str
    """
    if usable is None or suggested is None:
        return _why_not(trials, initial, constant)
    limit = limits.curvature_limit
    if limit in (0.0, float("inf")):
        return f"the linear limit says nothing here; short runs do best at {suggested:.3g}"
    share = suggested / limit
    head = f"short runs do best at {suggested:.3g}, {share:.3g} x the linear limit"
    if limits.stable == 0:
        head = f"negative curvature, so the limit is that of the sharp directions; {head}"
    failed = [trial.step for trial in trials if trial.step > suggested and trial.ending.failed]
    if usable[1] > AGREEMENT * limit:
        why = (
            "it bounds the curvature everywhere, and the path sees less"
            if limits.scope == "global"
            else "the limit is local, and curvature (or the preconditioner) adapts along the path"
        )
        return f"{head}; they hold up to {usable[1] / limit:.3g} x the limit: {why}"
    if failed and failed[0] < limit:
        why = "the curvature grows away from the start, or the noise of mini-batches adds up"
        return f"{head}; they fail from {failed[0] / limit:.3g} x the limit on: {why}"
    if failed:
        # the limit is met where runs do well just below it and fail just above it; one side alone says nothing of it
        agrees = ", as it says" if failed[0] <= AGREEMENT * limit and usable[1] >= limit / AGREEMENT else ""
        return f"{head}; they fail from {failed[0] / limit:.3g} x the limit on{agrees}"
    return f"{head}; larger steps were worse, none failed"


def _why_not(trials: tuple[Trial, ...], initial: float, constant: float | None) -> str:
    endings = {trial.ending for trial in trials}
    span = f"{trials[0].step:.3g} .. {trials[-1].step:.3g}"
    if endings == {Ending.DIVERGED}:
        return f"no suggestion: every short run in {span} diverged"
    lowest = min(trials, key=lambda trial: trial.final if math.isfinite(trial.final) else math.inf)
    if constant is not None and lowest.final < initial:
        return (
            f"no suggestion: the best short run in {span} took the loss from {initial:.4g} to {lowest.final:.4g} (at "
            f"{lowest.step:.3g}), and the best constant has {constant:.4g}: scale inputs and targets, or train longer"
        )
    return f"no suggestion: no short run in {span} improved on the start"
