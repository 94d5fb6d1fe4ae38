"""Where among the rates of a grid the loss falls most, with as few rehearsals as can be."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from surefoot.solvers import Ending
from surefoot.training.range_tests._result import Rehearsal
from surefoot.trials.bracket import COARSE, next_place, plateau

__all__ = ["APART", "PER_DECADE", "Search", "rate_of", "search"]

# Rates lie on a grid of so many to a decade: finer than a short run can tell apart.
PER_DECADE = 4
# A decade below the best rate has to be known: at a rate far too large a network falls to the constant predictor.
BELOW = (PER_DECADE,)
# Rates whose gain is within this share of the best one's are equally good.
SAME = 0.07
# A gain this small is proportional to the rate still: the next one tried is a decade up.
LINEAR = 0.02
# Answers further apart than this are no agreement, and a plateau this much wider than that decides nothing.
APART = 10**0.5
ALL = slice(None)
CLEARLY = 3.0

Rehearse = Callable[[float], Rehearsal | None]


def rate_of(place: float) -> float:
    """The rate at a place of the grid."""
    return 10 ** (place / PER_DECADE)


@dataclass(slots=True)
class Search:
    """One repeat.

    Parameters
    ----------
    start : tuple of float
        The loss before any step, on each fold.
    runs : dict
        Place on the grid -> what the rehearsal at that rate did.
    """

    start: tuple[float, ...]
    runs: dict[int, Rehearsal] = field(default_factory=dict[int, Rehearsal])

    def gain(self, i: int, folds: slice = ALL) -> float:
        """How far a rehearsal brought the loss down: as a logarithm where the loss is positive; -inf if it failed."""
        if not self.runs[i].finals:
            return -math.inf
        before, after = _mean(self.start[folds]), _mean(self.runs[i].finals[folds])
        return math.log(before / after) if self.positive else before - after

    @property
    def positive(self) -> bool:
        """Whether all losses are."""
        return min(self.start) > 0 and all(value > 0 for run in self.runs.values() for value in run.finals)

    @property
    def clear(self) -> bool:
        """Whether the best rate lowered the loss by more than the held-out mini-batches differ about it.

        The mean of the paired differences over three of its standard errors; a t test on four of them, 3% one-sided.
        """
        lowered = [before - after for before, after in zip(self.start, self.runs[self.best()].finals, strict=True)]
        spread = statistics.stdev(lowered) / math.sqrt(len(lowered)) if len(lowered) > 1 else 0.0
        return statistics.mean(lowered) > CLEARLY * spread

    @property
    def failing(self) -> list[int]:
        """The places at which the loss did not come down."""
        return [i for i in self.runs if not self.gain(i) > 0]

    def best(self, folds: slice = ALL) -> int:
        """The place with the largest gain."""
        return max(sorted(self.runs), key=lambda i: self.gain(i, folds))

    def plateau(self, folds: slice = ALL) -> tuple[int, int]:
        """The first and the last place around the best one tried that are as good."""
        return plateau({i: self.gain(i, folds) for i in self.runs}, self.best(folds), SAME)

    def ended(self) -> list[Rehearsal]:
        """The rehearsals in the order in which they were run, each with how it ended beside the best of them."""
        enough = (1 - SAME) * self.gain(self.best())

        def ending(i: int) -> Ending:
            if not self.runs[i].finals:
                return self.runs[i].ending
            gain = self.gain(i)
            return Ending.NO_PROGRESS if not gain > 0 else Ending.GOOD if gain >= enough else Ending.SLOW

        return [replace(run, ending=ending(i)) for i, run in self.runs.items()]

    def centre(self, folds: slice = ALL) -> float:
        """The mean place, each weighted by exp(-(what its gain lacks of the best one's)/(SAME * that))."""
        top = self.gain(self.best(folds), folds)
        width = SAME * abs(top) or 1.0
        weights = {i: math.exp((self.gain(i, folds) - top) / width) for i in self.runs}
        return sum(i * w for i, w in weights.items()) / sum(weights.values())


def search(found: Search, first: int, rehearse: Rehearse) -> None:
    """Climb by half decades to the top, then fill the grid beside it, while `rehearse` returns anything.

    Parameters
    ----------
    found : Search
        Filled.
    first : int
        The place to begin at.
    rehearse : callable
        rate -> rehearsal, or None when nothing is left to spend.
    """
    place: int | None = first
    while place is not None:
        run = rehearse(rate_of(place))
        if run is None:
            return
        found.runs[place] = run
        place = _next(found)


def _next(found: Search) -> int | None:
    """The place to try next; None when all around the best are known."""
    gains = {i: found.gain(i) for i in found.runs}
    tiny = found.positive and gains[max(gains)] < LINEAR
    return next_place(gains, found.best(), same=SAME, below=BELOW, leap=2 * COARSE if tiny else COARSE)


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)
