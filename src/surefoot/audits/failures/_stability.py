"""Divergence, jumps, spikes and oscillation: what a step that is too large does, and what looks like it."""

import math

import numpy as np

from surefoot.audits.failures._run import Look, Run, instead, number, rate_was
from surefoot.audits.failures._signal import Rise

# Part of the run that counts as its start.
EARLY = 0.05
# A rise so soon after the warm-up, in its own length, is still the warm-up's: it takes some steps to be seen.
JUST_AFTER = 1.15
# A norm so many times the usual one is a burst.
BURST = 4.0
# A rise that has done so much of its way in one row came at once.
AT_ONCE = 0.5
# Spikes from which on they are a habit.
SEVERAL = 3
# An oscillation lower than this part of what the loss fell, and than that part of its level, is a ripple.
RIPPLE, SWING = 0.04, 0.2
# Periods are taken for an epoch, or several spikes for one row of the data, if they agree to so much.
AGREE = 0.06


def look_at_stability(run: Run) -> Look:
    """What the loss did that a smaller step would not have done."""
    look = Look()
    if run.loss is None or run.stands_still():
        return look
    if run.rise is not None:
        _look_at_rise(run, run.rise, look)
    elif run.excursion is not None:
        _look_at_rise(run, run.excursion, look, passed=True)
    else:
        _spikes(run, look)
        _oscillation(run, look)
    return look


def _look_at_rise(run: Run, rise: Rise, look: Look, *, passed: bool = False) -> None:
    loss = run.loss
    assert loss is not None
    onset, end = float(loss.steps[rise.onset]), float(loss.steps[-1])
    from_start = rise.onset == 0 or (rise.onset <= 2 and loss.first - rise.low <= 0.1 * (rise.high - rise.low))
    grew = f" by a factor of {rise.growth:.4g} per {run.per()}" if rise.growth is not None else ""
    if passed:
        word = "rise"
        says = (
            f"the loss rose from {number(rise.low)} at {run.at(onset)}{grew} to {number(rise.high)} and came back later"
        )
    elif run.ends_broken:
        word = "diverged"
        says = f"the loss left {number(rise.low)} at {run.at(onset)} and grew{grew} to {number(rise.high)}"
        says += f" at {run.at(end)}, the last finite row"
    elif rise.stays:
        word = "jump"
        says = f"the loss went from {number(rise.low)} at {run.at(onset)} to {number(rise.high)} and stayed there"
    else:
        word = "slow divergence" if _rows_after(run, rise) > 8 else "diverged"
        says = f"the loss rose from {number(rise.low)} at {run.at(onset)}{grew} to {number(rise.high)} at {run.at(end)}"
    rate = run.rate_at(onset)
    says += rate_was(rate, "the rate there was")
    look.find(word=word, says=says, step=onset)
    look.marks.append((onset, f"{word} from here"))
    _norm_with(run, rise, look)
    for make in (_resume, _rate_jump, _warmup_climb, _no_warmup, _above_the_limit, _bad_batch, _collapse):
        make(run, rise, look, onset=onset, from_start=from_start)


def _rows_after(run: Run, rise: Rise) -> int:
    return 0 if run.loss is None else len(run.loss) - rise.onset


def _norm_with(run: Run, rise: Rise, look: Look) -> None:
    """What the gradient's norm did over the same rows."""
    if run.norm is None or run.loss is None or len(run.norm) < 6:
        return
    onset = run.loss.steps[rise.onset]
    before, after = run.norm.values[run.norm.steps <= onset], run.norm.values[run.norm.steps > onset]
    if len(before) < 3 or not len(after):
        return
    usual, most = float(np.median(before[-30:])), float(after.max())
    if most > 2 * usual > 0:
        look.find(
            word="gradient grew",
            says=f"the gradient's norm went from {number(usual)} to {number(most)} over the same rows",
            step=float(onset),
            fault=False,
        )


def _lower(rate: float | None, rise: Rise) -> str:
    """A lower rate, with this run's numbers."""
    return instead(rate, 1 / 3, "a third of the rate") + _plain_limit(rate, rise)


def _plain_limit(rate: float | None, rise: Rise) -> str:
    """For plain gradient descent growth says the limit: the loss grows by (rate x curvature - 1)^2 in a step."""
    if not rate or rate <= 0 or rise.growth is None or rise.growth > 100:
        return ""
    limit = 2 * rate / (1 + math.sqrt(rise.growth))
    return f" (were it plain gradient descent, that growth would put the limit at {number(limit)})"


def _resume(run: Run, rise: Rise, look: Look, *, onset: float, from_start: bool) -> None:  # noqa: ARG001
    for step in run.resumes:
        if run.near(step, onset):
            look.suspect(
                word="resume lost state",
                says=f"the log goes back to {run.at(step)}, where the rise begins: the resumed run lacked something "
                "(the optimizer's state, the scheduler's, the loss scale, other weights)",
                try_first=(
                    "load the optimizer's state_dict with the model's, and the scheduler's and scaler's",
                    "a short warm-up after the resume, if the optimizer's state is lost",
                ),
                measure="the loss of one fixed batch just before saving and just after loading",
                weight=4,
            )


def _rate_jump(run: Run, rise: Rise, look: Look, *, onset: float, from_start: bool) -> None:  # noqa: ARG001
    for step, top, before, after in run.jumps():
        if step - run.reach() <= onset <= top + run.reach():
            look.find(
                word="rate jumped",
                says=f"the rate went from {number(before)} up to {number(after)} at {run.at(step)}",
                step=step,
            )
            look.suspect(
                word="rate jumped",
                says=f"the rise begins where the rate went from {number(before)} to {number(after)}",
                try_first=(
                    f"was the schedule started again there, or a cycle begun? the rate had been {number(before)}",
                    f"if the jump is meant, a peak of {number(max(after / 3, before))}",
                ),
                measure="surefoot audit LOG --plan ...: whether the schedule that ran is the one that was planned",
                weight=4,
            )
            return


def _warmup_climb(run: Run, rise: Rise, look: Look, *, onset: float, from_start: bool) -> None:  # noqa: ARG001
    top = run.warmup()
    rate, peak = run.rate_at(onset), run.peak()
    if top is None or rate is None or peak is None or run.rate is None:
        return
    begin = float(run.rate.steps[0])
    if onset - begin > JUST_AFTER * (top - begin):
        return
    longer = f"a warm-up of {3 * (top - begin):,.0f} {run.curves.unit}s instead of {top - begin:,.0f}"
    on_the_way = onset < top
    where = f"at {number(rate)}, on the way to {number(peak)}" if on_the_way else f"when it had reached {number(peak)}"
    look.suspect(
        word="warm-up climbs above the limit",
        says=f"the rise begins during the warm-up or at its end, {where}: the peak is too high, or it comes too early",
        try_first=(f"a peak of {number((rate if on_the_way else peak) / 2)} instead of {number(peak)}", longer),
        measure="the limit at a few steps of the warm-up (SharpnessTracker): warmup_advice turns it into a length",
        weight=3.5,
    )


def _no_warmup(run: Run, rise: Rise, look: Look, *, onset: float, from_start: bool) -> None:
    loss = run.loss
    early = loss is not None and (from_start or rise.onset <= EARLY * len(loss))
    if not early or run.warmup() is not None or run.rate is None:
        return
    rate = run.rate_at(onset)
    look.suspect(
        word="no warm-up",
        says=f"it rises from the start, at a rate of {number(rate or 0)} from the first row on: curvature is often "
        "highest there",
        try_first=("a warm-up over the first few percent of the run; for Adam 2/(1 - beta2) steps",),
        measure="the limit at the start: surefoot.training.optimizer_limits(model, loss, data, optimizer)",
        weight=2,
    )


def _above_the_limit(run: Run, rise: Rise, look: Look, *, onset: float, from_start: bool) -> None:
    rate = run.rate_at(onset)
    steady = rise.growth is not None
    # another cause with a time of its own goes before this one, which is always possible
    known = {cause.word for cause in look.causes}
    if from_start:
        says = "the loss rises from the first rows on"
    elif steady:
        says = f"the loss grew steadily from {run.at(onset)} on, as it does where a rate is above the limit"
    else:
        says = f"a rate that was fine until {run.at(onset)} can be too high later: curvature changes along the run"
    if steady and rise.growth is not None:
        says += f" ({rise.growth:.4g} per {run.per()})"
    weight = 3.0 if steady or from_start else 1.8
    if known & {"rate jumped", "resume lost state", "warm-up climbs above the limit"}:
        weight = min(weight, 2.5)
    if rise.stays and not steady:
        weight = min(weight, 2.0)
    look.suspect(
        word="rate above the limit",
        says=says + rate_was(rate),
        try_first=(
            _lower(rate, rise),
            f"Guard: it goes back to before {run.at(onset)} and brakes, by itself",
            _clip(run, onset),
        ),
        measure=f"the limit at a snapshot from before {run.at(onset)}: surefoot.training.optimizer_limits",
        weight=weight,
    )


def _clip(run: Run, onset: float) -> str:
    if run.norm is not None:
        before = run.norm.values[run.norm.steps <= onset]
        if len(before) >= 10:
            value = float(np.quantile(before, 0.95))
            return f"clip gradients at {number(value)}, the 95th percentile of the norms before {run.at(onset)}"
    return "clip gradients at the 95th percentile of their norms; log the norms to know it"


def _bad_batch(run: Run, rise: Rise, look: Look, *, onset: float, from_start: bool) -> None:
    loss = run.loss
    if loss is None or from_start or rise.onset + 1 >= len(loss):
        return
    after = float(loss.values[rise.onset + 1])
    at_once = after - rise.low > AT_ONCE * (rise.high - rise.low)
    burst = run.norm_at(float(loss.steps[rise.onset + 1]))
    if not at_once and not (burst is not None and burst > 3 * BURST and rise.growth is None):
        return
    with_norm = "" if burst is None or burst < BURST else f", and the gradient was {burst:.3g} times the usual"
    look.suspect(
        word="bad batch",
        says=f"it came at once: {number(float(loss.values[rise.onset]))} at {run.at(onset)}, {number(after)} in the "
        f"next row{with_norm}: one batch can throw a run off",
        try_first=(
            _clip(run, onset),
            "Guard: it undoes an update after which other batches get worse",
            f"look at the batch after {run.at(onset)}",
        ),
        measure="that batch again at a snapshot from before: does its loss stand out there?",
        weight=2.8 if burst is not None and burst > BURST else 2.2,
    )


def _collapse(run: Run, rise: Rise, look: Look, *, onset: float, from_start: bool) -> None:  # noqa: ARG001
    if not rise.stays or run.loss is None:
        return
    best = run.entropy
    same = best is not None and abs(rise.high - best) < 0.03 * max(abs(best), 1e-12)
    like_start = abs(rise.high - run.loss.first) < 0.25 * max(run.loss.first - rise.low, 1e-300)
    where = ""
    if same and best is not None:
        where = f", {number(best)}, what a constant prediction has"
    elif like_start:
        where = f", about that of the start ({number(run.loss.first)})"
    look.suspect(
        word="collapse",
        says=f"it came to rest at {number(rise.high)}{where}: units that died or an output that became constant do not "
        "come back by themselves",
        try_first=(
            f"go back to a snapshot from before {run.at(onset)}: what died stays dead",
            _lower(run.rate_at(onset), rise),
        ),
        measure="the variation of the model's outputs over a batch: none means it is constant",
        weight=2.6 if same or like_start else 2.0,
    )


def _spikes(run: Run, look: Look) -> None:
    loss = run.loss
    if loss is None or not run.spikes:
        return
    shown = run.spikes[:SEVERAL]
    for spike in shown:
        step = float(loss.steps[spike.top])
        burst = run.norm_at(step)
        rate = run.rate_at(step)
        says = f"a spike at {run.at(step)}: the loss went from {number(spike.before)} to {number(spike.height)}"
        says += f" and was back after {spike.rows} row{'s' * (spike.rows > 1)}"
        says += f"; the gradient's norm was {burst:.3g} times the usual" if burst is not None and burst > 2 else ""
        says += rate_was(rate)
        look.find(word="spike", says=says, step=step, fault=len(run.spikes) >= SEVERAL)
        look.marks.append((step, "spike"))
    steps = np.array([float(loss.steps[spike.top]) for spike in run.spikes])
    if len(run.spikes) > SEVERAL:
        look.find(word="spikes", says=f"{len(run.spikes)} spikes in all, the last at {run.at(float(steps[-1]))}")
    rate = run.rate_at(float(steps[0]))
    early = float(np.mean(steps < loss.steps[0] + 0.15 * np.ptp(loss.steps)))
    if len(run.spikes) < SEVERAL:
        first = run.spikes[0]
        look.suspect(
            word="bad batch",
            says=f"a single burst that passed: a batch unlike the others, at {run.at(float(steps[0]))}",
            try_first=(
                _clip(run, float(steps[0]) - 1),
                f"look at the batch of {run.at(float(loss.steps[first.top]))}",
                "Guard: it leaves such updates out if other batches get worse after them",
            ),
            measure="that batch again at a snapshot from before",
            weight=1.5,
        )
        return
    # rows of the data come again after an epoch, chance does not
    gaps = np.diff(steps)
    epoch = run.epoch_length()
    regular = len(gaps) >= 2 and float(np.ptp(gaps)) <= 2 * AGREE * float(np.median(gaps))
    at_epoch = epoch is not None and float(np.max(np.abs(gaps / epoch - np.round(gaps / epoch)))) < AGREE
    if at_epoch or regular:
        each = (
            f"once per epoch of {epoch:,.0f} {run.curves.unit}s"
            if at_epoch and epoch
            else (f"every {number(float(np.median(gaps)))} {run.curves.unit}s")
        )
        look.suspect(
            word="bad rows in the data",
            says=f"the spikes come {each}: the same rows each time",
            try_first=(
                f"look at the batches of {', '.join(run.at(float(step)) for step in steps[:3])}: what do they share?",
                "shuffle anew each epoch: if the spikes stay regular, it is not the data",
            ),
            measure="the loss of every row at a snapshot: which stand out?",
            weight=3,
        )
    look.suspect(
        word="recurring spikes",
        says=f"{len(run.spikes)} spikes: the rate is close to the limit"
        + ("" if rate is None else f" ({number(rate)} at the first)")
        + ", or Adam's second moment forgets too slowly what it needs",
        try_first=(
            instead(rate, 1 / 2, "half the rate"),
            "beta2 = 0.95 instead of 0.999, for Adam",
            _clip(run, float(steps[0]) - 1),
        ),
        measure="the limit at snapshots along the run: surefoot.training.optimizer_limits",
        weight=2.5,
    )
    if early > 0.6 and run.rate is not None:
        look.suspect(
            word="warm-up too short",
            says="most spikes are in the first part of the run",
            try_first=("twice the warm-up, at the same peak",),
            measure="the limit at a few early steps; warmup_advice turns it into a length",
            weight=2.7,
        )


def _oscillation(run: Run, look: Look) -> None:
    loss, period = run.loss, run.period
    if loss is None or period is None:
        return
    fell = max(loss.first - float(loss.smooth.min()), 0.0)
    if period.height < max(min(RIPPLE * fell, SWING * abs(loss.last)), RIPPLE / 8 * fell):
        return
    steps = period.rows * loss.every
    unit = run.curves.unit
    rate = run.rate_at(float(loss.steps[-1]))
    look.find(
        word="oscillation",
        says=f"in the second half the loss swings by {number(period.height)} with a period of {number(steps)} {unit}s "
        f"(autocorrelation {period.share:.2f})",
        step=float(loss.steps[len(loss) // 2]),
    )
    look.marks.append((float(loss.steps[len(loss) // 2]), f"period {number(steps)}"))
    epoch = run.epoch_length()
    at_epoch = epoch is not None and any(abs(steps / epoch - n) < 2 * AGREE for n in (1, 2))
    cyclic = _rate_period(run, steps)
    if cyclic:
        look.suspect(
            word="cyclic rate",
            says=f"the rate has the same period of {number(steps)} {unit}s",
            try_first=("end with an annealing that does not rise again", "a lower peak of the cycles"),
            measure="the loss at the lows of the rate alone",
            weight=4,
        )
    if at_epoch:
        look.suspect(
            word="order of the data",
            says=f"the period is that of the epochs, {number(epoch or steps)} {unit}s",
            try_first=(
                "shuffle the data anew in each epoch",
                "a held-out loss: what rises and falls with the order of the data does not show in it",
            ),
            measure="the loss on one fixed set of rows along the run",
            weight=3.5,
        )
    # seen through a log of every tenth step, a period of 2 has any other
    fast = period.rows <= 3 and loss.every <= 1
    says = (
        "period 2 is what a step just above 2/curvature does"
        if period.rows == 2 and fast
        else ("a step near the limit, with momentum, swings like this")
    )
    look.suspect(
        word="rate at the limit",
        says=says + rate_was(rate),
        try_first=(
            instead(rate, 1 / 2, "half the rate"),
            "anneal: lower the rate along the run, so that it settles",
            "more samples in a batch, if it is noise that is followed",
        ),
        measure="the limit at the end: surefoot.training.optimizer_limits at the last checkpoint",
        weight=3 if fast else 2,
    )
    if period.rows > 2 and not at_epoch and not cyclic:
        look.suspect(
            word="order of the data",
            says=f"data that come in the same order each {number(steps)} {unit}s do this too",
            try_first=("shuffle the data anew in each epoch",),
            measure=f"is an epoch {number(steps)} {unit}s long?",
            weight=1.8,
        )


def _rate_period(run: Run, steps: float) -> bool:
    """Whether the rate goes up and down with that period."""
    jumps = [step for step, *_ in run.jumps()]
    if len(jumps) >= 2:
        return bool(abs(float(np.median(np.diff(jumps))) / steps - 1) < 4 * AGREE)
    if run.rate is None or len(run.rate) < 12:
        return False
    moves = np.sign(np.diff(run.rate.values))
    turns = run.rate.steps[1:-1][(moves[1:] > 0) & (moves[:-1] < 0)]
    return bool(len(turns) >= 2 and abs(float(np.median(np.diff(turns))) / steps - 1) < 4 * AGREE)
