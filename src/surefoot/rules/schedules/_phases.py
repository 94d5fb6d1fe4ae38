"""Schedules in phases: up, hold, anneal. For runs of a known length."""

from dataclasses import dataclass
from typing import Annotated

from surefoot.checks import Count, Fraction, Nonnegative, Positive, Range, checked
from surefoot.errors import InvalidInput
from surefoot.rules.schedules._smooth import Schedule, half_wave


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class OneCycle(Schedule):
    """Up to a peak and down to almost nothing, along two half cosines.

        eta: peak/start -> peak over the first `rise` of the run, then peak -> peak/end

    Smith, Topin 2018, in the shape of ``torch.optim.lr_scheduler.OneCycleLR``.

    Parameters
    ----------
    peak : float
        Largest step, > 0.
    steps : int
        Length of the run, >= 2; the last step's value is kept beyond it.
    rise : float
        Part of the run spent going up, in (0, 1).
    start, end : float
        The peak over the first and over the last step, >= 1.
    """

    peak: Positive
    steps: Annotated[int, Range("[2, inf)")]
    rise: Fraction = 0.3
    start: Annotated[float, Range("[1, inf)")] = 25.0
    end: Annotated[float, Range("[1, inf)")] = 1e4

    def at(self, k: int) -> float:
        """On the cycle at k."""
        part = k / (self.steps - 1)
        if part <= self.rise:
            return half_wave(self.peak / self.start, self.peak, part / self.rise)
        return half_wave(self.peak, self.peak / self.end, (part - self.rise) / (1 - self.rise))


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class HighThenLow(Schedule):
    """Explore with a high step, then anneal to a low one.

        eta_k = high                                    while k < explore * steps
                high (low/high)^part                    after, part from 0 to 1 at the end of the run

    A high step cannot settle in a minimum sharper than 2/high, so it leaves narrow ones (necessary, not
    sufficient); the low one then converges to where it is.

    Parameters
    ----------
    high, low : float
        Steps, 0 < low <= high.
    steps : int
        Length of the run, >= 1; the low step is kept beyond it.
    explore : float
        Part of the run at the high step, in (0, 1).

    Raises
    ------
    InvalidInput
        If low > high.
    """

    high: Positive
    low: Positive
    steps: Count
    explore: Fraction = 0.5

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise InvalidInput(f"low must not exceed high={self.high!r}; got {self.low!r}; exchange them")

    def at(self, k: int) -> float:
        """High, or on the way down."""
        part = (k / self.steps - self.explore) / (1 - self.explore)
        return self.high * (self.low / self.high) ** min(max(part, 0.0), 1.0)


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class WSD(Schedule):
    """Warm up, stay, decay: a trapezoid.

        eta: 0 -> peak over `warmup`, peak, peak -> final over the last `decay` of the run

    Hu et al. 2024 (MiniCPM), with a linear decay (Hagele et al. 2024).

    Parameters
    ----------
    peak : float
        Largest step, > 0.
    steps : int
        Length of the run, >= 1; the final step is kept beyond it.
    warmup, decay : float
        Parts of the run, >= 0 and together at most 1. The first step is peak/(number of warm-up steps).
    final : float
        Step at the end, >= 0.

    Raises
    ------
    InvalidInput
        If warm-up and decay together are longer than the run.
    """

    peak: Positive
    steps: Count
    warmup: Nonnegative = 0.05
    decay: Nonnegative = 0.3
    final: Nonnegative = 0.0

    def __post_init__(self) -> None:
        if self.warmup + self.decay > 1:
            raise InvalidInput(f"warmup + decay must be at most 1; got {self.warmup!r} + {self.decay!r}")

    def at(self, k: int) -> float:
        """On the trapezoid at k."""
        rising = self.warmup * self.steps
        left = self.steps - k
        falling = self.decay * self.steps
        if k + 1 < rising:
            return self.peak * (k + 1) / rising
        if left >= falling:
            return self.peak
        return self.final + (self.peak - self.final) * max(left, 0) / falling
