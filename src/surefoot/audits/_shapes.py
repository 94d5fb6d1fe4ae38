"""Schedules as functions of arrays of positions: those of `surefoot.rules`, and those that only an audit needs.

The same formulas as in `surefoot.rules.schedules`, which knows no arrays; a test holds the two together.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from surefoot.audits._rows import Array
from surefoot.checks import Fraction, Positive, checked
from surefoot.rules import (
    WSD,
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    OneCycle,
    StepDecay,
)


class Shape(ABC):
    """A schedule without its warm-up."""

    __slots__ = ()

    @property
    def total(self) -> float | None:
        """Length in positions; None where that is no parameter of it."""
        return None

    @abstractmethod
    def rates(self, positions: Array, total: Any = None) -> Array:
        """Rates at positions >= 0, perhaps for another length; the two are broadcast."""


@dataclass(frozen=True, slots=True)
class _Named(Shape):
    """One of the rules' schedules."""

    schedule: Any

    @property
    def total(self) -> float | None:
        return getattr(self.schedule, "steps", None)

    def rates(self, positions: Array, total: Any = None) -> Array:
        s: Any = self.schedule
        if total is None:
            total = self.total
        match s:
            case Constant():
                return np.full(np.shape(positions), s.step)
            case Cosine():
                return _half_wave(s.step, s.final, positions / total)
            case Linear():
                return s.step + (s.final - s.step) * np.minimum(positions / total, 1.0)
            case OneCycle():
                part = positions / np.maximum(total - 1, 1)
                up = _half_wave(s.peak / s.start, s.peak, part / s.rise)
                down = _half_wave(s.peak, s.peak / s.end, np.maximum(part - s.rise, 0) / (1 - s.rise))
                return np.where(part <= s.rise, up, down)
            case WSD():
                rising, falling = s.warmup * total, s.decay * total
                left = np.maximum(total - positions, 0)
                down = s.final + (s.peak - s.final) * left / np.where(falling > 0, falling, 1)
                up = s.peak * (positions + 1) / np.where(rising > 0, rising, 1)
                flat = np.where(left >= falling, s.peak, down)
                return np.where(positions + 1 < rising, up, flat)
            case InverseTime():
                return s.step / (1 + positions / s.halving)
            case InverseSqrt():
                return s.step / np.sqrt(1 + positions / s.offset)
            case StepDecay():
                return np.asarray(s.step * s.factor ** np.floor(positions / s.every), dtype=np.float64)
            case Exponential():
                return np.asarray(s.step * s.factor**positions, dtype=np.float64)
            case _:
                # any other schedule of the rules, one position at a time
                return np.vectorize(lambda k: float(s.at(k)), otypes=[float])(positions)


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class MultiStep(Shape):
    """A constant that drops by a factor at milestones, as torch's MultiStepLR.

    Parameters
    ----------
    step : float
        First rate, > 0.
    milestones : tuple of float
        Positions of the drops.
    factor : float
        Factor of each drop, in (0, 1).
    """

    step: Positive
    milestones: tuple[float, ...]
    factor: Fraction = 0.1

    def rates(self, positions: Array, total: Any = None) -> Array:  # noqa: ARG002 - it has none
        """The rate after the drops at all milestones up to each position."""
        drops = np.searchsorted(np.sort(np.array(self.milestones)), positions, side="right")
        return np.asarray(self.step * self.factor**drops, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Table(Shape):
    """Rates from given positions on, each kept until the next and the last one for good.

    Parameters
    ----------
    values : array, shape (n,)
    positions : array, shape (n,), optional
        In ascending order; 0, 1, 2, ... by default, for what a list, a callable or a scheduler gives.
    """

    values: Array
    positions: Array | None = None

    def rates(self, positions: Array, total: Any = None) -> Array:  # noqa: ARG002 - it has none
        """The rate given for the last position at or before each."""
        given = np.arange(len(self.values)) if self.positions is None else self.positions
        return self.values[np.maximum(np.searchsorted(given, positions, side="right") - 1, 0)]


@dataclass(frozen=True, slots=True, eq=False)
class Interpolated(Shape):
    """The rates of another log, interpolated linearly between its rows."""

    steps: Array
    values: Array

    def rates(self, positions: Array, total: Any = None) -> Array:  # noqa: ARG002 - it has none
        """Rates by linear interpolation."""
        return np.interp(positions, self.steps, self.values)


def shape_of(schedule: Any) -> Shape:
    """The shape of one of the rules' schedules, its numbers as floats."""
    whole = {f.name for f in fields(schedule) if isinstance(getattr(schedule, f.name), int)}
    numbers = {name: float(getattr(schedule, name)) for name in whole - {"steps", "every"}}
    return _Named(replace(schedule, **numbers))


def _half_wave(first: float, last: float, part: Array) -> Array:
    return last + (first - last) * (1 + np.cos(np.pi * np.minimum(part, 1.0))) / 2
