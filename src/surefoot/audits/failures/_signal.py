"""What a noisy curve does: its level, its noise, where it rises for good, its spikes, its period.

Medians throughout: a loss has bursts, and a mean follows them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surefoot.logs import Curve

Array = NDArray[np.float64]

# The standard deviation of a normal distribution over its median absolute deviation.
SIGMA = 1.4826
# Rows on each side that a running median looks at, as a part of all, and at least.
WINDOW, LEAST_WINDOW = 1 / 40, 2
# A running median with a longer reach, on a curve of more rows, is taken over blocks: it would fill the memory.
REACH, LONG = 50, 10_000
# Rows whose median is the level at an end of the curve, as a part of all.
END = 1 / 15
# By convention: what noise does less than once in a thousand logs.
FAR = 6.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Signal:
    """A curve's finite part up to where it stops being finite for good.

    Parameters
    ----------
    steps, values, smooth : array, shape (n,)
        `smooth` is a running median.
    noise : float
        Standard deviation from row to row.
    first, last : float
        Levels at the two ends.
    """

    steps: Array
    values: Array
    smooth: Array
    noise: float
    first: float
    last: float

    def __len__(self) -> int:
        return len(self.values)

    @property
    def every(self) -> float:
        """Steps between two rows, mostly."""
        return float(np.median(np.abs(np.diff(self.steps)))) if len(self) > 1 else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """A rise from which the curve did not recover.

    Parameters
    ----------
    onset : int
        Index of the last row before it.
    low, high : float
        Levels before it and at the end.
    growth : float or None
        Factor by which the excess over `low` grows in a step, where it grows steadily.
    stays : bool
        Whether it came to rest on a higher level.
    """

    onset: int
    low: float
    high: float
    growth: float | None
    stays: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Spike:
    """A burst from which the curve recovered: index of its top, height, the level before, rows until it was over."""

    top: int
    height: float
    before: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """An oscillation in the second half: its period in rows, its share of the variance, its height from low to high."""

    rows: int
    share: float
    height: float


def signal_of(curve: Curve) -> Signal:
    """The finite part of a curve up to its last finite value; without a row where it has none."""
    finite = np.isfinite(curve.values)
    steps, values = curve.steps[finite], curve.values[finite]
    if not len(values):
        return Signal(steps=steps, values=values, smooth=values, noise=0.0, first=np.nan, last=np.nan)
    # differences of second order: a steady trend is no noise
    bends = np.diff(values, 2) if len(values) > 3 else np.zeros(1)
    noise = SIGMA * float(np.median(np.abs(bends - np.median(bends)))) / np.sqrt(6)
    end = max(1, min(len(values) // 3, round(len(values) * END) or 1))
    return Signal(
        steps=steps,
        values=values,
        smooth=running_median(values, max(LEAST_WINDOW, round(len(values) * WINDOW))),
        noise=noise,
        # of a fast fall the first rows count, not the level that it comes to within a few
        first=float(max(np.median(values[: max(end // 3, 1)]), np.median(values[: 3 if len(values) > 12 else 1]))),
        last=float(np.median(values[-end:])),
    )


def running_median(values: Array, reach: int) -> Array:
    """Medians of `reach` rows on each side; at the ends of as many as there are on both.

    For a long curve with a long reach medians of blocks are taken first: a window of ten thousand rows at each of half
    a million would fill the memory, and its median hardly moves from row to row.
    """
    n = len(values)
    if reach > REACH and n > LONG:
        block = -(-reach // REACH)
        edges = np.arange(0, n, block)
        blocks = np.array([np.median(values[i : i + block]) for i in edges])
        return np.interp(np.arange(n), edges + (block - 1) / 2, running_median(blocks, REACH))
    if n <= 2 * reach:
        spans = (min(i, n - 1 - i) for i in range(n))
        return np.array([np.median(values[i - span : i + span + 1]) for i, span in enumerate(spans)])
    windows = np.lib.stride_tricks.sliding_window_view(values, 2 * reach + 1)
    # in parts, as np.median copies what it is given
    middle = [np.median(windows[i : i + LONG], axis=1) for i in range(0, len(windows), LONG)]
    left = [np.median(values[: 2 * i + 1]) for i in range(reach)]
    right = [np.median(values[n - 2 * i - 1 :]) for i in reversed(range(reach))]
    return np.concatenate([left, *middle, right])


def level(values: Array, first: float, last: float) -> float:
    """The median of a part of the rows, given as parts of all."""
    n = len(values)
    begin = min(int(first * n), n - 1)
    return float(np.median(values[begin : max(int(last * n), begin + 1)]))


def find_rise(signal: Signal, *, ended: bool) -> Rise | None:
    """Where the curve leaves its lowest level for good.

    Parameters
    ----------
    signal : Signal
    ended : bool
        Whether it stops being finite: then its last row counts, however short the rise was.
    """
    n = len(signal)
    if n < 3:
        return None
    smooth, values = signal.smooth, signal.values
    # the last row is left out: a run that only falls has its bottom there, and nothing after it
    bottom = int(np.argmin(smooth[: max(n - 1, 1)]))
    low = float(smooth[bottom])
    high = float(values[-1]) if ended else float(np.median(values[-max(2, min(n // 20, 10)) :]))
    # what it had gained: a rise that gives back a seventh of it is more than a wave
    span = max(signal.first - low, 0.0)
    needed = max(FAR * signal.noise, 0.15 * span, 0.02 * abs(low))
    if high - low <= needed:
        return None
    # back from the end to the last row that is still on the low level; what is small beside a huge end counts, too
    edge = low + max(4 * signal.noise, 0.01 * min(high - low, span + abs(low)))
    below = np.nonzero(values <= edge)[0]
    onset = int(below[-1]) if len(below) else 0
    tail = values[onset:]
    peak = float(np.max(tail))
    half = tail[len(tail) // 2 :]
    flat = len(tail) >= 6 and float(np.ptp(running_median(half, 1))) < max(0.25 * (high - low), FAR * signal.noise)
    growth = None
    if not flat and len(tail) >= 4 and high > 0.5 * (peak - low) + low:
        growth = _growth(signal.steps[onset:], tail - low)
    return Rise(onset=onset, low=low, high=high, growth=growth, stays=flat and not ended)


def find_excursion(signal: Signal) -> Rise | None:
    """A rise that lasted longer than a burst and from which the curve recovered; one at the start does not count."""
    n = len(signal)
    begin = n // 4
    if n < 24:
        return None
    top = begin + int(np.argmax(signal.smooth[begin:]))
    low = float(signal.smooth[:top].min()) if top else np.inf
    height = float(signal.smooth[top]) - low
    if height <= max(FAR * signal.noise, 0.5 * (signal.first - low), 0.3 * abs(low)):
        return None
    until = Signal(
        steps=signal.steps[: top + 1],
        values=np.append(signal.values[:top], signal.smooth[top]),
        smooth=signal.smooth[: top + 1],
        noise=signal.noise,
        first=signal.first,
        last=float(signal.smooth[top]),
    )
    return find_rise(until, ended=True)


def _growth(steps: Array, excess: Array) -> float | None:
    """Factor by which the excess grows in a step, if its logarithm is a line."""
    kept = excess > 0
    if kept.sum() < 4:
        return None
    x, y = steps[kept], np.log(excess[kept])
    if np.ptp(x) == 0:
        return None
    x = x - x.mean()
    slope = float(x @ (y - y.mean()) / (x @ x))
    left = y - y.mean() - slope * x
    # an exponential's logarithm is a line; a jump's is a step, a parabola's bends
    if np.std(left) > 0.35 * np.std(y) or slope <= 0:
        return None
    return float(np.exp(min(slope, 700.0)))


def find_spikes(signal: Signal) -> list[Spike]:
    """Bursts above the running median that end again."""
    n = len(signal)
    if n < 8:
        return []
    # bursts are short, however long the run
    reach = min(max(5, n // 40), n // 3, REACH)
    middle = running_median(signal.values, reach)
    left = signal.values - middle
    spread = SIGMA * float(np.median(np.abs(left)))
    drop = max(signal.first - float(np.min(signal.smooth)), 0.0)
    tall = left > np.maximum(10 * max(spread, signal.noise), np.maximum(0.02 * drop, 0.1 * np.abs(middle)))
    spikes: list[Spike] = []
    i = 1  # a run begins high: its first row is no spike
    while i < n:
        if not tall[i]:
            i += 1
            continue
        end = i
        while end < n and left[end] > 3 * spread and end - i < reach:
            end += 1
        if end < n:  # else it is not over, and no spike but a rise
            top = i + int(np.argmax(signal.values[i:end]))
            before = float(np.median(signal.values[max(i - 5, 0) : i]))
            spikes.append(Spike(top=top, height=float(signal.values[top]), before=before, rows=end - i))
        i = end + 1
    return spikes


def find_period(signal: Signal) -> Period | None:
    """An oscillation of the second half whose autocorrelation noise cannot make."""
    values = signal.values[len(signal) // 2 :]
    n = len(values)
    if n < 12:
        return None
    # a parabola takes out the trend: what is left of a falling loss would correlate at every lag
    x = np.arange(n)
    left = values - np.polynomial.Polynomial.fit(x, values, 2)(x)
    # bursts would count for more than a hundred turns
    bound = 4 * SIGMA * float(np.median(np.abs(left - np.median(left)))) or np.inf
    left = np.clip(left, -bound, bound)
    left = left - left.mean()
    power = float(left @ left)
    if power <= (1e-9 * max(abs(signal.first), abs(signal.last))) ** 2 * n:
        return None
    most = n // 3
    # by the Fourier transform, padded so that the ends do not meet
    spectrum = np.abs(np.fft.rfft(left, 2 * n)) ** 2
    correlation = np.fft.irfft(spectrum)[: most + 1] / power * n / (n - np.arange(most + 1))
    # noise has correlations of about 1/sqrt(n)
    needed = max(0.5, 5 / np.sqrt(n))
    lowest = np.minimum.accumulate(correlation)
    for p in np.nonzero(correlation > needed)[0].tolist():
        if p < 2:
            continue
        neighbours = correlation[p - 1], correlation[p + 1] if p < most else -1.0
        # a slow drift correlates at all lags: between two turns it must have gone the other way
        if correlation[p] >= max(neighbours) and lowest[p - 1] < 0.1:
            height = float(np.quantile(left, 0.9) - np.quantile(left, 0.1))
            return Period(rows=p, share=float(correlation[p]), height=height)
    return None
