"""What `diagnose` answers."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from surefoot.records import Record, key


@dataclass(frozen=True, slots=True)
class Cost(Record):
    """What one method would cost over the span.

    Parameters
    ----------
    method : str
    kind : "explicit", "stabilised" or "implicit"
    smallest_step, largest_step : float
        Least and largest stable step along the solution; infinite for implicit methods.
    stability_steps : float
        Steps that stability asks for: the integral of dt over the stable step.
    evaluations : float
        The work in evaluations of fun. Explicit and stabilised: an estimate, max(stability, accuracy) steps times
        evaluations per step. Implicit: what the cheaper run of SciPy's Radau and BDF took, its `MethodRun.work`.
    """

    method: str
    kind: str = field(metadata=key("family"))
    smallest_step: float
    largest_step: float
    stability_steps: float
    evaluations: float


@dataclass(frozen=True, slots=True)
class MethodRun(Record):
    """A run with the tolerance asked for.

    Parameters
    ----------
    method : str
        What `integrate` takes: RK45, RKC, Radau or BDF.
    kind : "explicit", "stabilised" or "implicit"
    evaluations : int
        Calls of fun, those for Jacobians by differences included.
    work : float
        The same with what the linear algebra of implicit steps costs, in evaluations; the fewest win.
    seconds : float
        What it took here; for reading, nothing is decided by it.
    finished : bool
    error : float
        Distance from the reference at the end, relative to its largest component.
    message : str
        Why it stopped.
    """

    method: str
    kind: str = field(metadata=key("family"))
    evaluations: int
    work: float
    seconds: float
    finished: bool
    error: float
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Diagnosis(Record):
    """The answer of `diagnose`.

    Parameters
    ----------
    size : int
        Number of unknowns.
    span : (t0, t1)
    times : array, shape (k,)
        Where the Jacobian was looked at.
    fastest, slowest, frequency, growth : arrays, shape (k,)
        Largest and smallest decay rate, largest |imaginary part| and largest growth rate of the eigenvalues there, 1/t.
    stiffness : float
        Largest ratio of fastest to slowest decay along the solution.
    accuracy_steps : int
        Steps that an implicit method, free of stability limits, took for a tenth of the tolerance.
    costs : tuple of Cost
    recommendation : str
        ``explicit``, ``stabilised`` or ``implicit``.
    method : str
        The method to use, as `integrate` takes it: RK45, RKC (Runge-Kutta-Chebyshev), Radau or BDF.
    reason : str
    trials : tuple of MethodRun
    verified : bool
        Whether the recommended method finished its run near the reference. It was chosen by the work of the runs, so
        none of the others was cheaper; of an equation that is not stiff RK45 is chosen up to 3 times the work, and RKC
        up to 1.5 times that of an implicit method.
    """

    size: int
    span: tuple[float, float]
    times: NDArray[np.float64]
    fastest: NDArray[np.float64]
    slowest: NDArray[np.float64]
    frequency: NDArray[np.float64]
    growth: NDArray[np.float64]
    stiffness: float
    accuracy_steps: int
    costs: tuple[Cost, ...]
    recommendation: str
    method: str
    reason: str
    trials: tuple[MethodRun, ...]
    verified: bool

    def __repr__(self) -> str:
        return f"Diagnosis({self.recommendation}: {self.method!r}, stiffness={self.stiffness:.3g})"

    def __str__(self) -> str:
        t0, t1 = self.span
        lines = [
            f"take {self.method} ({self.recommendation}): {self.size} unknowns, t = {t0:g} to {t1:g}",
            f"  {self.reason}",
            f"  stiffness ratio {self.stiffness:.3g}; fastest decay {self.fastest.max():.3g}, largest frequency "
            f"{self.frequency.max():.3g}, largest growth {self.growth.max():.3g} per unit of time",
            "",
            f"  {'method':<34}{'stable step':>24}{'steps':>12}{'evaluations':>14}",
        ]
        for c in self.costs:
            steps = "-" if c.kind == "implicit" else _span(c.smallest_step, c.largest_step)
            count = "-" if c.kind == "implicit" else f"{c.stability_steps:.3g}"
            lines.append(f"  {c.method:<34}{steps:>24}{count:>12}{c.evaluations:>14.3g}")
        lines.append("")
        lines += [
            f"  ran {t.method}: {t.evaluations} evaluations, work {t.work:.3g}, {t.seconds:.2f} s, "
            + (f"error {t.error:.2g}" if t.finished else t.message)
            for t in self.trials
        ]
        lines.append(f"  recommendation {'confirmed' if self.verified else 'NOT confirmed'} by these runs")
        return "\n".join(lines)


def _span(low: float, high: float) -> str:
    """Two numbers as a range, where they differ as far as they are shown."""
    low_, high_ = f"{low:.3g}", f"{high:.3g}"
    return low_ if low_ == high_ else f"{low_} .. {high_}"
