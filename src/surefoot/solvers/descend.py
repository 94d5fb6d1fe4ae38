"""The loop of descent: the rule chooses the step, the method makes the move, the trace records it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import numpy as np

from surefoot.checks import Nonnegative, Range, checked, real_array
from surefoot.errors import InvalidInput, NotFinite
from surefoot.methods import GradientDescent, Method
from surefoot.operators import Array
from surefoot.problems import Problem
from surefoot.problems.trial_points import attempt, look
from surefoot.progress import Progress
from surefoot.records import Record, left_out
from surefoot.rules import Constant, Decision, Observation, Rule
from surefoot.solvers._observation import Arrived, Point, Sensed, norm
from surefoot.solvers._proximal import Proximal, penalty_value
from surefoot.solvers._scaling import FixedScaling, Scaling
from surefoot.solvers._trace import CurvatureIs, Row, Trace
from surefoot.solvers._verdict import Verdict, judge, predicted_rate
from surefoot.spectra import Spectrum

__all__ = ["Descent", "descend"]

Callback = Callable[[Array, float], object]
# What a rule may read here.
SUPPLIED = frozenset({
    "alignment", "arrival_slope", "curvature", "direction_norm", "displacement", "gradient_change", "gradient_norm",
    "loss", "previous_slope", "slope",
})  # fmt: skip
# What is defined only if a move is a multiple of one direction, which it is not for a method with memory.
ALONG_A_DIRECTION = frozenset({"slope", "previous_slope", "arrival_slope", "curvature"})


@dataclass(frozen=True, slots=True, eq=False)
class Descent(Record):
    """The outcome of a run.

    Parameters
    ----------
    x : array, shape (size,)
        The last accepted iterate; the last good one if the run met a value that is not finite.
    loss, gradient_norm : float
        Loss and gradient norm at x.
    best_x : array, shape (size,)
        The accepted iterate with the smallest loss, for rules that do not descend at every step.
    average : array, shape (size,), or None
        Mean of the accepted iterates after the start, with ``descend(average=True)``.
    converged : bool
        Whether the gradient norm fell to tol times its first value.
    stopped : str
        Why the run ended, for a person.
    trace : Trace
        All points with steps and reasons.
    verdict : Verdict
        too small, slow, good, oscillating or diverged, with the evidence.
    evaluations : int
        Number of gradients computed.
    state : object
        The rule's last state. `rule.dump` converts it to JSON; a record omits it, so it is None when read back.
    """

    x: Array
    loss: float
    gradient_norm: float
    best_x: Array
    average: Array | None
    converged: bool
    stopped: str
    trace: Trace
    verdict: Verdict
    evaluations: int
    state: Any = field(metadata=left_out())

    def __repr__(self) -> str:
        return f"Descent(loss={self.loss:.6g}, gradient_norm={self.gradient_norm:.3g}, {self.stopped!r})"

    def __str__(self) -> str:
        return (
            f"{self.stopped}: loss {self.loss:.8g}, gradient norm {self.gradient_norm:.3g} after "
            f"{self.evaluations} gradients\n{self.verdict}"
        )


@checked
@np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")
def descend(
    problem: Problem,
    x0: Any = None,
    *,
    rule: Rule,
    method: Method | None = None,
    penalty: Proximal | None = None,
    scaling: Scaling | Array | None = None,
    steps: Annotated[int, Range("[0, inf)")] = 1000,
    tol: Nonnegative = 1e-8,
    callback: Callback | None = None,
    progress: Progress | None = None,
    curvature: bool | None = None,
    average: bool = False,
    spectrum: Spectrum | None = None,
) -> Descent:
    """Minimise a problem by steps that a rule chooses and moves that a method makes with them.

        x+ = method(x, step * F),    F = -grad f,  or -P grad f,  or prox steps of f + h

    Parameters
    ----------
    problem : Problem
        Problem to minimise.
    x0 : array, shape (size,), optional
        The start; by default the problem's own.
    rule : Rule
        Rule that chooses steps from what is observed.
    method : Method
        Method: gradient descent (the default), heavy ball, Nesterov, FISTA.
    penalty : Proximal, optional
        h, to minimise f + h: each move then ends with the proximal map of h, and `gradient_norm` is the norm of the
        gradient mapping, |x - prox(x - step g)|/step, at the point that the move left.
    scaling : Scaling or array of shape (size,), optional
        P, to move along -P g: AdaGrad, RMSProp or fixed positive numbers.
    steps : int
        Largest number of moves, including rejected ones; each costs one value and one gradient.
    tol : float
        Stop when |g(x)| <= tol |g(x0)|, with a penalty for the gradient mapping. Relative, so that the unit of the loss
        does not matter.
    callback : callable, optional
        Called with (x, loss) at each accepted point; a true return value stops the run.
    progress : callable, optional
        Called with (moves made, steps, the loss as text, None) after each move.
    curvature : bool, optional
        Whether the trace has the curvature along each move at the point left, for one Hessian product each, or its
        average over the move, at no cost. Default: the first if the problem has products of its own. For a quadratic
        both are equal, and no product is made.
    average : bool
        Whether to keep the mean of the iterates, for subgradient steps and noise.
    spectrum : Spectrum, optional
        Spectrum of the curvature, such as ``problem.curvature()``; with a constant step the verdict then gives the
        predicted rate beside the measured one.

    Returns
    -------
    Descent
        The outcome, also of a failed run: see `Descent.verdict`.

    Raises
    ------
    InvalidInput
        If the rule needs what cannot be observed, or arguments are out of range or exclude each other.
    NotFinite
        If the loss or the gradient is not finite at the start.
    """
    method = GradientDescent() if method is None else method
    _check(rule, method)
    if penalty is not None and scaling is not None:
        raise InvalidInput("a penalty's proximal map holds for unscaled moves; give either penalty or scaling")
    kept = _scaling(scaling, problem.size)
    x = np.array(problem.start() if x0 is None else problem.checked(x0), dtype=np.float64)
    if penalty is not None and not math.isfinite(penalty_value(penalty, x)):
        x = penalty.prox(x, 1.0)
    local = problem.has_products if curvature is None else curvature
    engine = _Engine(problem, rule, method, penalty, kept, local, np.zeros(problem.size) if average else None)
    stopped = engine.run(x, steps, tol, callback, progress)
    predicted = math.nan
    if spectrum is not None and isinstance(rule, Constant):
        predicted = predicted_rate(spectrum, rule.step, method)
    return engine.outcome(stopped, tol, predicted)


def _scaling(scaling: Any, size: int) -> Scaling | None:
    """The scaling, from positive numbers if it was given by them."""
    if scaling is None or hasattr(scaling, "update"):
        return scaling
    fixed = FixedScaling(real_array(scaling, "scaling"))
    if fixed.scale.shape not in ((), (size,)):
        raise InvalidInput(f"scaling must have shape ({size},); got {fixed.scale.shape}")
    return fixed


def _check(rule: Rule, method: Method) -> None:
    missing = rule.needs - SUPPLIED
    if missing:
        raise InvalidInput(f"{type(rule).__name__} needs {sorted(missing)}, which descend cannot observe")
    along = rule.needs & ALONG_A_DIRECTION
    if along and method.memory > 1:
        raise InvalidInput(
            f"{type(rule).__name__} reads {sorted(along)}, defined for moves along one direction; {method.name} also "
            "moves with its velocity; use GradientDescent, or a rule without a line search"
        )


@dataclass
class _Engine:
    """The loop and its state."""

    problem: Problem
    rule: Rule
    method: Method
    penalty: Proximal | None
    scaling: Scaling | None
    local: bool  # whether curvature is that at the point left
    average: Array | None
    scale: Array | None = None
    rows: list[Row] = field(default_factory=list[Any])
    extra: int = 0  # gradients at points other than iterates (methods with inner stages)
    mapping: float = math.nan  # norm of the gradient mapping, where there is a penalty
    landing: Array | None = None  # where the last proximal map landed

    def __post_init__(self) -> None:
        self.memory = np.zeros(self.problem.size)
        self.curvature_is: CurvatureIs = "at the point left" if self.local else "on average over the move"
        self.measured = self.local and not self.problem.constant_curvature

    @property
    def along_gradient(self) -> bool:
        """Whether a move is the step times the gradient and nothing else."""
        return isinstance(self.method, GradientDescent) and self.scaling is None and self.penalty is None

    def run(self, x: Array, steps: int, tol: float, callback: Callback | None, progress: Progress | None) -> str:
        """Run the loop; returns why it ended."""
        rule, product = self.rule, self.problem.hessian_product
        self.state = rule.init()
        moving = self.method.start(x)
        # an objective that raises at the start is a mistake, which the user should see
        point = self.evaluate(x, self.problem.value_and_gradient)
        if not point.finite:
            raise NotFinite(f"the loss or the gradient is not finite at x0: f = {point.loss!r}; start elsewhere")
        self.good = self.best = good = point
        goal = tol * point.gradient_norm if self.penalty is None else -1.0
        coming = self.rescale(point, 0)
        self.scale = coming[0]
        seen = Sensed(point, 0, product, self.scale)
        standing, accepted, last_loss = moving, 0, point.loss
        for made in range(steps + 1):
            # an observation lacks what a problem cannot show; a rule that needs it was refused at the start
            decision, self.state = rule.update(self.state, cast(Observation, seen))
            self.record(seen, decision)
            if decision.accept:
                if not point.finite:
                    return "stopped at a value that is not finite; x is the last good iterate"
                self.good = good = point
                standing, accepted, last_loss = moving, accepted + 1, point.loss
                self.scale, self.memory = coming
                self.keep(point, accepted)
                enough = callback is not None and callback(point.answer, point.loss)
                if (point.gradient_norm if self.penalty is None else self.mapping) <= goal:
                    return "converged"
                if enough:
                    return "stopped by the callback"
            if progress is not None:
                progress(made, steps, f"loss {last_loss:.4g}", None)
            if made == steps:
                break
            base = self.method.start(standing[0]) if decision.restart else standing
            moving = self.method.update(base, self.flow(good, decision.step))
            point = self.evaluate(moving[0])
            seen = Arrived(point, good, accepted, decision.step, product, self.scale, self.penalty is not None)
            coming = self.rescale(point, accepted)
            if self.penalty is not None and goal < 0:
                goal = tol * self.mapping
            if seen.displacement == 0:
                return "converged" if self.mapping == 0 else "stopped: the step no longer moves the iterate"
        return "all steps used"

    def flow(self, good: Point, step: float) -> Callable[[Array], Array]:
        """The map step * F: -step * P * grad f, or with a penalty the move to the result of its proximal map."""

        def push(x: Array) -> Array:
            if x is good.x:
                gradient = good.gradient
            else:
                self.extra += 1
                answer = attempt(self.problem.gradient, x)
                gradient = np.full(x.shape, math.nan) if answer is None else answer
            if self.penalty is not None:
                self.landing = self.penalty.prox(x - step * gradient, step)
                move = self.landing - x
                self.mapping = norm(move) / step if step > 0 else math.nan
                return move
            return -step * gradient if self.scale is None else -step * (self.scale * gradient)

        return push

    def rescale(self, point: Point, count: int) -> tuple[Array | None, Array]:
        """The scale for moves from a point and the scaling's next memory, to be kept if the point is accepted."""
        if self.scaling is None:
            return None, self.memory
        return self.scaling.update(self.memory, count, point.gradient)

    def evaluate(self, x: Array, both: Callable[[Array], tuple[float, Array]] | None = None) -> Point:
        """The point at x, evaluated by `both`; by default as a trial point, with nan if the problem raises."""
        loss, gradient = look(self.problem, x) if both is None else both(x)
        if self.penalty is None:
            return Point(x, loss, gradient)
        # with momentum x is ahead of the result of the proximal map, and may violate a constraint
        answer = x if self.landing is None else self.landing
        return Point(x, loss + penalty_value(self.penalty, answer), gradient, answer)

    def keep(self, point: Point, accepted: int) -> None:
        """Update the best and the mean of the accepted points."""
        if point.loss < self.best.loss:
            self.best = point
        if self.average is not None and accepted > 1:
            self.average += (point.answer - self.average) / (accepted - 1)

    def record(self, seen: Sensed, decision: Decision) -> None:
        """Append a row to the trace."""
        square = seen.displacement * seen.displacement
        kappa = seen.alignment / square if square > 0 else math.nan
        if self.measured and square > 0:
            move = seen.point.x - self.good.x
            image = attempt(self.problem.hessian_product, self.good.x, move)
            kappa = math.nan if image is None else float(move.dot(image)) / square
        self.rows.append((
            seen.loss,
            seen.point.gradient_norm if self.penalty is None else self.mapping,
            seen.step,
            kappa,
            seen.departure + 0.5 * kappa * square,
            decision.accept,
            decision.reason,
        ))  # fmt: skip

    def outcome(self, stopped: str, tol: float, predicted: float) -> Descent:
        """The result of the run."""
        trace = Trace.of(self.rows, self.curvature_is)
        good, extra = self.good, self.extra
        loss, norm_there = good.loss, good.gradient_norm
        if self.penalty is not None:
            norm_there = self.mapping
            trace.gradient_norm[0] = trace.gradient_norm[min(1, len(trace) - 1)]
            if good.answer is not good.x:
                loss = self.problem.value(good.answer) + penalty_value(self.penalty, good.answer)
        return Descent(
            x=good.answer,
            loss=loss,
            gradient_norm=norm_there,
            best_x=self.best.answer,
            average=self.average,
            converged=stopped == "converged",
            stopped=stopped,
            trace=trace,
            verdict=judge(trace, stopped, tol, predicted, along_gradient=self.along_gradient),
            evaluations=len(trace) + extra,
            state=self.state,
        )
