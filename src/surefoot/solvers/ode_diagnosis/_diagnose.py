"""Why is my ODE solver slow? Stiffness along the solution, what each method would cost, and a run that checks it."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.errors import InvalidInput, NotFinite, NotRepeatable
from surefoot.methods import (
    RK4,
    AdamsBashforth,
    BogackiShampine,
    DormandPrince,
    ForwardEuler,
    Method,
    RungeKuttaChebyshev,
)
from surefoot.operators import Array
from surefoot.solvers._integrate import Fun, integrate
from surefoot.spectra import Spectrum, jacobian, spectrum
from surefoot.spectra.measured.jacobian import checked_fun
from surefoot.stability import limits

__all__ = ["Cost", "Diagnosis", "Trial", "diagnose"]

SAMPLES = 12
# A verification run may take this many times the cheapest estimate, within bounds.
GENEROSITY, LEAST_BUDGET, MOST_BUDGET = 5, 5_000, 60_000
# Explicit steps forced by stability may outnumber those that accuracy asks for by this much and still be the cheap way:
# an implicit step solves equations, two to four times over.
WORTH = 4.0
# Evaluations that an implicit step costs, besides its Jacobian and its factorisation.
NEWTON = 6
# Floating-point operations of one evaluation of fun per unknown: what a factorisation is compared with.
PER_UNKNOWN = 20
# A verified run ends this near to the reference, relative to the largest component.
NEAR = 0.05
# A spectrum counts as real for a stabilised method, whose region is a thin strip, up to this slope.
STRIP = 0.1
MOST_STAGES = 200


@dataclass(frozen=True, slots=True)
class Cost:
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
        Estimate of the work in evaluations of fun: max(stability, accuracy) steps times evaluations per step; for
        implicit methods Jacobians and factorisations included.
    """

    method: str
    kind: str
    smallest_step: float
    largest_step: float
    stability_steps: float
    evaluations: float


@dataclass(frozen=True, slots=True)
class Trial:
    """A verification run: what it took, and how far from the reference it ended (relative, largest component)."""

    method: str
    evaluations: int
    seconds: float
    finished: bool
    error: float
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Diagnosis:
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
        Steps that an implicit method, free of stability limits, took for the tolerance.
    costs : tuple of Cost
    recommendation : str
        ``explicit``, ``stabilised`` or ``implicit``.
    method : str
        The method to use: a SciPy name or Runge-Kutta-Chebyshev.
    reason : str
    trials : tuple of Trial
    verified : bool
        Whether the recommended method finished its run, near the reference, with less work than the alternatives.
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
    trials: tuple[Trial, ...]
    verified: bool

    def __repr__(self) -> str:
        return f"Diagnosis({self.recommendation}: {self.method!r}, stiffness={self.stiffness:.3g})"

    def __str__(self) -> str:
        lines = [
            f"{self.size} unknowns, t = {self.span[0]:g} to {self.span[1]:g}: {self.recommendation}, {self.method}",
            f"  {self.reason}",
            f"  stiffness ratio {self.stiffness:.3g}; fastest decay {self.fastest.max():.3g}, largest frequency "
            f"{self.frequency.max():.3g}, largest growth {self.growth.max():.3g} per unit of time",
            "",
            f"  {'method':<34}{'stable step':>24}{'steps':>12}{'evaluations':>14}",
        ]
        for c in self.costs:
            steps = "-" if c.kind == "implicit" else f"{c.smallest_step:.3g} .. {c.largest_step:.3g}"
            count = "-" if c.kind == "implicit" else f"{c.stability_steps:.3g}"
            lines.append(f"  {c.method:<34}{steps:>24}{count:>12}{c.evaluations:>14.3g}")
        lines.append("")
        lines += [
            f"  ran {t.method}: {t.evaluations} evaluations, {t.seconds:.2f} s, "
            + (f"error {t.error:.2g}" if t.finished else t.message)
            for t in self.trials
        ]
        lines.append(f"  recommendation {'confirmed' if self.verified else 'NOT confirmed'} by these runs")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; numbers that are not finite become None."""

        def number(value: float) -> float | None:
            return value if math.isfinite(value) else None

        return {
            "kind": "diagnosis",
            "size": self.size,
            "span": list(self.span),
            **{
                name: [number(v) for v in getattr(self, name).tolist()]
                for name in ("times", "fastest", "slowest", "frequency", "growth")
            },
            "stiffness": number(self.stiffness),
            "accuracy_steps": self.accuracy_steps,
            "costs": [
                {
                    "method": c.method,
                    "kind": c.kind,
                    "smallest_step": number(c.smallest_step),
                    "largest_step": number(c.largest_step),
                    "stability_steps": number(c.stability_steps),
                    "evaluations": number(c.evaluations),
                }
                for c in self.costs
            ],
            "recommendation": self.recommendation,
            "method": self.method,
            "reason": self.reason,
            "trials": [
                {
                    "method": t.method,
                    "evaluations": t.evaluations,
                    "seconds": t.seconds,
                    "finished": t.finished,
                    "error": number(t.error),
                    "message": t.message,
                }
                for t in self.trials
            ],
            "verified": self.verified,
        }


def diagnose(
    fun: Fun,
    t: float,
    y: ArrayLike,
    *,
    span: float,
    jac: Any = None,
    sparsity: Any = None,
    rtol: float = 1e-4,
    atol: float = 1e-7,
) -> Diagnosis:
    """Stiffness along the solution, what each kind of method would cost, and which to use, checked by running it.

    A reference run with an implicit method shows where the solution goes and how many steps its accuracy needs. At a
    dozen points of it the eigenvalues of the Jacobian give each explicit method's largest stable step; the integral of
    dt over it is the number of steps that stability forces. Growing modes are left out: they are the solution's own.

    Parameters
    ----------
    fun : callable
        ``fun(t, y)`` returning an array of y's shape.
    t : float
        Where to start.
    y : array, shape (n,)
        The state there.
    span : float
        How far to go, > 0: the diagnosis is for t to t + span.
    jac, sparsity
        As in `jacobian`.
    rtol, atol : float
        The accuracy that the solution is needed with: a method is stiff's victim only relative to that.

    Returns
    -------
    Diagnosis

    Raises
    ------
    InvalidInput
        If the span is not positive, fun returns another shape, or no solver gets through.
    NotFinite
        If fun or y is not finite at the start.
    NotRepeatable
        If fun gives two different answers at the start.

    Examples
    --------
    >>> import surefoot as sf
    >>> sf.diagnose(lambda t, y: [-1000 * (y[0] - y[1]), -y[1]], 0.0, [1.0, 1.0], span=10.0).recommendation
    'implicit'
    """
    if not 0 < span < math.inf:
        raise InvalidInput(f"span must be positive and finite: how far to go from t; got {span!r}")
    y = np.asarray(y, dtype=np.float64)
    interval = (float(t), float(t) + float(span))
    checked = checked_fun(fun, y.size)
    if not np.array_equal(checked(interval[0], y), checked(interval[0], y)):
        raise NotRepeatable("fun gave two different answers at the same point; it must depend on t and y alone")
    session = _Session(fun, interval, y, jac, sparsity, rtol, atol)
    return session.diagnosis()


class _Session:
    """One call of `diagnose`."""

    def __init__(
        self,
        fun: Fun,
        span: tuple[float, float],
        y: Array,
        jac: Any,
        sparsity: Any,
        rtol: float,
        atol: float,
    ) -> None:
        self.fun, self.span, self.y = fun, span, y
        self.jac, self.sparsity, self.rtol, self.atol = jac, sparsity, rtol, atol
        self.reference = self._solved("Radau" if y.size <= 50 else "BDF")
        self.accuracy_steps = len(self.reference.t) - 1
        self.times, self.weights = self._sampled()
        self.spectra = [self._spectrum(float(s), self.reference.sol(s)) for s in self.times]

    def _solved(self, method: str) -> Any:
        from scipy.integrate import solve_ivp

        known: dict[str, Any] = {}
        if self.jac is not None:
            known = {"jac": self.jac}
        elif self.sparsity is not None:
            known = {"jac_sparsity": self.sparsity}
        tolerance = {"rtol": 0.1 * self.rtol, "atol": 0.1 * self.atol}
        solver: Any = solve_ivp
        found = solver(self.fun, self.span, self.y, method=method, dense_output=True, **tolerance, **known)
        if not found.success:
            raise InvalidInput(f"no solution up to t = {self.span[1]:g}: {found.message} (at t = {found.t[-1]:g})")
        return found

    def _sampled(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Times along the solution, half of them even in time and half in steps, and the time each stands for."""
        steps = np.asarray(self.reference.t)
        by_step = steps[np.linspace(0, len(steps) - 1, SAMPLES // 2).astype(int)]
        times = np.unique(np.concatenate([np.linspace(*self.span, SAMPLES // 2 + 2)[1:-1], by_step]))
        edges = np.concatenate([[self.span[0]], 0.5 * (times[1:] + times[:-1]), [self.span[1]]])
        return times, np.diff(edges)

    def _spectrum(self, t: float, y: Array) -> Spectrum:
        found = spectrum(jacobian(self.fun, t, y, jac=self.jac, sparsity=self.sparsity), kind="jacobian")
        # transient growth is part of the solution here: the eigenvalues alone say what a step does to it
        return found if found.points is None else replace(found, field_of_values=None)

    def diagnosis(self) -> Diagnosis:
        rates = [_rates(found) for found in self.spectra]
        fastest, slowest, frequency, growth = (np.asarray(column) for column in zip(*rates, strict=True))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(slowest > 0, fastest / slowest, 1.0)
        costs = self._costs(fastest, frequency)
        recommendation, method, reason = _recommended(costs, self.accuracy_steps, fastest, frequency)
        trials = self._trials(recommendation, method, costs)
        return Diagnosis(
            size=self.y.size,
            span=self.span,
            times=self.times,
            fastest=fastest,
            slowest=slowest,
            frequency=frequency,
            growth=growth,
            stiffness=float(ratios.max()),
            accuracy_steps=self.accuracy_steps,
            costs=costs,
            recommendation=recommendation,
            method=method,
            reason=reason,
            trials=trials,
            verified=self._verified(trials),
        )

    def _costs(self, fastest: NDArray[np.float64], frequency: NDArray[np.float64]) -> tuple[Cost, ...]:
        methods: list[Method] = [
            ForwardEuler(), BogackiShampine(), RK4(), DormandPrince(), AdamsBashforth(3)
        ]  # fmt: skip
        costs = [self._cost(method, "explicit") for method in methods]
        if _is_real(fastest, frequency):
            # as many stages as let the steps that accuracy asks for be stable at the stiffest point
            length = (self.span[1] - self.span[0]) / self.accuracy_steps
            reach = float(np.average(fastest, weights=self.weights)) * length
            stages = 2 if reach <= 0.65 * 4 else min(MOST_STAGES, RungeKuttaChebyshev.covering(reach).stages)
            costs.append(self._cost(RungeKuttaChebyshev(stages), "stabilised"))
        n = self.y.size
        sparse = self.sparsity is not None
        factor = (50 if sparse else 2 / 3 * n * n) / PER_UNKNOWN
        form = min(n, 12) if sparse else (1 if self.jac is not None else n)
        # a Jacobian serves several steps: SciPy's solvers renew it when Newton's iteration slows down
        per_step = NEWTON + (form + factor) / 4
        costs.append(Cost("implicit (Radau, BDF)", "implicit", math.inf, math.inf, 0.0, per_step * self.accuracy_steps))
        return tuple(costs)

    def _cost(self, method: Method, kind: str) -> Cost:
        steps = np.asarray([limits(found, method).curvature_limit for found in self.spectra])
        with np.errstate(divide="ignore"):
            forced = float((self.weights / steps).sum())
        # lower orders need more steps for the same accuracy; the reference's order is about four
        accurate = self.accuracy_steps * self.rtol ** min(0.0, 1 / 5 - 1 / (method.order + 1))
        work = max(forced, accurate if kind == "explicit" else self.accuracy_steps) * method.evaluations
        name = "forward Euler" if isinstance(method, ForwardEuler) else method.name
        return Cost(name, kind, float(steps.min()), float(steps.max()), forced, work)

    def _trials(self, recommendation: str, method: str, costs: Sequence[Cost]) -> tuple[Trial, ...]:
        cheapest = min(c.evaluations for c in costs)
        budget = int(min(MOST_BUDGET, max(LEAST_BUDGET, GENEROSITY * cheapest)))
        runs = [self._trial("RK45", budget), self._trial("Radau" if self.y.size <= 50 else "BDF", budget)]
        if recommendation == "stabilised":
            cost = next(c for c in costs if c.kind == "stabilised")
            runs.append(self._stabilised(cost, budget))
        names = [run.method for run in runs]
        if method in names:
            runs.insert(0, runs.pop(names.index(method)))
        return tuple(runs)

    def _trial(self, method: str, budget: int) -> Trial:
        counter = _Counted(self.fun, budget)
        began = time.perf_counter()
        try:
            run = integrate(counter, self.span, self.y, method=method, rtol=self.rtol, atol=self.atol)
        except (_Exhausted, NotFinite) as stop:
            return Trial(method, counter.calls, time.perf_counter() - began, False, math.inf, str(stop))
        seconds = time.perf_counter() - began
        return Trial(method, counter.calls, seconds, run.finished, self._error(run.final), run.message)

    def _stabilised(self, cost: Cost, budget: int) -> Trial:
        """Steps of equal length, each with the stages that the stiffest point needs."""
        count = max(self.accuracy_steps, 50)
        h = (self.span[1] - self.span[0]) / count
        # the Jacobian was seen at a dozen points only: some room above the largest rate among them
        reach = 1.1 * h * max(_rates(found)[0] for found in self.spectra)
        method = RungeKuttaChebyshev.covering(max(reach, 1.0))
        counter = _Counted(self.fun, max(budget, int(2 * cost.evaluations)))
        began = time.perf_counter()
        try:
            run = integrate(counter, self.span, self.y, method=method, step=h, monitor=False)
        except (_Exhausted, NotFinite) as stop:
            return Trial(cost.method, counter.calls, time.perf_counter() - began, False, math.inf, str(stop))
        seconds = time.perf_counter() - began
        return Trial(cost.method, counter.calls, seconds, run.finished, self._error(run.final), run.message)

    def _error(self, final: Array) -> float:
        truth = np.asarray(self.reference.y)[:, -1]
        return float(np.abs(final - truth).max() / max(np.abs(truth).max(), self.atol))

    def _verified(self, trials: Sequence[Trial]) -> bool:
        """The first trial is the recommended method: it must get through, with less work than what it replaces."""
        first, *others = trials
        n = self.y.size

        def work(trial: Trial) -> float:
            # evaluations of SciPy's implicit solvers leave factorisations out; seconds see them
            return trial.seconds if n > 50 else trial.evaluations

        fair = [t for t in others if t.finished]
        return first.finished and first.error <= NEAR and all(work(first) <= WORTH * work(t) for t in fair)


class _Exhausted(Exception):
    """The evaluation budget of a trial ran out."""


class _Counted:
    """Fun with a counter and a budget."""

    def __init__(self, fun: Fun, budget: int) -> None:
        self.fun, self.budget, self.calls = fun, budget, 0

    def __call__(self, t: float, y: Array) -> ArrayLike:
        self.calls += 1
        if self.calls > self.budget:
            raise _Exhausted(f"gave up at t = {t:.4g} after {self.budget} evaluations")
        return self.fun(t, y)


def _rates(found: Spectrum) -> tuple[float, float, float, float]:
    """Fastest and slowest decay, largest frequency and growth."""
    if found.points is None:
        corners = found.field_of_values
        ends = [found.smallest.lower, found.largest.upper] if corners is None else corners
        real, imaginary = np.real(ends), np.imag(ends)
    else:
        real, imaginary = np.real(found.points), np.imag(found.points)
    size = float(np.abs(real + 1j * imaginary).max(initial=0.0))
    decay = -real[real < -1e-9 * size]
    return (
        float(decay.max(initial=0.0)),
        float(decay.min()) if decay.size else 0.0,
        float(np.abs(imaginary).max(initial=0.0)),
        float(np.maximum(real, 0.0).max(initial=0.0)),
    )


def _is_real(fastest: NDArray[np.float64], frequency: NDArray[np.float64]) -> bool:
    return bool((frequency <= STRIP * fastest).all() and fastest.max(initial=0.0) > 0)


def _recommended(
    costs: Sequence[Cost], accuracy_steps: int, fastest: NDArray[np.float64], frequency: NDArray[np.float64]
) -> tuple[str, str, str]:
    explicit = min((c for c in costs if c.kind == "explicit" and "Euler" not in c.method), key=lambda c: c.evaluations)
    pair = next(c for c in costs if c.method.startswith("Dormand"))
    implicit = next(c for c in costs if c.kind == "implicit")
    stabilised = next((c for c in costs if c.kind == "stabilised"), None)
    forced = f"{pair.stability_steps:.3g} steps forced by stability, {accuracy_steps} by accuracy"
    if pair.stability_steps <= WORTH * accuracy_steps or pair.evaluations <= implicit.evaluations:
        return "explicit", "RK45", f"not stiff at this tolerance: {forced}"
    if stabilised is not None and stabilised.evaluations < min(implicit.evaluations, explicit.evaluations):
        return (
            "stabilised",
            stabilised.method,
            f"stiff with a nearly real spectrum, and a factorisation costs more than stages: {forced}",
        )
    name = "BDF" if len(fastest) and frequency.max() <= 10 * fastest.max() and implicit.evaluations > 5e4 else "Radau"
    return "implicit", name, f"stiff: {forced}"
