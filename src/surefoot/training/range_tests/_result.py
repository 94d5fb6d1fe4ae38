"""The result of a range test: the rates that were rehearsed, the one to use, or why there is none."""

import math
from dataclasses import dataclass

from surefoot.errors import InvalidInput
from surefoot.records import Record
from surefoot.solvers import Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal(Record):
    """One copy of the run at one peak rate: warmed up, held and cooled down, beside the others on the same batches.

    Parameters
    ----------
    rate : float
        The peak.
    losses : tuple of float
        Losses of the batches as they were met, from where this rate began.
    finals : tuple of float
        Losses of the last batches, at which the rate has nearly cooled down to zero; empty if the run was stopped.
    stopped : str
        Why the run was not finished; empty if it was.
    ending : Ending
        ``good`` within the interval of the range test, ``slow`` or ``diverged``.
    """

    rate: float
    losses: tuple[float, ...]
    finals: tuple[float, ...] = ()
    stopped: str = ""
    ending: Ending = Ending.SLOW


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeTest(Record):
    """The answer of `range_test`: a peak rate, or why there is none.

    Parameters
    ----------
    suggested : float
        The peak rate, of the first parameter group; 0.0 if abstained. See `rate`.
    interval : tuple of float
        (lower, upper): the best rate and those next to it, half a decade apart, as far as they did no worse than the
        standard error of the difference and 5% of the gain; the suggestion is in it. An *estimate*. (0.0, 0.0) if
        abstained.
    abstained : str
        Why nothing is suggested; empty if something is.
    reason : str
        Evidence for the suggestion, in words.
    cliff : float
        The smallest rate tried at which a rehearsal failed; inf if none did.
    start : float
        Loss at the start, on the batches by which rates are compared.
    rehearsals : tuple of Rehearsal
        By their rates.
    steps : float
        Cost in optimizer steps: forward and backward are one, an evaluation is a third.
    optimizer : str
        Name of the optimizer's class.
    """

    suggested: float
    interval: tuple[float, float]
    abstained: str
    reason: str
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
        spent = f"{len(self.rehearsals)} rates, {self.steps:.4g} steps in all"
        if self.abstained:
            return f"{self.optimizer}: no rate suggested: {self.abstained} ({spent})"
        low, high = self.interval
        rate, cliff = self.suggested, self.cliff
        text = f"{self.optimizer}: peak rate {rate:.3g}, in {low:.3g} to {high:.3g} ({spent})\n  {self.reason}"
        if cliff < math.inf:
            text += f"\n  rehearsals fail from {cliff:.3g} on, {cliff / rate:.3g} x the suggestion"
        return text
