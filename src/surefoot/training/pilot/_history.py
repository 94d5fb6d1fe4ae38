"""What a pilot writes down at each update."""

import math
from dataclasses import dataclass

from surefoot.records import Record

__all__ = ["Moment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment(Record):
    """One update.

    Parameters
    ----------
    step : int
        Counted from 0 over the pilot's life; batches that were left out count.
    loss : float
        Of the batch, before the update.
    rate : float
        The first group's, as the optimizer had it; 0 if the update was not made.
    limit : float
        The largest rate that the rule takes for stable; nan where it has no opinion.
    noise : float
        The rule's measure of noise; nan where it has none.
    event : str
        What happened, for a person; empty if nothing.
    """

    step: int
    loss: float
    rate: float
    limit: float = math.nan
    noise: float = math.nan
    event: str = ""
