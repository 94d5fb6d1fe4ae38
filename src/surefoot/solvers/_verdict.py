"""The verdict on a run from its trace: a word, and the evidence for it."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from surefoot.checks import Finite, checked
from surefoot.methods import Method
from surefoot.records import Record
from surefoot.rules.wrappers.clipped import CUT
from surefoot.solvers._trace import Trace
from surefoot.solvers.ending import Ending
from surefoot.spectra import Spectrum

Convergence = Literal["linear", "sublinear", "none", "unknown"]

# Fewest accepted points for a fit of the rate to their second half. By convention.
FEWEST_POINTS = 8
# Steps below this share of 1/(largest curvature met) count as too small. By convention.
TOO_SMALL = 0.2
# Share of the late moves beyond the minimum along them (step * curvature > 1) that counts as a zigzag. By convention.
ZIGZAG = 0.5
# The power law is chosen if the exponential leaves this many times its squared residual. By convention.
CLEARLY = 1.5
# No known sublinear law falls faster than k^-4; a better fit by k^-12 is a linear rate that changes.
FASTEST_POWER = 4.0
# Curvatures at which a rate is evaluated between the ends of a spectrum. By convention.
GRID = 257


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(Record):
    """A word for the outcome of a run, and the evidence for it.

    Parameters
    ----------
    ending : Ending
        ``good`` (converged, or would with as many moves again), ``slow``, ``too small``, ``oscillating``, ``diverged``.
    convergence : "linear", "sublinear", "none" or "unknown"
        How the gradient norm fell in the second half of the run: like rate^k, like k^-order, not at all, or too few
        points to say.
    rate : float
        Factor of the gradient norm per accepted point, fitted there; nan if unknown.
    order : float
        p of a gradient norm that falls like k^-p, fitted there; nan if unknown.
    remaining : float
        Moves still needed to reach the tolerance, by extrapolation; inf if the gradient norm does not fall.
    reversals : float
        Share of the moves of the second half that passed the minimum along them.
    overshoots : int
        Number of moves longer than 2/curvature, for which the second-order model predicts a rise of the loss.
    rejected : int
        Number of rejected points.
    reach : float
        Median step of the second half times the largest curvature met; 2 is the limit of plain descent, nan where
        no positive curvature was met.
    predicted : float
        For a constant step and a given spectrum, the factor per step of the slowest component; nan otherwise.
    oscillation : float
        Median length of the late moves if each was clipped and the run oscillates: the size of a bounded oscillation,
        unit of x; nan otherwise.
    """

    ending: Ending
    convergence: Convergence
    rate: float
    order: float
    remaining: float
    reversals: float
    overshoots: int
    rejected: int
    reach: float
    predicted: float = math.nan
    oscillation: float = math.nan

    def __str__(self) -> str:
        return f"{self.ending}: {'; '.join(self._evidence())}"

    def _evidence(self) -> list[str]:
        parts: list[str] = []
        if self.convergence == "linear":
            parts.append(f"linear convergence, the gradient times {self.rate:.6g} per step")
        elif self.convergence == "sublinear":
            parts.append(f"sublinear convergence, the gradient like k^-{self.order:.3g}")
        elif self.convergence == "none":
            parts.append(f"the gradient does not fall (times {self.rate:.6g} per step)")
        if self.predicted < math.inf:
            parts.append(f"at worst times {self.predicted:.6g} by the spectrum")
        if 0 < self.remaining < math.inf:
            parts.append(f"about {self.remaining:.3g} more moves to the tolerance")
        if self.reversals > 0:
            parts.append(f"{self.reversals:.0%} of the late moves pass the minimum along them")
        if self.oscillation > 0:
            parts.append(
                f"each is cut to the cap: a bounded oscillation, {self.oscillation:.6g} from end to end, which only a "
                "step below 2/curvature ends"
            )
        if self.ending is Ending.TOO_SMALL:
            parts.append(
                f"steps are {self.reach:.2g}/(largest curvature met): 1/curvature is "
                + (f"{1 / self.reach:.2g} times longer" if self.reach > 0 else "longer by more than floats can say")
            )
        if self.overshoots:
            parts.append(f"{self.overshoots} moves longer than 2/curvature")
        if self.rejected:
            parts.append(f"{self.rejected} taken back")
        return parts or ["too few points to say more"]


@checked
def predicted_rate(spectrum: Spectrum, step: Finite, method: Method) -> float:
    """The asymptotic factor per step of the slowest component at a constant step; local if the spectrum is.

    Parameters
    ----------
    spectrum : Spectrum
        Spectrum of the curvature, of which the outer ends of the intervals are used.
    step : float
        The step, unit 1/curvature.
    method : Method

    Returns
    -------
    float
        Largest amplification over the spectrum: below 1 it converges.

    Raises
    ------
    InvalidInput
        If the step is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.solvers import predicted_rate
    >>> from surefoot.methods import GradientDescent
    >>> from surefoot.spectra import spectrum
    >>> round(predicted_rate(spectrum(np.diag([1.0, 10.0])), 0.1, GradientDescent()), 12)
    0.9
    """
    if spectrum.points is not None:
        curvatures = np.asarray(spectrum.points, dtype=np.complex128)
    else:
        curvatures = np.linspace(spectrum.smallest.lower, spectrum.largest.upper, GRID).astype(np.complex128)
    with np.errstate(over="ignore", invalid="ignore"):
        growth = float(np.max(method.amplification(-step * curvatures)))
    # a factor that overflows on the way is infinite
    return math.inf if math.isnan(growth) else growth


def judge(
    trace: Trace, stopped: str, tol: float, predicted: float = math.nan, *, along_gradient: bool = False
) -> Verdict:
    """The verdict on a run that ended for the reason `stopped`.

    Parameters
    ----------
    trace : Trace
    stopped : str
    tol, predicted : float
        Tolerance of the run, and the rate that its spectrum predicts, as in `Verdict`.
    along_gradient : bool
        Whether a move is the step times the gradient, so that its length is known.
    """
    kept = np.flatnonzero(trace.accepted & np.isfinite(trace.loss) & np.isfinite(trace.gradient_norm))
    norms = trace.gradient_norm[kept]
    with np.errstate(invalid="ignore", over="ignore"):
        reach = trace.step * trace.curvature
    late = kept[len(kept) // 2 :]
    late = late[late > 0]
    convergence, rate, order = _fit(norms)
    goal = tol * float(trace.gradient_norm[0])
    reversals = float(np.mean(reach[late] > 1)) if late.size else 0.0
    curvatures = trace.curvature[np.isfinite(trace.curvature)]
    # without positive curvature (straight or concave stretches) no step is short compared with 1/curvature
    sharpest = float(curvatures.max(initial=0.0))
    typical = float(np.median(trace.step[late])) * sharpest if late.size and sharpest > 0 else math.nan
    remaining = _remaining(norms, goal, convergence, rate, order)
    oscillation = _oscillation(trace, kept, late) if along_gradient and reversals >= ZIGZAG else math.nan
    return Verdict(
        ending=Ending.OSCILLATING
        if oscillation > 0
        else _ending(trace, stopped, kept, convergence, remaining, reversals, typical),
        convergence=convergence,
        rate=rate,
        order=order,
        remaining=remaining,
        reversals=reversals,
        overshoots=int(np.count_nonzero(trace.overshoot)),
        rejected=int(np.count_nonzero(~trace.accepted)),
        reach=typical,
        predicted=predicted,
        oscillation=oscillation,
    )


def _oscillation(trace: Trace, kept: NDArray[np.intp], late: NDArray[np.intp]) -> float:
    """The median length of the late moves, if there are enough and each was clipped; nan otherwise."""
    before = kept[np.searchsorted(kept, late) - 1]
    if len(late) < FEWEST_POINTS or not all(CUT in trace.reason[k] for k in before):
        return math.nan
    return float(np.median(trace.step[late] * trace.gradient_norm[before]))


def _ending(
    trace: Trace,
    stopped: str,
    kept: NDArray[np.intp],
    convergence: Convergence,
    remaining: float,
    reversals: float,
    reach: float,
) -> Ending:
    if stopped == "converged":
        return Ending.GOOD
    losses = trace.loss[kept]
    # any rule except a search may end above an earlier loss; only the first loss counts
    if "not finite" in stopped or (len(losses) > 1 and losses[-1] > losses[0] and convergence in ("none", "unknown")):
        return Ending.DIVERGED
    if reversals >= ZIGZAG and len(kept) >= FEWEST_POINTS:
        return Ending.OSCILLATING
    if remaining <= len(kept):
        return Ending.GOOD
    return Ending.TOO_SMALL if reach < TOO_SMALL else Ending.SLOW


def _fit(norms: NDArray[np.float64]) -> tuple[Convergence, float, float]:
    """How the gradient norm falls in the second half: kind, rate, order."""
    k = np.arange(1, len(norms) + 1, dtype=np.float64)[len(norms) // 2 :]
    values = norms[len(norms) // 2 :]
    k, values = k[values > 0], values[values > 0]
    if len(values) < FEWEST_POINTS // 2:
        return "unknown", math.nan, math.nan
    logs = np.log(values)
    slope, line_misfit = _line(k, logs)
    power, power_misfit = _line(np.log(k), logs)
    # no convergence: the fall is within the scatter around it
    if slope * (k[-1] - k[0]) > -1e-3:
        return "none", math.exp(min(slope, 700.0)), math.nan
    sublinear = CLEARLY * power_misfit < line_misfit and -power < FASTEST_POWER
    kind: Convergence = "sublinear" if sublinear else "linear"
    return kind, math.exp(slope), -power


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Slope of the least-squares line and its squared residual."""
    dx, dy = x - x.mean(), y - y.mean()
    slope = float(dx.dot(dy) / dx.dot(dx))
    rest = dy - slope * dx
    return slope, float(rest.dot(rest))


def _remaining(norms: NDArray[np.float64], goal: float, convergence: Convergence, rate: float, order: float) -> float:
    """The number of moves to the goal by the fitted law."""
    last = float(norms[-1])
    if last <= goal:
        return 0.0
    if convergence == "linear" and goal > 0 and rate < 1:
        return (math.log(last) - math.log(goal)) / -math.log(rate)
    if convergence == "sublinear" and goal > 0 and order > 0:
        return len(norms) * math.expm1(min((math.log(last) - math.log(goal)) / order, 700.0))
    return math.inf
