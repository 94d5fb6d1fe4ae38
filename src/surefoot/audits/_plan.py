"""The plan: a schedule, its length and its warm-up, as rates for arrays of positions."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from surefoot.audits._rows import Array
from surefoot.audits._shapes import Shape
from surefoot.rules import Cosine


class Ramp(NamedTuple):
    """A convention of a warm-up of W steps: its rates are (p + first)/(W + more) of the schedule's.

    `waits`: annealing begins when the warm-up ends, not with it.
    """

    waits: bool
    first: int
    more: int

    def __str__(self) -> str:
        start = {(0, 0): "from 0", (1, 0): "from peak/warmup", (1, 1): "from peak/(warmup + 1)"}[self.first, self.more]
        return f"ramp {start}, annealing {'after it' if self.waits else 'with it'}"


# The most common first: transformers, most others, nanoGPT; then those whose annealing does not wait.
RAMPS = tuple(Ramp(waits, first, more) for waits in (True, False) for first, more in ((0, 0), (1, 0), (1, 1)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """A rate for every position in a schedule.

        rate(p) = min((p + first)/(warmup + more), 1) * schedule(p - warmup)

    Parameters
    ----------
    text : str
        The plan as it was given.
    shape : Shape
        The schedule, its length with the warm-up in it.
    total : float or None
        Length in positions, warm-up included.
    warmup : float
        Positions; 0 for none.
    start : float
        Part of the peak at which the warm-up begins, as LinearLR's start_factor.
    rated : bool
        Whether the plan names a rate; otherwise its scale is read off the log.
    ramp : Ramp
        The convention of the warm-up.
    periodic : bool
        Whether a cosine goes up again after its end, as torch's and transformers' do.
    plateau : tuple of (factor, patience) or None
        Settings of a plan that drops when the run stands still; `shape` then holds the first rate.
    """

    text: str
    shape: Shape
    total: float | None = None
    warmup: float = 0.0
    start: float = 0.0
    rated: bool = True
    ramp: Ramp = RAMPS[0]
    periodic: bool = False
    plateau: tuple[float, float] | None = None

    @property
    def is_cosine(self) -> bool:
        """Whether it could go up again after its end."""
        return isinstance(getattr(self.shape, "schedule", None), Cosine)

    def conventions(self) -> "tuple[Plan, ...]":
        """The same plan under each convention of the warm-up."""
        return tuple(replace(self, ramp=ramp) for ramp in RAMPS) if self.warmup else (self,)

    def rates(self, positions: Array, total: Any = None, warmup: Any = None) -> Array:
        """Rates at positions; before the beginning, the first one.

        Parameters
        ----------
        positions : array
        total, warmup : float or array, optional
            Others than the plan's own, broadcast with the positions.
        """
        total = self.total if total is None else total
        warmup = self.warmup if warmup is None else warmup
        p = np.maximum(positions, 0.0)
        wait = warmup if self.ramp.waits else 0.0
        # a run that is all warm-up has one step left for the rest
        length = None if total is None else np.maximum(np.asarray(total, dtype=float) - wait, 1.0)
        into = np.maximum(p - wait, 0.0)
        if self.periodic and length is not None:
            part = into / length % 2
            into = length * np.minimum(part, 2 - part)
        rates = self.shape.rates(into, length)
        # where there is no warm-up the quotient is not looked at; it only has to be a number
        climb = (p + self.ramp.first) / np.maximum(np.asarray(warmup, dtype=float) + self.ramp.more, 1e-9)
        climb = self.start + (1 - self.start) * climb
        return np.where(p >= warmup, 1.0, np.minimum(climb, 1.0)) * rates
