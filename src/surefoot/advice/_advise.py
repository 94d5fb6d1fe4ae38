"""The whole answer for one target: measure, decide, verify, explain."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from surefoot.advice._findings import finding
from surefoot.advice._text import best
from surefoot.advice._types import Advice, Recommendation, Verification
from surefoot.advice._verify import FACTORS, MODEL_STEPS, verify_on_frozen_model, verify_on_target
from surefoot.checks import checked
from surefoot.errors import Interrupted, InvalidInput, NotFinite
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
    trial_steps: int = 100,
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
    if trial_steps < 1:
        raise InvalidInput(f"trial_steps must be at least 1; got {trial_steps!r}")
    began = time.perf_counter()
    session = _Session(as_target(target, rng=rng), rtol, failure, trial_steps, rng, progress, announce)
    return session.advice(began)


class _Session:
    """One call of `advise`: the target, its settings, and what has been spent."""

    def __init__(
        self,
        target: Target,
        rtol: float,
        failure: float,
        trial_steps: int,
        rng: int,
        progress: Progress | None,
        announce: Callable[[str], object] | None,
    ) -> None:
        self.target = target
        self.rtol, self.failure, self.trial_steps, self.rng = rtol, failure, trial_steps, rng
        self.progress, self.announce = progress, announce
        self.announced = math.inf
        self.made: list[Recommendation] = []
        self.products = self.runs = self.done = 0
        self.total = 1
        self.trial_seconds: float | None = None
        self.product_seconds: float | None = None
        self.measurements: dict[int, Measurement] = {}
        self.found: dict[str, dict[float, list[float]]] = {}

    def advice(self, began: float) -> Advice:
        initial = self.target.initial_loss()
        if not math.isfinite(initial):
            return self._whole(
                initial, began, abstained=f"the loss at the start is {initial}; check data and initialisation"
            )
        try:
            self._first_number(initial)
            details = self._details()
            recommendations = self._recommendations(initial)
        except NotFinite as error:
            return self._whole(initial, began, abstained=str(error))
        except KeyboardInterrupt as stop:
            if not self.made:
                raise
            so_far = self._whole(initial, began, self._conclude(self.made, initial))
            raise Interrupted(so_far) from stop
        return self._whole(initial, began, recommendations, details, self._hopeless(recommendations))

    def _whole(
        self,
        initial: float,
        began: float,
        recommendations: tuple[Recommendation, ...] = (),
        details: tuple[Record, ...] = (),
        abstained: str = "",
    ) -> Advice:
        return Advice(
            target=self.target.name,
            description=self.target.describe(),
            recommendations=() if abstained else recommendations,
            abstained=abstained,
            initial_loss=initial,
            constant_loss=self.target.constant_loss(),
            products=self.products,
            runs=self.runs,
            seconds=time.perf_counter() - began,
            details=details,
        )

    def _details(self) -> tuple[Record, ...]:
        """What the target can say of itself, where it has the method for it."""
        describe = getattr(self.target, "details", None)
        if describe is None:
            return ()
        self._tell(f"{self.target.name}: its own analysis")
        return tuple(describe())

    def _recommendations(self, initial: float) -> tuple[Recommendation, ...]:
        candidates = self.target.candidates()
        self.total = len(candidates) * (1 + len(FACTORS) + MOST_RUNS)
        for index, candidate in enumerate(candidates):
            self.done = index * self.total // len(candidates)
            self.made.append(self._recommendation(candidate, initial))
            if self.made[-1].limits.stable == 0 and self.target.constant_curvature:
                break
            if index + 1 < len(candidates):
                self._announce_best(initial)
        return self._conclude(self.made, initial)

    def _first_number(self, initial: float) -> None:
        """A step by short runs alone: where curvature takes minutes to measure, nobody should wait for a number."""
        make = getattr(self.target, "first_candidate", None)
        if self.announce is None or make is None:
            return
        candidate = make()

        found: dict[float, list[float]] = {}

        def run(step: float) -> list[float]:
            self._tell(f"{candidate.label}: first number, short run at {step:.3g}")
            found[step] = self.target.trial(candidate, step, self.trial_steps)
            trials = assess(found, initial, self.target.constant_loss())
            chosen = suggestion(trials, initial)
            if chosen is not None and score(found[chosen]) < self.announced:
                self._announce(candidate.label, chosen, score(found[chosen]))
            return found[step]

        search(run, FALLBACK_STEP, initial)

    def _announce_best(self, initial: float) -> None:
        if self.announce is None:
            return
        chosen = best(self._conclude(self.made, initial), initial)
        if chosen is not None and chosen.suggested is not None and chosen.reached < self.announced:
            self._announce(chosen.label, chosen.suggested, chosen.reached)

    def _announce(self, label: str, step: float, reached: float) -> None:
        """Say a better answer than the one before, once."""
        if self.announce is not None:
            self.announced = reached
            self.announce(f"so far: {label} at {step:.3g} (loss {reached:.4g} after {self.trial_steps} steps)")

    def _conclude(self, made: Sequence[Recommendation], initial: float) -> tuple[Recommendation, ...]:
        """The recommendations with a step from the short runs of each, now that those of all methods are known."""
        # a network's runs may have shown what a constant predictor reaches, where its loss does not say so
        constant = self.target.constant_loss()
        runs = {r.label: assess(self.found.get(r.label, {}), initial, constant) for r in made}
        ends = {label: min(score(trial.losses) for trial in trials) for label, trials in runs.items() if trials}
        baseline = initial if constant is None else min(initial, constant)
        first = min(ends, key=lambda label: ends[label], default="")
        concluded: list[Recommendation] = []
        for r in made:
            trials = runs[r.label]
            if not trials:
                concluded.append(r)
                continue
            usable, suggested = usable_range(trials, initial), suggestion(trials, initial)
            said = finding(r.limits, trials, usable, suggested, initial=initial, constant=constant)
            behind = baseline - ends[r.label] < FAR_BEHIND * (baseline - ends[first])
            if suggested is not None and behind and not self.target.constant_curvature:
                usable = suggested = None
                said = (
                    f"no suggestion: its best run ends at {ends[r.label]:.4g}, and {first} comes to {ends[first]:.4g}"
                )
            concluded.append(replace(r, trials=trials, usable=usable, suggested=suggested, finding=said))
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

    def _recommendation(self, candidate: Any, initial: float) -> Recommendation:
        self._tell(f"{candidate.label}: curvature")
        found, measurement = self._spectrum_of(candidate)
        allowed = limits(found, candidate.method)
        ritz = () if measurement is None else tuple(measurement.values.tolist())
        if measurement is None and found.points is not None:
            ritz = tuple(found.points.tolist())
        self.done += 1

        verification: tuple[Verification, ...] = ()
        if not (allowed.stable == 0 and self.target.constant_curvature):
            self._tell(f"{candidate.label}: verification")
            verification = self._verification(candidate, found, measurement, allowed)
            self.done += len(FACTORS)
            self.found[candidate.label] = self._trials(candidate, allowed, initial)
        return Recommendation(
            label=candidate.label,
            spectrum=found,
            ritz=ritz,
            limits=allowed,
            verification=verification,
            trials=(),
            usable=None,
            suggested=None,
            finding="no short runs: no step is stable",
            amplification=_amplification(candidate.method, found, allowed),
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

    def _verification(self, candidate: Any, found: Spectrum, measurement: Measurement | None, allowed: Limits):
        if not 0 < allowed.curvature_limit < math.inf:
            return ()
        if measurement is None:
            return verify_on_target(self.target, candidate, found, allowed)
        checked = verify_on_frozen_model(self.target.operator(candidate), measurement, candidate.method, allowed)
        self.products += sum(len(v.values) - 1 for v in checked)
        return checked

    def _trials(self, candidate: Any, allowed: Limits, initial: float) -> dict[float, list[float]]:
        limit = allowed.curvature_limit
        guess = limit / 2 if 0 < limit < math.inf else FALLBACK_STEP

        def run(step: float) -> list[float]:
            self._tell(f"{candidate.label}: short run at {step:.3g}")
            began = time.perf_counter()
            losses = self.target.trial(candidate, step, self.trial_steps)
            self.trial_seconds = time.perf_counter() - began
            self.runs += 1
            self.done += 1
            return losses

        return search(run, guess, initial)

    def _tell(self, label: str) -> None:
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
        self._tell(f"{candidate.label}: curvature")

    def _remaining(self) -> float | None:
        """Seconds left, as far as they can be known: products before the first short run, then mostly those runs."""
        if self.trial_seconds is not None:
            return self.trial_seconds * (self.total - self.done)
        if self.product_seconds is not None:
            candidates = self.total // (1 + len(FACTORS) + MOST_RUNS)
            return self.product_seconds * candidates * (MEASURING_PRODUCTS + VERIFYING_PRODUCTS)
        return None


def _amplification(method: Method, found: Spectrum, allowed: Limits) -> tuple[tuple[float, float], ...]:
    """Worst growth per step over the certified positive curvatures, for steps around the limit."""
    limit = allowed.curvature_limit
    if not 0 < limit < math.inf or found.kind != "curvature":
        return ()
    top, bottom = found.largest.upper, found.smallest.lower
    curvatures = np.geomspace(bottom, top, 65) if 0 < bottom < top else np.asarray([top])
    steps = np.geomspace(limit / 30, 2 * limit, 240)
    worst = method.amplification(-np.outer(steps, curvatures)).max(axis=1)
    return tuple(zip(steps.tolist(), worst.tolist(), strict=True))
