"""The result of an integration."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from surefoot.records import Record


@dataclass(frozen=True, slots=True)
class StabilityCheck(Record):
    """A check of the Jacobian: the time, the step there, and the largest stable one (without growing modes)."""

    t: float
    step: float
    stable: float

    @property
    def passed(self) -> bool:
        """Whether the step was within the limit."""
        return self.step <= self.stable * (1 + 1e-6)


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory(Record):
    """The outcome of `integrate`.

    Parameters
    ----------
    t : array, shape (m,)
        Times that were kept, including the first and the last.
    y : array, shape (m, n)
        The solution there.
    method : str
    steps, rejected : int
        Accepted and rejected steps.
    evaluations : int
        Calls of fun, without those of the stability checks.
    finished : bool
        Whether the end was reached with finite values.
    message : str
        Why it ended, and what the stability monitor found.
    checks : tuple of StabilityCheck
    sizes : array, shape (steps,)
        Accepted step sizes.
    """

    t: NDArray[np.float64]
    y: NDArray[np.float64]
    method: str
    steps: int
    rejected: int
    evaluations: int
    finished: bool
    message: str
    checks: tuple[StabilityCheck, ...] = ()
    sizes: NDArray[np.float64] = field(kw_only=True)

    @property
    def final(self) -> NDArray[np.float64]:
        """The last value."""
        return self.y[-1]

    @property
    def stable(self) -> bool:
        """Whether every check on the way found the step within the stability limit."""
        return all(check.passed for check in self.checks)

    def __repr__(self) -> str:
        return f"Trajectory({self.method!r}, steps={self.steps}, evaluations={self.evaluations}, {self.message!r})"

    def __str__(self) -> str:
        return (
            f"{self.method}: t = {self.t[0]:.6g} to {self.t[-1]:.6g} in {self.steps} steps ({self.rejected} rejected), "
            f"{self.evaluations} evaluations; {self.message}"
        )
