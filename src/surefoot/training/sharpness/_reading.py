"""One measurement of the sharpness."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from surefoot.records import Record
from surefoot.spectra import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class SharpnessReading(Record):
    """The largest curvature at one point of a run, as an optimizer sees it where one was given.

    Parameters
    ----------
    update : int
        Number of the reading, from 0.
    value : float
        The largest Ritz value: an *estimate* from below.
    bounds : Bounds
        The lower end is proved. The upper end is probabilistic where `certified`, else infinite: nothing is known above
        a warm start.
    certified : bool
        Whether this reading came from a fresh random start.
    stale : str
        Why the estimate should not be relied on without a fresh start; empty if it may be.
    residual : float
        ||A v - value v||: within it of the value there is an eigenvalue, not always the largest.
    products : int
        Number of products that it cost.
    rate : float or None
        The optimizer's rate (first group).
    limit : float or None
        The rate at which the optimizer's method becomes linearly unstable; from the upper end where certified, else
        from the value, and then an estimate from above.
    """

    update: int
    value: float
    bounds: Bounds
    certified: bool
    stale: str
    residual: float
    products: int
    rate: float | None = None
    limit: float | None = None

    @property
    def ratio(self) -> float | None:
        """Rate over limit: above 1 the sharpest direction grows."""
        return None if self.rate is None or self.limit is None else self.rate / self.limit

    def __str__(self) -> str:
        how = f"certified, in {self.bounds}" if self.certified else f"warm estimate, at least {self.bounds.lower:.4g}"
        text = f"sharpness {self.value:.4g} ({how}; {self.products} products)"
        if self.ratio is not None:
            text += f"; rate {self.rate:.3g} is {self.ratio:.3g} x the limit"
        return f"{text}; stale: {self.stale}" if self.stale else text

    def derived(self) -> Mapping[str, Any]:
        return {"ratio": self.ratio}
