"""The whole answer for one target: measure, decide, verify, explain."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from surefoot.advice._findings import finding
from surefoot.advice._text import best
from surefoot.advice._types import Advice, Recommendation, Verification
from surefoot.advice._verify import FACTORS, MODEL_STEPS, verify_on_frozen_model, verify_on_target
from surefoot.checks import Count, checked
from surefoot.errors import Interrupted, NotFinite
from surefoot.methods import Method
from surefoot.operators import Operator
from surefoot.progress import Progress
from surefoot.records import Record
from surefoot.spectra import Measurement, Spectrum, measure
from surefoot.stability import Limits, limits
from surefoot.targets import Target, as_target
from surefoot.trials.bracket import MOST_RUNS, assess, score, search, suggestion, usable_range

# Where the limit gives no scale (no curvature) the search for a usable step starts here.
FALLBACK_STEP = 0.01
# A network's method whose best run improves less than this part of what another method's does is none to suggest a step
# for, by convention: its runs show a plateau, not a rate. Slow methods on ill-conditioned data stay well above it.
FAR_BEHIND = 0.1
# What a candidate is expected to cost in products, for the cost preview: a 1% interval of a network's Hessian, and
# the runs on its frozen model.
MEASURING_PRODUCTS, VERIFYING_PRODUCTS = 50, 2 * MODEL_STEPS


@checked
def advise(
    target: Any,
    *,
    rtol: float = 0.01,
    failure: float = 1e-6,
    trial_steps: Count = 100,
    rng: int = 0,
    progress: Progress | None = None,
    announce: Callable[[str], object] | None = None,
) -> Advice:
    """How big a step to take on a target, with each method that it can run.

    Measures the curvature, derives each method's limits, checks the linear claim at 0.95 and 1.05 times the limit
    (on the frozen quadratic model of a network, by the real iteration of a classical problem), and brackets the usable
    step by short real runs. The suggestion comes from those runs alone; where none improves, Surefoot abstains.

    Parameters
    ----------
    target : problem, matrix, operator, or torch task
        A `surefoot.problems` problem, a symmetric matrix (its quadratic), a `surefoot.training.Task`, or any object
        with the interface of `surefoot.targets.Target`.
    rtol, failure : float
        Relative width of the curvature's interval, and the probability that it is wrong, as in `surefoot.spectrum`.
    trial_steps : int
        Length of a short real run.
    rng : int
        Seed of the measurement and of a random start.
    progress : callable, optional
        Called with (done, total, label, remaining seconds or None).
    announce : callable, optional
        Called with a sentence when there is a first number, long before the curvature of a network is measured, and
        whenever a better one is there.

    Returns
    -------
    Advice
        ``str(advice)`` is a table, ``advice.report(path)`` writes an HTML file.

    Raises
    ------
    InvalidType
        If the target is nothing that can be advised on.
    InvalidInput
        If an argument is out of range, or the operator is not symmetric or not repeatable.
    Interrupted
        On Ctrl-C, once a method is done; its `partial` is the advice on the methods so far.

    Examples
    --------
    >>> import surefoot as sf
    >>> advice = sf.advise([[2.0, 1.0], [1.0, 3.0]])
    >>> [f"{r.label}: {r.limits.stable:.4f}" for r in advice.recommendations]
    ['gradient descent: 0.5528', 'heavy ball 0.9: 1.0503', 'Nesterov 0.9: 0.3751']
    """
    return _Session(as_target(target, rng=rng), rtol, failure, trial_steps, rng, progress, announce).advice()


@dataclass(slots=True, eq=False)
class _Session:
    """One call of `advise`: the target, its settings, and what has been spent."""

    target: Target
    rtol: float
    failure: float
    trial_steps: int
    rng: int
    progress: Progress | None
    announce: Callable[[str], object] | None
    began: float = field(default_factory=time.perf_counter)
    initial: float = field(init=False)
    # the lowest loss that was announced
    announced: float = math.inf
    # what is done for each method, and the losses of its short runs by their step
    made: list[Recommendation] = field(default_factory=list[Recommendation])
    losses: dict[str, dict[float, list[float]]] = field(default_factory=dict[str, dict[float, list[float]]])
    measurements: dict[int, Measurement] = field(default_factory=dict[int, Measurement])
    products: int = 0
    runs: int = 0
    # pieces of work, for the progress, and what the last ones took
    done: int = 0
    total: int = 1
    trial_seconds: float | None = None
    product_seconds: float | None = None

    def __post_init__(self) -> None:
        self.initial = self.target.initial_loss()

    def advice(self) -> Advice:
        if not math.isfinite(self.initial):
            return self._advice(abstained=f"the loss at the start is {self.initial}; check data and initialisation")
        try:
            self._first_number()
            details = self._details()
            recommendations = self._recommendations()
        except NotFinite as error:
            return self._advice(abstained=str(error))
        except KeyboardInterrupt as stop:
            if not self.made:
                raise
            raise Interrupted(self._advice(self._conclude())) from stop
        return self._advice(recommendations, details, self._hopeless(recommendations))

    def _advice(
        self,
        recommendations: tuple[Recommendation, ...] = (),
        details: tuple[Record, ...] = (),
        abstained: str = "",
    ) -> Advice:
        return Advice(
            target=self.target.name,
            description=self.target.describe(),
            recommendations=() if abstained else recommendations,
            abstained=abstained,
            initial_loss=self.initial,
            constant_loss=self.target.constant_loss(),
            products=self.products,
            runs=self.runs,
            seconds=time.perf_counter() - self.began,
            details=details,
        )

    def _details(self) -> tuple[Record, ...]:
        """What the target can say of itself, where it has the method for it."""
        describe = getattr(self.target, "details", None)
        if describe is None:
            return ()
        self._show(f"{self.target.name}: its own analysis")
        return tuple(describe())

    def _recommendations(self) -> tuple[Recommendation, ...]:
        candidates = self.target.candidates()
        self.total = len(candidates) * (1 + len(FACTORS) + MOST_RUNS)
        for index, candidate in enumerate(candidates):
            self.done = index * self.total // len(candidates)
            self.made.append(self._recommendation(candidate))
            if self.made[-1].limits.stable == 0 and self.target.constant_curvature:
                break
            if index + 1 < len(candidates):
                self._announce_best()
        return self._conclude()

    def _first_number(self) -> None:
        """A step by short runs alone: where curvature takes minutes to measure, nobody should wait for a number."""
        make = getattr(self.target, "first_candidate", None)
        if self.announce is None or make is None:
            return
        candidate = make()
        runs: dict[float, list[float]] = {}

        def run(step: float) -> list[float]:
            self._show(f"{candidate.label}: first number, short run at {step:.3g}")
            runs[step] = self.target.trial(candidate, step, self.trial_steps)
            trials = assess(runs, self.initial, self.target.constant_loss())
            chosen = suggestion(trials, self.initial)
            if chosen is not None and score(runs[chosen]) < self.announced:
                self._announce(candidate.label, chosen, score(runs[chosen]))
            return runs[step]

        search(run, FALLBACK_STEP, self.initial)

    def _announce_best(self) -> None:
        if self.announce is None:
            return
        chosen = best(self._conclude(), self.initial)
        if chosen is not None and chosen.suggested is not None and chosen.reached < self.announced:
            self._announce(chosen.label, chosen.suggested, chosen.reached)

    def _announce(self, label: str, step: float, reached: float) -> None:
        """Say a better answer than the one before, once."""
        if self.announce is not None:
            self.announced = reached
            self.announce(f"so far: {label} at {step:.3g} (loss {reached:.4g} after {self.trial_steps} steps)")

    def _conclude(self) -> tuple[Recommendation, ...]:
        """The recommendations with the steps that the short runs support, now that those of all methods are known."""
        # a network's runs may have shown what a constant predictor reaches, where its loss does not say so
        initial, constant = self.initial, self.target.constant_loss()
        runs = {r.label: assess(self.losses.get(r.label, {}), initial, constant) for r in self.made}
        ends = {label: min(score(trial.losses) for trial in trials) for label, trials in runs.items() if trials}
        baseline = initial if constant is None else min(initial, constant)
        first = min(ends, key=lambda label: ends[label], default="")
        concluded: list[Recommendation] = []
        for r in self.made:
            trials = runs[r.label]
            if not trials:
                concluded.append(r)
                continue
            usable, suggested = usable_range(trials, initial), suggestion(trials, initial)
            text = finding(r.limits, trials, usable, suggested, initial=initial, constant=constant)
            end = ends[r.label]
            behind = baseline - end < FAR_BEHIND * (baseline - ends[first])
            if suggested is not None and behind and not self.target.constant_curvature:
                usable = suggested = None
                text = f"no suggestion: its best run ends at {end:.4g}, and {first} comes to {ends[first]:.4g}"
            concluded.append(replace(r, trials=trials, usable=usable, suggested=suggested, finding=text))
        return tuple(concluded)

    def _hopeless(self, recommendations: tuple[Recommendation, ...]) -> str:
        """Why no step can be right for any method; empty where one can."""
        first = recommendations[0]
        if self.target.constant_curvature and first.limits.stable == 0:
            return (
                f"no step is stable: the smallest curvature is {first.spectrum.smallest}, so the loss has no minimum; "
                f"add ridge > {-first.spectrum.smallest.lower:.3g}"
            )
        ends = first.spectrum.largest, first.spectrum.smallest
        if all(end.lower == end.upper == 0 for end in ends) and all(r.suggested is None for r in recommendations):
            return "the loss is flat at the start: all curvature is 0 and no short run improved on it"
        return ""

    def _recommendation(self, candidate: Any) -> Recommendation:
        self._show(f"{candidate.label}: curvature")
        spectrum, measurement = self._spectrum_of(candidate)
        allowed = limits(spectrum, candidate.method)
        ritz = () if measurement is None else tuple(measurement.values.tolist())
        if measurement is None and spectrum.points is not None:
            ritz = tuple(spectrum.points.tolist())
        self.done += 1

        verification: tuple[Verification, ...] = ()
        if not (allowed.stable == 0 and self.target.constant_curvature):
            self._show(f"{candidate.label}: verification")
            verification = self._verification(candidate, spectrum, measurement, allowed)
            self.done += len(FACTORS)
            self.losses[candidate.label] = self._trials(candidate, allowed)
        return Recommendation(
            label=candidate.label,
            spectrum=spectrum,
            ritz=ritz,
            limits=allowed,
            verification=verification,
            trials=(),
            usable=None,
            suggested=None,
            finding="no short runs: no step is stable",
            amplification=_amplification(candidate.method, spectrum, allowed),
            note=candidate.note,
            proved=self._proof(candidate, allowed),
        )

    def _proof(self, candidate: Any, allowed: Limits) -> float | None:
        """The step below which a theorem says that runs converge, where the target knows one."""
        proof = getattr(self.target, "proved_below", None)
        return None if proof is None else proof(candidate, allowed)

    def _spectrum_of(self, candidate: Any) -> tuple[Spectrum, Measurement | None]:
        """The curvature the candidate sees, measured once per operator."""
        known = self.target.global_curvature()
        if known is not None:
            if not self.measurements:
                self.products += known.products
                self.measurements[0] = Measurement(known, np.empty(0), lambda _: None)
            return known, None
        operator = self.target.operator(candidate)
        if id(operator) not in self.measurements:
            self._preview(operator, candidate)
            measurement = measure(operator, rtol=self.rtol, failure=self.failure, rng=self.rng)
            self.products += measurement.spectrum.products
            self.measurements[id(operator)] = measurement
        measurement = self.measurements[id(operator)]
        return measurement.spectrum, measurement

    def _verification(self, candidate: Any, spectrum: Spectrum, measurement: Measurement | None, allowed: Limits):
        if not 0 < allowed.curvature_limit < math.inf:
            return ()
        if measurement is None:
            return verify_on_target(self.target, candidate, spectrum, allowed)
        checked = verify_on_frozen_model(self.target.operator(candidate), measurement, candidate.method, allowed)
        self.products += sum(len(v.values) - 1 for v in checked)
        return checked

    def _trials(self, candidate: Any, allowed: Limits) -> dict[float, list[float]]:
        limit = allowed.curvature_limit
        guess = limit / 2 if 0 < limit < math.inf else FALLBACK_STEP

        def run(step: float) -> list[float]:
            self._show(f"{candidate.label}: short run at {step:.3g}")
            began = time.perf_counter()
            losses = self.target.trial(candidate, step, self.trial_steps)
            self.trial_seconds = time.perf_counter() - began
            self.runs += 1
            self.done += 1
            return losses

        return search(run, guess, self.initial)

    def _show(self, label: str) -> None:
        if self.progress is None:
            return
        self.progress(self.done, self.total, label, self._remaining())

    def _preview(self, operator: Operator, candidate: Any) -> None:
        """Time one product, so that a long measurement is announced before it begins."""
        if self.product_seconds is not None:
            return
        began = time.perf_counter()
        operator.matvec(np.full(operator.shape[1], operator.shape[1] ** -0.5))
        self.product_seconds = time.perf_counter() - began
        self.products += 1
        self._show(f"{candidate.label}: curvature")

    def _remaining(self) -> float | None:
        """Seconds left, as far as they can be known: products before the first short run, then mostly those runs."""
        if self.trial_seconds is not None:
            return self.trial_seconds * (self.total - self.done)
        if self.product_seconds is not None:
            candidates = self.total // (1 + len(FACTORS) + MOST_RUNS)
            return self.product_seconds * candidates * (MEASURING_PRODUCTS + VERIFYING_PRODUCTS)
        return None


def _amplification(method: Method, spectrum: Spectrum, allowed: Limits) -> tuple[tuple[float, float], ...]:
    """Worst growth per step over the certified positive curvatures, for steps around the limit."""
    limit = allowed.curvature_limit
    if not 0 < limit < math.inf or spectrum.kind != "curvature":
        return ()
    top, bottom = spectrum.largest.upper, spectrum.smallest.lower
    curvatures = np.geomspace(bottom, top, 65) if 0 < bottom < top else np.asarray([top])
    steps = np.geomspace(limit / 30, 2 * limit, 240)
    worst = method.amplification(-np.outer(steps, curvatures)).max(axis=1)
    return tuple(zip(steps.tolist(), worst.tolist(), strict=True))
