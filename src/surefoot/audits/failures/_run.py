"""A run as its log shows it: the curves, and what is asked of them more than once."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from surefoot.audits.failures._signal import (
    Period,
    Rise,
    Signal,
    Spike,
    find_excursion,
    find_period,
    find_rise,
    find_spikes,
    signal_of,
)
from surefoot.audits.failures._types import Cause, Finding
from surefoot.logs import Curve, Curves

Array = NDArray[np.float64]

# A rate that grows by more from one row to the next, after the warm-up, jumped: no annealing does that.
JUMP = 1.5
# A warm-up begins lower than this part of its peak.
LOW = 0.9
# Rows, or part of the run, within which two things are taken to belong together.
NEAR_ROWS, NEAR = 4, 0.03
# What stands for a column that was not logged, so that nothing below has to ask whether there is one.
NOTHING = Curve(column="", steps=np.zeros(0), values=np.zeros(0), written=())


@dataclass(frozen=True, slots=True)
class Look:
    """Findings, causes and marks, as they are collected."""

    findings: list[Finding] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)

    def find(self, *, word: str, says: str, step: float | None = None, fault: bool = True, mark: str = "") -> None:
        """Add a finding, see `Finding`; with `mark`, its step is marked in a figure by these words."""
        self.findings.append(Finding(word=word, says=says, step=step, fault=fault))
        if mark and step is not None:
            self.marks.append((step, mark))

    def suspect(
        self, *, word: str, says: str, try_first: tuple[str, ...], measure: str, weight: float, certain: bool = False
    ) -> None:
        """Add a cause; see `Cause`."""
        self.causes.append(
            Cause(word=word, says=says, certain=certain, try_first=try_first, measure=measure, weight=weight)
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """A run.

    Parameters
    ----------
    curves : Curves
    logged_loss : Curve
        The loss as it was logged.
    loss, norm : Signal
        Their finite parts; without a row where they were not logged.
    rate : Curve
        The logged rates; without a row where they were not logged.
    ends_broken : bool
        Whether the loss is not finite at the end of the log.
    rise : Rise or None
        Rise of the loss from which it did not recover.
    excursion : Rise or None
        Rise from which it recovered.
    spikes : list of Spike
        Bursts of the loss.
    period : Period or None
        Oscillation of the loss.
    resumes : tuple of float
        Steps at which the log went back.
    entropy : float or None
        Loss of the best constant prediction, if it was given.
    """

    curves: Curves
    logged_loss: Curve
    loss: Signal
    norm: Signal
    rate: Curve
    ends_broken: bool
    rise: Rise | None
    excursion: Rise | None
    spikes: list[Spike]
    period: Period | None
    resumes: tuple[float, ...]
    entropy: float | None

    def at(self, step: float) -> str:
        """A step in words: "step 2,140" or "epoch 3.5"."""
        return f"{self.curves.unit} {step:,.0f}" if step == round(step) else f"{self.curves.unit} {step:,.4g}"

    def stands_still(self) -> bool:
        """Whether the rate is 0 in all rows: nothing that the loss does is a step's doing."""
        return len(self.rate) > 0 and not np.any(self.rate.values != 0)

    def rate_at(self, step: float) -> float | None:
        """The rate in force at a step: the last one that was logged up to it."""
        if not len(self.rate):
            return None
        # rates are logged at steps of their own, as by Lightning's monitor
        before = np.nonzero(self.rate.steps <= step)[0]
        index = int(before[-1]) if len(before) else 0
        value = float(self.rate.values[index])
        return value if np.isfinite(value) else None

    def peak(self) -> float | None:
        """The largest finite rate."""
        finite = self.rate.values[np.isfinite(self.rate.values)]
        return float(finite.max()) if len(finite) else None

    def warmup(self) -> float | None:
        """The step at which the rate first stops rising, if it rose from the start."""
        top = self._top(0)
        return float(self.rate.steps[top]) if top >= 2 and self.rate.values[0] < LOW * self.rate.values[top] else None

    def warmup_length(self) -> float | None:
        """Steps from the first row to the end of the warm-up."""
        top = self.warmup()
        return None if top is None else top - float(self.rate.steps[0])

    def _top(self, begin: int) -> int:
        """The row up to which the rate rises from a row on, without a break."""
        falls = np.nonzero(~(np.diff(self.rate.values[begin:]) > 0))[0]
        return begin + int(falls[0]) if len(falls) else len(self.rate) - 1

    def jumps(self) -> list[tuple[float, float, float, float]]:
        """(step, step of the top, rate before, rate after) where the rate jumped up, the warm-up left out."""
        ramp = self.warmup() or -np.inf
        values, steps = self.rate.values, self.rate.steps
        places: list[tuple[float, float, float, float]] = []
        for i in range(1, len(values)):
            before, after = float(values[i - 1]), float(values[i])
            if steps[i] > ramp and after > JUMP * before and not (places and places[-1][1] >= steps[i]):
                # a second warm-up climbs over several rows: its top is what counts
                top = self._top(i)
                places.append((float(steps[i]), float(steps[top]), before, float(values[top])))
        return places

    def near(self, one: float, other: float) -> bool:
        """Whether two steps are close enough to belong together."""
        return abs(one - other) <= self.reach()

    def reach(self) -> float:
        """Steps within which two things are taken to belong together."""
        return max(NEAR_ROWS * self.loss.every, NEAR * float(np.ptp(self.loss.steps)))

    def norm_at(self, step: float) -> float | None:
        """The largest gradient norm within a row of a step, over the median of those before; None if not logged."""
        if len(self.norm) < 8:
            return None
        here = np.abs(self.norm.steps - step) <= 1.5 * self.norm.every
        before = self.norm.values[self.norm.steps < step - 1.5 * self.norm.every][-50:]
        if not here.any() or len(before) < 3:
            return None
        usual = float(np.median(before))
        return float(self.norm.values[here].max()) / usual if usual > 0 else None

    def epoch_length(self) -> float | None:
        """Steps in an epoch, where the log has both."""
        epochs = self.curves.epochs
        if epochs is None or len(epochs) < 2:
            return None
        span = float(np.ptp(epochs.values))
        if span < 2 or not np.isfinite(span):
            return None
        return float(np.ptp(epochs.steps)) / span


def run_of(curves: Curves, entropy: float | None) -> Run:
    """The run that a log shows."""
    logged, rate = curves.loss or NOTHING, curves.rate or NOTHING
    loss, norm = signal_of(logged), signal_of(curves.norm or NOTHING)
    ends_broken = len(logged) > 0 and not np.isfinite(logged.values[-1])
    rise = find_rise(loss, ended=ends_broken)
    excursion = find_excursion(loss) if rise is None else None
    calm = rise is None and excursion is None
    steps = logged.steps
    back = np.nonzero(np.diff(steps) < 0)[0]
    # more than a few returns are a log out of order, or several runs in one
    resumes = tuple(float(steps[i + 1]) for i in back) if len(back) <= max(3, len(steps) // 50) else ()
    return Run(
        curves=curves,
        logged_loss=logged,
        loss=loss,
        norm=norm,
        rate=rate,
        ends_broken=ends_broken,
        rise=rise,
        excursion=excursion,
        spikes=find_spikes(loss) if calm else [],
        period=find_period(loss) if calm else None,
        resumes=resumes,
        entropy=entropy,
    )


def number(value: float) -> str:
    """Four digits: more would say more than a log knows."""
    return f"{value:.4g}"


def rate_was(rate: float | None, words: str = "the rate was") -> str:
    """The rate at the end of a sentence; nothing where it was not logged."""
    return "" if rate is None else f"; {words} {number(rate)}"


def instead(rate: float | None, factor: float, otherwise: str, what: str = "a rate") -> str:
    """Another rate to try, with this run's numbers: "a rate of 0.1 instead of 0.3"; in words where none was logged."""
    return f"{what} of {number(factor * rate)} instead of {number(rate)}" if rate and rate > 0 else otherwise
