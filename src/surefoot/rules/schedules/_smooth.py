"""Steps that are functions of the step number alone, k = 0, 1, 2, ...

A schedule reads no observation and has no state: `at(k)` is all of it.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass

from surefoot.checks import Count, Fraction, Nonnegative, Positive, checked
from surefoot.rules._base import Decision, Observation, Rule


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """An empty state: the step number comes with the observation."""


class Schedule(Rule):
    """A step for each step number, fixed in advance.

    Examples
    --------
    >>> from surefoot.rules import Schedule
    >>> class Halving(Schedule):
    ...     def at(self, k):
    ...         return 0.5**k
    >>> [Halving().at(k) for k in range(3)]
    [1.0, 0.5, 0.25]
    """

    @abstractmethod
    def at(self, k: int) -> float:
        """The k-th step, k = 0, 1, 2, ..."""

    def init(self) -> ScheduleState:
        """The empty state."""
        return ScheduleState()

    def update(self, state: ScheduleState, observation: Observation) -> tuple[Decision, ScheduleState]:
        """The step of this number."""
        return Decision(step=self.at(observation.iteration)), state


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Constant(Schedule):
    """The same step every time.

        eta_k = step

    On a quadratic with curvatures in [mu, L], plain descent converges while step < 2/L and is fastest at 2/(L
    + mu).

    Parameters
    ----------
    step : float
        eta > 0, unit 1/curvature; `surefoot.limits` says which.

    Examples
    --------
    >>> from surefoot.rules import Constant
    >>> Constant(step=0.1).at(7)
    0.1
    """

    step: Positive

    def at(self, k: int) -> float:  # noqa: ARG002 - the contract of a schedule
        """The step."""
        return self.step


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class InverseTime(Schedule):
    """Decay like 1/k.

        eta_k = step / (1 + k/halving)

    Square-summable but not summable (Robbins, Monro 1951): what stochastic approximation needs to converge.

    Parameters
    ----------
    step : float
        First step, > 0.
    halving : float
        Number of steps after which it is halved.
    """

    step: Positive
    halving: Positive = 1.0

    def at(self, k: int) -> float:
        """The step divided by 1 + k/halving."""
        return self.step / (1 + k / self.halving)


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class InverseSqrt(Schedule):
    """Decay like 1/sqrt(k).

        eta_k = step / sqrt(1 + k/offset)

    The order that is optimal for convex functions with bounded subgradients (Nesterov 2004, section 3.2.3).

    Parameters
    ----------
    step : float
        First step, > 0.
    offset : float
        Number of steps before the decay sets in.
    """

    step: Positive
    offset: Positive = 1.0

    def at(self, k: int) -> float:
        """The step divided by sqrt(1 + k/offset)."""
        return self.step / math.sqrt(1 + k / self.offset)


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class StepDecay(Schedule):
    """A constant that drops by a factor at regular intervals.

        eta_k = step * factor^floor(k/every)

    Parameters
    ----------
    step : float
        First step, > 0.
    every : int
        Steps between drops, >= 1.
    factor : float
        Factor of the step at each drop, in (0, 1).
    """

    step: Positive
    every: Count
    factor: Fraction = 0.1

    def at(self, k: int) -> float:
        """The step after floor(k/every) drops."""
        return self.step * self.factor ** (k // self.every)


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Exponential(Schedule):
    """Geometric decay.

        eta_k = step * factor^k

    The steps sum to step/(1 - factor): with bounded gradients the iterate cannot move farther than that times
    them.

    Parameters
    ----------
    step : float
        First step, > 0.
    factor : float
        Factor of the step from one to the next, in (0, 1).
    """

    step: Positive
    factor: Fraction

    def at(self, k: int) -> float:
        """The step times factor^k."""
        return self.step * self.factor**k


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Linear(Schedule):
    """A straight line from one step to another, then constant.

        eta_k = step + (final - step) min(k/steps, 1)

    Parameters
    ----------
    step : float
        First step, > 0.
    steps : int
        Length of the line, >= 1.
    final : float
        Last step, >= 0.

    Examples
    --------
    >>> from surefoot.rules import Linear
    >>> line = Linear(step=1.0, steps=4)
    >>> [line.at(k) for k in (0, 1, 4, 9)]
    [1.0, 0.75, 0.0, 0.0]
    """

    step: Positive
    steps: Count
    final: Nonnegative = 0.0

    def at(self, k: int) -> float:
        """On the line at k."""
        return self.step + (self.final - self.step) * min(k / self.steps, 1.0)


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine(Schedule):
    """Half a cosine from one step to another, then constant.

        eta_k = final + (step - final) (1 + cos(pi min(k/steps, 1)))/2

    Loshchilov, Hutter 2017, equation 5, without restarts.

    Parameters
    ----------
    step : float
        First step, > 0.
    steps : int
        Length of the half wave, >= 1.
    final : float
        Last step, >= 0.
    """

    step: Positive
    steps: Count
    final: Nonnegative = 0.0

    def at(self, k: int) -> float:
        """On the half wave at k."""
        return half_wave(self.step, self.final, k / self.steps)


def half_wave(first: float, last: float, part: float) -> float:
    """From first to last along half a cosine; part in [0, 1] of the way, 1 beyond it."""
    return last + (first - last) * (1 + math.cos(math.pi * min(part, 1.0))) / 2
