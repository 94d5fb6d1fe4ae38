"""A short real run, and how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from surefoot.records import Record
from surefoot.solvers import Ending

__all__ = ["Trial"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial(Record):
    """A short real run.

    Parameters
    ----------
    step : float
    losses : tuple of float
        Along the run; the last on all the data, nan where it was not finite.
    ending : Ending
        ``good``, ``slow`` (clearly less than the best of the runs beside it), ``no progress`` or ``diverged``.
    """

    step: float
    losses: tuple[float, ...] = field(repr=False)
    ending: Ending

    @property
    def final(self) -> float:
        """The loss on all the data at the end."""
        return self.losses[-1]

    def derived(self) -> Mapping[str, Any]:
        """The loss at the end."""
        return {"final": self.final}
