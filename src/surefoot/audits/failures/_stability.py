"""Divergence, jumps, spikes and oscillation: what a step that is too large does, and what looks like it."""

import math
from dataclasses import dataclass

import numpy as np

from surefoot.audits.failures._run import Look, Run, instead, number, rate_was
from surefoot.audits.failures._signal import Rise

# Part of the run that counts as its start.
EARLY = 0.05
# A rise so soon after the warm-up, in its own length, is still the warm-up's: it takes some steps to be seen.
JUST_AFTER = 1.15
# A norm this many times the usual one is a burst.
BURST = 4.0
# A rise that goes this part of its way in one row came at once.
AT_ONCE = 0.5
# Spikes from which on they are a habit.
SEVERAL = 3
# An oscillation lower than this part of what the loss fell, and than that part of its level, is a ripple.
RIPPLE, SWING = 0.04, 0.2
# A period is taken for an epoch, and spikes for the same rows of data, if they agree to within this part.
AGREE = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class Onset:
    """Where a rise begins, and what each cause of it is asked.

    Parameters
    ----------
    run : Run
    rise : Rise
    step : float
        Step of the last row before it.
    rate : float or None
        Rate in force there.
    from_start : bool
        Whether it begins with the run, so that nothing came before it.
    """

    run: Run
    rise: Rise
    step: float
    rate: float | None
    from_start: bool

    @property
    def at(self) -> str:
        """The step in words."""
        return self.run.at(self.step)

    @property
    def lower_rate(self) -> str:
        """A lower rate, with this run's numbers, and what the growth says of plain gradient descent."""
        text, growth = instead(self.rate, 1 / 3, "a third of the rate"), self.rise.growth
        if not self.rate or self.rate <= 0 or growth is None or growth > 100:
            return text
        # the loss of plain gradient descent grows by (rate x curvature - 1)^2 in a step
        limit = 2 * self.rate / (1 + math.sqrt(growth))
        return f"{text} (were it plain gradient descent, that growth would put the limit at {number(limit)})"


def look_at_stability(run: Run, look: Look) -> None:
    """Add what the loss did that a smaller step would not have done."""
    if not len(run.loss) or run.stands_still():
        return
    if run.rise is not None:
        _look_at_rise(run, run.rise, look)
    elif run.excursion is not None:
        _look_at_rise(run, run.excursion, look, passed=True)
    else:
        _spikes(run, look)
        _oscillation(run, look)


def _look_at_rise(run: Run, rise: Rise, look: Look, *, passed: bool = False) -> None:
    loss = run.loss
    step, end = float(loss.steps[rise.onset]), float(loss.steps[-1])
    from_start = rise.onset == 0 or (rise.onset <= 2 and loss.first - rise.low <= 0.1 * (rise.high - rise.low))
    onset = Onset(run=run, rise=rise, step=step, rate=run.rate_at(step), from_start=from_start)
    grew = f" by a factor of {rise.growth:.4g} per {run.curves.unit}" if rise.growth is not None else ""
    low, high = number(rise.low), number(rise.high)
    if passed:
        word = "rise"
        says = f"the loss rose from {low} at {onset.at}{grew} to {high} and came back later"
    elif run.ends_broken:
        word = "diverged"
        says = f"the loss left {low} at {onset.at} and grew{grew} to {high} at {run.at(end)}, the last finite row"
    elif rise.stays:
        word = "jump"
        says = f"the loss went from {low} at {onset.at} to {high} and stayed there"
    else:
        word = "slow divergence" if len(loss) - rise.onset > 8 else "diverged"
        says = f"the loss rose from {low} at {onset.at}{grew} to {high} at {run.at(end)}"
    look.find(word=word, says=says + rate_was(onset.rate, "the rate there was"), step=step, mark=f"{word} from here")
    _norm_with(onset, look)
    for look_for in (_resume, _rate_jump, _warmup_climb, _no_warmup, _above_the_limit, _bad_batch, _collapse):
        look_for(onset, look)


def _norm_with(onset: Onset, look: Look) -> None:
    """What the gradient's norm did over the same rows."""
    norm = onset.run.norm
    before, after = norm.values[norm.steps <= onset.step], norm.values[norm.steps > onset.step]
    if len(norm) < 6 or len(before) < 3 or not len(after):
        return
    usual, most = float(np.median(before[-30:])), float(after.max())
    if most > 2 * usual > 0:
        look.find(
            word="gradient grew",
            says=f"the gradient's norm went from {number(usual)} to {number(most)} over the same rows",
            step=onset.step,
            fault=False,
        )


def _resume(onset: Onset, look: Look) -> None:
    run = onset.run
    for step in run.resumes:
        if run.near(step, onset.step):
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


def _rate_jump(onset: Onset, look: Look) -> None:
    run = onset.run
    for step, top, before, after in run.jumps():
        if step - run.reach() <= onset.step <= top + run.reach():
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


def _warmup_climb(onset: Onset, look: Look) -> None:
    run, rate = onset.run, onset.rate
    top, peak = run.warmup(), run.peak()
    if top is None or rate is None or peak is None:
        return
    begin = float(run.rate.steps[0])
    if onset.step - begin > JUST_AFTER * (top - begin):
        return
    longer = f"a warm-up of {3 * (top - begin):,.0f} {run.curves.unit}s instead of {top - begin:,.0f}"
    on_the_way = onset.step < top
    where = f"at {number(rate)}, on the way to {number(peak)}" if on_the_way else f"when it had reached {number(peak)}"
    look.suspect(
        word="warm-up climbs above the limit",
        says=f"the rise begins during the warm-up or at its end, {where}: the peak is too high, or it comes too early",
        try_first=(f"a peak of {number((rate if on_the_way else peak) / 2)} instead of {number(peak)}", longer),
        measure="the limit at a few steps of the warm-up (SharpnessTracker): warmup_advice turns it into a length",
        weight=3.5,
    )


def _no_warmup(onset: Onset, look: Look) -> None:
    run = onset.run
    early = onset.from_start or onset.rise.onset <= EARLY * len(run.loss)
    if not early or run.warmup() is not None or not len(run.rate):
        return
    look.suspect(
        word="no warm-up",
        says=f"it rises from the start, at a rate of {number(onset.rate or 0)} from the first row on: curvature is "
        "often highest there",
        try_first=("a warm-up over the first few percent of the run; for Adam 2/(1 - beta2) steps",),
        measure="the limit at the start: surefoot.training.optimizer_limits(model, loss, data, optimizer)",
        weight=2,
    )


def _above_the_limit(onset: Onset, look: Look) -> None:
    rise = onset.rise
    steady = rise.growth is not None
    if onset.from_start:
        says = "the loss rises from the first rows on"
    elif steady:
        says = f"the loss grew steadily from {onset.at} on, as it does where a rate is above the limit"
    else:
        says = f"a rate that was fine until {onset.at} can be too high later: curvature changes along the run"
    if rise.growth is not None:
        says += f" ({rise.growth:.4g} per {onset.run.curves.unit})"
    weight = 3.0 if steady or onset.from_start else 1.8
    # another cause with a time of its own goes before this one, which is always possible
    if {cause.word for cause in look.causes} & {"rate jumped", "resume lost state", "warm-up climbs above the limit"}:
        weight = min(weight, 2.5)
    if rise.stays and not steady:
        weight = min(weight, 2.0)
    look.suspect(
        word="rate above the limit",
        says=says + rate_was(onset.rate),
        try_first=(
            onset.lower_rate,
            f"Guard: it goes back to before {onset.at} and brakes, by itself",
            _clip(onset.run, onset.step),
        ),
        measure=f"the limit at a snapshot from before {onset.at}: surefoot.training.optimizer_limits",
        weight=weight,
    )


def _clip(run: Run, until: float) -> str:
    before = run.norm.values[run.norm.steps <= until]
    if len(before) < 10:
        return "clip gradients at the 95th percentile of their norms; log the norms to know it"
    value = number(float(np.quantile(before, 0.95)))
    return f"clip gradients at {value}, the 95th percentile of the norms before {run.at(until)}"


def _bad_batch(onset: Onset, look: Look) -> None:
    run, rise, loss = onset.run, onset.rise, onset.run.loss
    if onset.from_start or rise.onset + 1 >= len(loss):
        return
    before, after = loss.values[rise.onset : rise.onset + 2].tolist()
    at_once = after - rise.low > AT_ONCE * (rise.high - rise.low)
    burst = run.norm_at(float(loss.steps[rise.onset + 1])) or 0.0
    # what grows by itself afterwards began with something else than one batch
    if not at_once and not (burst > 3 * BURST and rise.growth is None):
        return
    with_norm = f", and the gradient was {burst:.3g} times the usual" if burst >= BURST else ""
    look.suspect(
        word="bad batch",
        says=f"it came at once: {number(before)} at {onset.at}, {number(after)} in the next row{with_norm}: one batch "
        "can throw a run off",
        try_first=(
            _clip(run, onset.step),
            "Guard: it undoes an update after which other batches get worse",
            f"look at the batch after {onset.at}",
        ),
        measure="that batch again at a snapshot from before: does its loss stand out there?",
        weight=2.8 if burst > BURST else 2.2,
    )


def _collapse(onset: Onset, look: Look) -> None:
    run, rise = onset.run, onset.rise
    if not rise.stays:
        return
    best, first = run.entropy, run.loss.first
    where, weight = "", 2.0
    if best is not None and abs(rise.high - best) < 0.03 * max(abs(best), 1e-12):
        where, weight = f", {number(best)}, what a constant prediction has", 2.6
    elif abs(rise.high - first) < 0.25 * max(first - rise.low, 1e-300):
        where, weight = f", about that of the start ({number(first)})", 2.6
    look.suspect(
        word="collapse",
        says=f"it came to rest at {number(rise.high)}{where}: units that died or an output that became constant do not "
        "come back by themselves",
        try_first=(
            f"go back to a snapshot from before {onset.at}: what died stays dead",
            onset.lower_rate,
        ),
        measure="the variation of the model's outputs over a batch: none means it is constant",
        weight=weight,
    )


def _spikes(run: Run, look: Look) -> None:
    loss = run.loss
    if not run.spikes:
        return
    steps = loss.steps[[spike.top for spike in run.spikes]]
    first, last = float(steps[0]), float(steps[-1])
    for spike, step in zip(run.spikes[:SEVERAL], steps.tolist(), strict=False):
        burst = run.norm_at(step)
        says = f"a spike at {run.at(step)}: the loss went from {number(spike.before)} to {number(spike.height)}"
        says += f" and was back after {spike.rows} row{'s' * (spike.rows > 1)}"
        says += f"; the gradient's norm was {burst:.3g} times the usual" if burst is not None and burst > 2 else ""
        says += rate_was(run.rate_at(step))
        look.find(word="spike", says=says, step=step, fault=len(run.spikes) >= SEVERAL, mark="spike")
    if len(run.spikes) > SEVERAL:
        look.find(word="spikes", says=f"{len(run.spikes)} spikes in all, the last at {run.at(last)}")
    rate = run.rate_at(first)
    early = float(np.mean(steps < loss.steps[0] + 0.15 * np.ptp(loss.steps)))
    if len(run.spikes) < SEVERAL:
        look.suspect(
            word="bad batch",
            says=f"a single burst that passed: a batch unlike the others, at {run.at(first)}",
            try_first=(
                _clip(run, first - 1),
                f"look at the batch of {run.at(first)}",
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
        each = f"every {number(float(np.median(gaps)))}"
        each = f"once per epoch of {epoch:,.0f}" if at_epoch and epoch else each
        look.suspect(
            word="bad rows in the data",
            says=f"the spikes come {each} {run.curves.unit}s: the same rows each time",
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
            _clip(run, first - 1),
        ),
        measure="the limit at snapshots along the run: surefoot.training.optimizer_limits",
        weight=2.5,
    )
    if early > 0.6 and len(run.rate):
        look.suspect(
            word="warm-up too short",
            says="most spikes are in the first part of the run",
            try_first=("twice the warm-up, at the same peak",),
            measure="the limit at a few early steps; warmup_advice turns it into a length",
            weight=2.7,
        )


def _oscillation(run: Run, look: Look) -> None:
    loss, period = run.loss, run.period
    if period is None:
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
        mark=f"period {number(steps)}",
    )
    epoch = run.epoch_length()
    at_epoch = epoch is not None and any(abs(steps / epoch - n) < 2 * AGREE for n in (1, 2))
    # a cause with the same period explains it better than a rate at its limit
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
    says = "a step near the limit, with momentum, swings like this"
    says = "period 2 is what a step just above 2/curvature does" if period.rows == 2 and fast else says
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
    if len(run.rate) < 12:
        return False
    moves = np.sign(np.diff(run.rate.values))
    turns = run.rate.steps[1:-1][(moves[1:] > 0) & (moves[:-1] < 0)]
    return bool(len(turns) >= 2 and abs(float(np.median(np.diff(turns))) / steps - 1) < 4 * AGREE)
