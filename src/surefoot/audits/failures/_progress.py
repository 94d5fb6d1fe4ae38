"""Progress and the lack of it: a rate that is too small or 0, plateaus, early annealing, overfitting."""

import math

import numpy as np

from surefoot.audits.failures._run import Look, Run, instead, number, rate_was
from surefoot.audits.failures._signal import FAR, level
from surefoot.audits.failures._types import Cause

# A fall of less than this part of the first loss is none that matters, however certain.
NOTHING = 0.003
# A smaller fall than this part is no training, unless it is a straight line, which has only begun.
HARDLY = 0.03
# Plain gradient steps that could have lowered the loss by 3 times its value were not too short; those that could have
# lowered it by less than a hundredth were.
ENOUGH, FAR_TOO_SHORT = 3.0, 0.01
# A loss whose last third falls by more than this part of what its first third did (for the same sum of rates) is nearly
# a straight line: it has hardly begun to curve.
STRAIGHT = 0.5
# A loss that ends above this part of its beginning, flat for most of the run, is a plateau; lower ones have converged.
HIGH = 0.4
# How close a level is to the logarithm of a number of classes: they are 1/k apart, so few are met by chance.
CLOSE = 2e-3
# By convention: beyond that the logarithms of neighbouring numbers are closer together than CLOSE.
MOST_CLASSES = 1000
# Part of the run from which on a rate of nearly 0 came too early, and what nearly 0 is of the peak.
TOO_EARLY, NEARLY_ZERO = 0.8, 1e-3
# A held-out loss that rises by this part of its least value, and a fifth as much of what it fell, is overfitting.
OVERFIT = 0.1
# Rows below which a trend says little.
FEW = 6

# Texts that are used in more than one place.
RANGE_TEST = "range_test: short runs at many rates say which one works"
VARIATION = "the variation of the model's outputs over a batch: none means it is constant"


def look_at_progress(run: Run, look: Look) -> None:
    """Add what the loss did, and whether the rate let it."""
    stood = _rate_of_zero(run, look)
    if len(run.loss) < FEW or run.rise is not None:
        return
    if not stood:
        if _falls_without_end(run, look):
            return
        if straight(run):
            _too_small(run, look)
        elif flat(run):
            _no_progress(run, look)
        else:
            _plateau(run, look)
            _early_annealing(run, look)
    _bump(run, look)
    _overfit(run, look)


def fall(run: Run) -> float:
    """How far the loss fell from its beginning to its end."""
    return run.loss.first - run.loss.last


def flat(run: Run) -> bool:
    """Whether the loss ended where it began, to within noise or what matters."""
    loss = run.loss
    rows = max(len(loss) // 15, 1)
    start = level(loss.values, 0, 0.1)
    error = 3 * loss.noise * math.sqrt(2 / rows)
    if 0 <= loss.first - loss.last < HARDLY * abs(loss.first):
        return True
    # a loss that rose at once and came back to where it was made no progress either
    if loss.values[0] - loss.last < max(3 * loss.noise * math.sqrt(1 / rows), HARDLY * abs(float(loss.values[0]))):
        return True
    return start - loss.last < max(error, NOTHING * abs(start)) and loss.first - loss.last < max(
        FAR * loss.noise, NOTHING * abs(start), error
    )


def straight(run: Run) -> bool:
    """Whether the loss still falls as fast at the end as at the beginning, for the same sum of rates."""
    loss = run.loss
    if len(loss) < 2 * FEW:
        return False
    # against the sum of the rates: an annealed run slows down without having arrived
    travelled = _distance(run)
    total = travelled[-1] - travelled[0]
    if total <= 0:
        return False
    at = [
        loss.smooth[min(int(np.searchsorted(travelled, travelled[0] + total * part)), len(loss) - 1)]
        for part in (0, 1 / 3, 2 / 3, 1)
    ]
    first, last = float(at[0] - at[1]), float(at[2] - at[3])
    error = 2 * loss.noise * math.sqrt(2 / max(len(loss) // 20, 1))
    # all of the fall must stand out from noise, and its last third by itself
    return float(at[0] - at[3]) > 3 * error and last > max(STRAIGHT * first, error) and first > 0 and not run.spikes


def _distance(run: Run) -> np.ndarray:
    """The sum of the rates up to each row of the loss; of the steps where there are no rates."""
    loss = run.loss
    if len(run.rate) < 2 or not np.isfinite(run.rate.values).all() or np.any(np.diff(run.rate.steps) < 0):
        return loss.steps
    rates = np.interp(loss.steps, run.rate.steps, run.rate.values)
    return np.concatenate([[0.0], np.cumsum(rates[:-1] * np.maximum(np.diff(loss.steps), 0))])


def _rate_of_zero(run: Run, look: Look) -> bool:
    if not run.stands_still():
        return False
    look.find(word="rate is 0", says=f"the rate is 0 in all {len(run.rate)} rows: no step was taken", step=None)
    look.suspect(
        word="rate is 0",
        says="an optimizer with a rate of 0 changes nothing",
        certain=True,
        try_first=(
            "print optimizer.param_groups[0]['lr'] before the first step: a warm-up that was never stepped stays at 0",
            "a total of 0 steps, an integer division (1 // steps) or a decay to 0 at the start does it too",
        ),
        measure="surefoot audit LOG --plan ...: where the schedule should have been",
        weight=6,
    )
    return True


def _falls_without_end(run: Run, look: Look) -> bool:
    loss = run.loss
    thirds = [level(loss.values, part, part + 0.05) for part in (0, 1 / 3, 2 / 3, 0.95)]
    first, last = thirds[0] - thirds[1], thirds[2] - thirds[3]
    if not (loss.last < 0 and -loss.last > 10 * abs(loss.first) and last > 1.5 * first > 0):
        return False
    look.find(
        word="falls without end",
        says=f"the loss fell from {number(loss.first)} to {number(loss.last)}, faster and faster",
    )
    look.suspect(
        word="no minimum",
        says="a loss that falls faster and faster below 0 has no least value: a sign, a missing square or regulariser",
        try_first=("check the sign of the loss", "a bound or a penalty on what grows"),
        measure="the curvature along the step: 0 or negative where there is no minimum",
        weight=4,
    )
    return True


def _no_progress(run: Run, look: Look) -> None:
    loss = run.loss
    if loss.last == 0:
        look.find(word="loss is 0", says="the loss is 0 from the first rows on: nothing is left to learn")
        return
    look.find(
        word="no progress",
        says=f"the loss was {number(loss.first)} at the start and {number(loss.last)} at the end of {len(loss)} rows "
        f"(noise {number(loss.noise)})",
    )
    constant = _best_constant(run, loss.last)
    peak, gain = run.peak(), reach(run)
    if gain is None or gain < ENOUGH * abs(loss.last):
        short = gain is not None and gain < FAR_TOO_SHORT * abs(loss.last)
        look.causes.append(_too_short(peak, gain, weight=3 if short else 2 if peak is not None else 1.6))
    if gain is None or gain >= ENOUGH * abs(loss.last):
        look.causes.append(_too_long(peak, gain, weight=1.5 if gain is None else 2.5))
    if constant:
        look.causes.append(_constant_output(run, constant, weight=3.2 if run.entropy is not None else 1.9))
    elif not len(run.norm):
        look.suspect(
            word="no gradient",
            says="a graph that is detached, or parameters that the optimizer does not hold, stay where they are",
            try_first=("print the gradient's norm: 0 or None means that nothing arrives",),
            measure="log the gradient's norm",
            weight=1.5,
        )


def _too_short(peak: float | None, gain: float | None, *, weight: float) -> Cause:
    says = "the steps were too short to be seen in the loss"
    if gain is not None:
        says = f"plain gradient descent with these rates and norms could lower the loss by about {number(gain)} in all"
    return Cause(
        word="rate too small",
        says=says + rate_was(peak, "the largest rate was"),
        try_first=(instead(peak, 10, "ten times the rate"), RANGE_TEST),
        measure="surefoot.training.range_test(model, loss, data, optimizer)",
        weight=weight,
    )


def _too_long(peak: float | None, gain: float | None, *, weight: float) -> Cause:
    says = "a first step too large can leave an output that is constant, and then nothing moves"
    if gain is not None:
        says = f"short steps with these norms would have lowered the loss by about {number(gain)}, and it did not fall"
        says += ": they went too far, or left an output that is constant"
    return Cause(
        word="rate above the limit",
        says=says + rate_was(peak, "the largest rate was"),
        try_first=(instead(peak, 1 / 10, "a tenth of the rate"), RANGE_TEST),
        measure=VARIATION,
        weight=weight,
    )


def reach(run: Run) -> float | None:
    """What plain gradient descent could have gained to first order: the sum of rate * norm^2."""
    if len(run.norm) < 2 or not len(run.rate) or not len(run.loss):
        return None
    steps = run.norm.steps
    rates = np.interp(steps, run.rate.steps, run.rate.values)
    width = np.maximum(np.diff(steps, append=steps[-1] + run.norm.every), 0)
    gain = float(np.sum(rates * np.square(run.norm.values) * width))
    return gain if math.isfinite(gain) else None


def _best_constant(run: Run, at: float) -> str:
    """What the level says of a constant prediction; empty if nothing."""
    if run.entropy is not None:
        close = abs(at - run.entropy) < 0.02 * max(abs(run.entropy), 1e-12)
        return f"{number(at)} is the loss of the best constant prediction, {number(run.entropy)}" if close else ""
    if at <= 0.5:
        return ""
    # the level alone is a hint at a number of classes, not proof of it: such a cause has little weight
    classes = round(math.exp(min(at, 20.0)))
    if 2 <= classes <= MOST_CLASSES and abs(math.log(classes) / at - 1) < CLOSE:
        return f"{number(at)} is ln {classes}, the loss of equal guesses among {classes} classes"
    return ""


def _constant_output(run: Run, says: str, *, weight: float) -> Cause:
    rate = run.peak()
    return Cause(
        word="best constant",
        says=f"{says}: the model ignores its inputs",
        try_first=(
            "fit ten samples until the loss is 0: if that fails it is the code (labels shuffled apart from the data, a "
            "detached graph, a wrong axis), not the rate",
            f"a rate of {number(rate / 10)}: a first step too large can leave the outputs constant"
            if rate
            else "a lower rate",
            "standardise the inputs",
        ),
        measure=VARIATION,
        weight=weight,
    )


def _too_small(run: Run, look: Look) -> None:
    loss = run.loss
    peak = run.peak()
    look.find(
        word="still falling",
        says=f"the loss went from {number(loss.first)} to {number(loss.last)} and falls at the end nearly as fast as "
        "at the beginning",
    )
    look.suspect(
        word="rate too small",
        says="a run of this length could have come further: its loss is nearly a straight line"
        + rate_was(peak, "the largest rate was"),
        try_first=(
            f"a rate of {number(3 * peak)}, then {number(10 * peak)}, instead of {number(peak)}"
            if peak
            else "three times the rate",
            RANGE_TEST,
            "or a longer run, if the rate was chosen with care",
        ),
        measure="surefoot.training.range_test(model, loss, data, optimizer)",
        weight=3,
    )


def _plateau(run: Run, look: Look) -> None:
    """Flat on a high level for most of the run, after a first fall."""
    loss = run.loss
    middle = level(loss.values, 0.3, 0.45)
    still = abs(middle - loss.last) < max(
        FAR * loss.noise / math.sqrt(max(len(loss) // 15, 1)), NOTHING * abs(loss.first)
    )
    if not still or loss.last < HIGH * loss.first or loss.first <= 0:
        return
    look.find(
        word="plateau",
        says=f"the loss fell from {number(loss.first)} to {number(middle)} and stayed there from a third of the run on",
        fault=run.entropy is not None and bool(_best_constant(run, loss.last)),
    )
    constant = _best_constant(run, loss.last)
    says = (
        constant
        or f"{number(loss.last)} may be what the best constant prediction has: the entropy of the labels says it"
    )
    look.causes.append(_constant_output(run, says, weight=3 if run.entropy is not None and constant else 1.4))


def _early_annealing(run: Run, look: Look) -> None:
    rate, loss, peak = run.rate, run.loss, run.peak()
    if not peak or len(rate) < FEW:
        return
    alive = np.nonzero(rate.values > NEARLY_ZERO * peak)[0]
    last = float(rate.steps[alive[-1]]) if len(alive) else 0.0
    begin, end = float(loss.steps[0]), float(loss.steps[-1])
    if end <= begin or (last - begin) / (end - begin) > TOO_EARLY:
        return
    look.find(
        word="annealed early",
        says=f"the rate is below a thousandth of its peak from {run.at(last)} on, for the last "
        f"{1 - (last - begin) / (end - begin):.0%} of the run",
        step=last,
        mark="rate nearly 0",
    )
    look.suspect(
        word="annealed early",
        says=f"what ran after {run.at(last)} changed nothing: the schedule took {last - begin:,.0f} "
        f"{run.curves.unit}s, the run took {end - begin:,.0f}",
        certain=True,
        try_first=(
            f"give the schedule the whole run: total={end - begin:,.0f}",
            "is it stepped more than once per update (once per process, or per micro-batch)?",
        ),
        measure="surefoot audit LOG --plan ...: which of the two it was",
        weight=3.5,
    )


def _bump(run: Run, look: Look) -> None:
    """Add a rise at the start from which the loss recovered."""
    loss = run.loss
    head = loss.smooth[: max(len(loss) // 4, 3)]
    top = int(np.argmax(head))
    begin = float(loss.values[0])
    if top == 0 or head[top] - begin < max(FAR * loss.noise, 0.1 * abs(begin)) or loss.last >= head[top]:
        return
    step = float(loss.steps[top])
    look.find(
        word="rise at the start",
        says=f"the loss first rose from {number(begin)} to {number(float(head[top]))} at {run.at(step)}, and "
        "fell from there",
        step=step,
        mark="rose first",
    )
    length = run.warmup_length()
    rate = run.peak()
    warmup = f", after a warm-up of {length:,.0f} {run.curves.unit}s" if length else ", without a warm-up"
    look.suspect(
        word="warm-up too short",
        says="a loss that rises before it falls met rates above the limit of the start"
        + (warmup if len(run.rate) else ""),
        try_first=(
            f"a warm-up of {3 * max(length or 0, step - float(loss.steps[0])):,.0f} {run.curves.unit}s",
            instead(rate, 1 / 2, "half the peak rate", "a peak"),
        ),
        measure="the limit at a few early steps (SharpnessTracker): warmup_advice turns it into a length",
        weight=3,
    )


def _overfit(run: Run, look: Look) -> None:
    held_out = run.curves.validation
    # one held-out loss a run, or a trend of three, says nothing
    if held_out is None:
        return
    kept = np.isfinite(held_out.values)
    values, steps = held_out.values[kept], held_out.steps[kept]
    if len(values) < 4:
        return
    best = int(np.argmin(values))
    end = float(np.median(values[-max(len(values) // 10, 1) :]))
    low, high = float(values[best]), max(float(values[0]), float(values[best]))
    if best >= len(values) - 2 or end - low < max(OVERFIT * abs(low), OVERFIT / 5 * (high - low)):
        return
    training = run.loss.values[run.loss.steps >= steps[best]]
    if len(training) > 3 and level(training, 0.8, 1.0) - level(training, 0, 0.2) > (end - low) / 2:
        return  # both rise: that is no overfitting
    look.find(
        word="overfitting",
        says=f"the held-out loss was least at {run.at(float(steps[best]))} ({number(low)}) and rose to {number(end)} "
        "while the training loss did not",
        step=float(steps[best]),
        mark="least held-out loss",
    )
    look.suspect(
        word="overfitting",
        says="the model learns the training data by heart; the step size is not the fault",
        try_first=(
            f"stop at {run.at(float(steps[best]))}",
            "more data or augmentation, weight decay, dropout, a smaller model",
        ),
        measure="the gap between the two losses at other sizes of the data",
        weight=3,
    )
