"""How well a curve explains the rates of some rows, quickly."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Curve", "Match", "Rows", "thinned"]

Curve = Callable[[float], float]

# Rows that a guess is tried on before it is tried on all.
_PROBE, _SAMPLE = 16, 256


@dataclass(frozen=True, slots=True)
class Match:
    """How a curve fits.

    Parameters
    ----------
    worst : float
        Largest difference, as a part of the largest rate that ran.
    scale : float
        What the curve was multiplied by.
    """

    worst: float
    scale: float


@dataclass(frozen=True, slots=True)
class Rows:
    """Steps with their rates, and what a difference is measured by.

    Parameters
    ----------
    steps : sequence of int
    rates : sequence of float
    largest : float
        The largest rate that ran, positive.
    tight : float
        What rounding in the log may do, as a part of it.
    loose : float
        What is let pass, likewise.
    marked : int
        Index of a row that is always among those looked at: the one that is hardest to explain.
    """

    steps: Sequence[int]
    rates: Sequence[float]
    largest: float
    tight: float
    loose: float
    marked: int = 0

    def __len__(self) -> int:
        return len(self.steps)

    def part(self, first: int, last: int | None = None) -> "Rows":
        """Rows from one index to before another."""
        return Rows(self.steps[first:last], self.rates[first:last], self.largest, self.tight, self.loose)

    def some(self, most: int) -> "Rows":
        """So many of them, spread evenly, the first and the last among them; and the marked one."""
        if len(self) <= most:
            return self
        kept = sorted({*thinned(len(self), most), self.marked})
        steps, rates = [self.steps[i] for i in kept], [self.rates[i] for i in kept]
        return Rows(steps, rates, self.largest, self.tight, self.loose, kept.index(self.marked))

    def match(self, curve: Curve, scale: float | None = None) -> Match:
        """The fit of ``scale * curve(step)``; without a scale, of the best one in the mean square."""
        values = [curve(step) for step in self.steps]
        if scale is None:
            weight = math.fsum(v * v for v in values)
            scale = math.fsum(v * r for v, r in zip(values, self.rates, strict=True)) / weight if weight else 1.0
        worst = max((abs(r - scale * v) for v, r in zip(values, self.rates, strict=True)), default=0.0)
        return Match(worst / self.largest, scale)

    def explained(self, curve: Curve, scale: float | None = None) -> Match | None:
        """The fit to all rows, None if it is worse than what is let pass; few rows are looked at first."""
        for most in (_PROBE, _SAMPLE):
            # the best scale for a few rows need not be the best for all: twice the slack
            if len(self) > most and self.some(most).match(curve, scale).worst > 2 * self.loose:
                return None
        match = self.match(curve, scale)
        return match if match.worst <= self.loose else None

    def agreeing(self, curve: Curve, scale: float, slack: float) -> int:
        """How many rows from the first on agree to within so much."""
        allowed = slack * self.largest
        for i, (step, rate) in enumerate(zip(self.steps, self.rates, strict=True)):
            if abs(rate - scale * curve(step)) > allowed:
                return i
        return len(self)

    def best(self, curve_of: Callable[[int], Curve], guesses: Iterable[int], scale: float | None = None) -> int:
        """The whole number whose curve fits best: the best of some guesses, then between its neighbours."""
        few = self.some(2 * _PROBE)
        tried: dict[int, float] = {}

        def worst(number: int) -> float:
            if number not in tried:
                tried[number] = few.match(curve_of(number), scale).worst
            return tried[number]

        ordered = sorted(set(guesses))
        at = min(range(len(ordered)), key=lambda i: worst(ordered[i]))
        low, high = ordered[max(at - 1, 0)], ordered[min(at + 1, len(ordered) - 1)]
        while high - low > 2:
            third = max((high - low) // 3, 1)
            if worst(low + third) <= worst(high - third):
                high -= third
            else:
                low += third
        return min(range(low, high + 1), key=worst)


def thinned(length: int, most: int) -> list[int]:
    """Indices spread evenly, the first and the last among them."""
    if length <= most:
        return list(range(length))
    return sorted({round(i * (length - 1) / (most - 1)) for i in range(most)})
