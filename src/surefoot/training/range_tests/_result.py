"""What a range test found: the rates that were rehearsed, the one to use, or why there is none."""

import math
from dataclasses import dataclass

from surefoot.errors import InvalidInput
from surefoot.records import Record
from surefoot.solvers import Ending

__all__ = ["RangeTest", "Rehearsal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal(Record):
    """One short run from the start, its rate raised and annealed as in a whole training.

    Parameters
    ----------
    rate : float
        The peak.
    repeat : int
        Counted from 0: rehearsals of one repeat see the same batches.
    losses : tuple of float
        Of the mini-batches as they were met; finite.
    finals : tuple of float
        After the last step, on each held-out fold; empty if the run was stopped.
    stopped : str
        Why the run was not finished; empty if it was.
    ending : Ending
        ``good`` within 7% of the best gain of its repeat, ``slow``, ``no progress``, ``collapsed`` or ``diverged``.
    """

    rate: float
    repeat: int
    losses: tuple[float, ...]
    finals: tuple[float, ...] = ()
    stopped: str = ""
    ending: Ending = Ending.SLOW

    @property
    def final(self) -> float:
        """The mean over the folds; inf if the run was stopped."""
        return sum(self.finals) / len(self.finals) if self.finals else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeTest(Record):
    """The answer of `range_test`: a peak rate, or why there is none.

    Parameters
    ----------
    suggested : float
        The peak rate, of the first parameter group; 0.0 if abstained. See `rate`.
    interval : tuple of float
        (lower, upper): every rate among those tried that either half of the held-out mini-batches of some repeat found
        as good as its best, within 7% of the gain; an *estimate*. (0.0, 0.0) if abstained.
    abstained : str
        Why nothing is suggested; empty if something is.
    reason : str
        How the suggestion came about.
    limit : float
        The largest linearly stable rate along the first update, at the start: method's limit * g.u/(u'Hu). From a
        Rayleigh quotient, so an *estimate from above*. inf where none could be measured.
    cliff : float
        The smallest rate tried at and above which a rehearsal failed; inf if none did.
    start : float
        The loss at the start, on the held-out folds.
    rehearsals : tuple of Rehearsal
        In the order in which they were run.
    steps : float
        Spent in all, in optimizer steps: a product counts as three, an evaluation as a third.
    optimizer : str
        Its class.
    """

    suggested: float
    interval: tuple[float, float]
    abstained: str
    reason: str
    limit: float
    cliff: float
    start: float
    rehearsals: tuple[Rehearsal, ...]
    steps: float
    optimizer: str

    @property
    def rate(self) -> float:
        """The suggested rate.

        Raises
        ------
        InvalidInput
            If the test abstained; the message says why.
        """
        if self.abstained:
            raise InvalidInput(f"the range test abstained: {self.abstained}")
        return self.suggested

    def __str__(self) -> str:
        spent = f"{len(self.rehearsals)} rehearsals, {self.steps:.4g} steps in all"
        if self.abstained:
            return f"{self.optimizer}: no rate suggested: {self.abstained} ({spent})"
        low, high = self.interval
        lines = [
            f"{self.optimizer}: peak rate {self.suggested:.3g}, in {low:.3g} to {high:.3g} ({spent})",
            f"  {self.reason}",
        ]
        if self.cliff < math.inf:
            lines.append(
                f"  rehearsals fail from {self.cliff:.3g} on, {self.cliff / self.suggested:.3g} x the suggestion"
            )
        if self.limit < math.inf:
            lines.append(
                f"  linear limit along the first update {self.limit:.3g}: of the start only, an estimate from above"
            )
        return "\n".join(lines)
