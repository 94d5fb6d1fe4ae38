"""What a pilot writes down at each update."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Moment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
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

    def to_dict(self) -> dict[str, Any]:
        """For JSON; floats that are not finite become strings."""
        data: dict[str, Any] = asdict(self)
        return {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in data.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Moment":
        """The inverse of `to_dict`."""
        floats = {name: float(data[name]) for name in ("loss", "rate", "limit", "noise")}
        return cls(step=data["step"], event=data["event"], **floats)
