"""One engine for descent: the rule decides, the method moves, the trace remembers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.drivers._observation import Arrived, Point, Sensed
from surefoot.drivers._trace import Row, Trace
from surefoot.drivers._verdict import Verdict, judge
from surefoot.errors import InvalidInput, NotFinite
from surefoot.methods import GradientDescent, Method
from surefoot.operators import Array
from surefoot.problems import Problem
from surefoot.rules import Decision, Rule

__all__ = ["Descent", "descend"]

Callback = Callable[[Array, float], object]
Progress = Callable[[int, int, float], object]

SUPPLIED = frozenset(
    {
        "alignment",
        "arrival_slope",
        "curvature",
        "direction_norm",
        "displacement",
        "gradient_change",
        "gradient_norm",
        "loss",
        "previous_slope",
        "slope",
    }
)
# With memory the next move is not a multiple of one direction.
ALONG_A_DIRECTION = frozenset({"slope", "previous_slope", "arrival_slope", "curvature"})


@dataclass(frozen=True, slots=True, eq=False)
class Descent:
    """The outcome of a run.

    Parameters
    ----------
    x : array, shape (size,)
        The last accepted iterate; the last good one if the run met a value that is not finite.
    loss, gradient_norm : float
        There.
    converged : bool
        Whether the gradient norm fell to tol times its first value.
    stopped : str
        Why the run ended, for a person.
    trace : Trace
        All points, with steps and reasons.
    verdict : Verdict
        too small, slow, good, oscillating or diverged, with the evidence.
    evaluations : int
        Number of gradients that it cost.
    state : object
        The rule's last state; `rule.dump` makes it JSON.
    """

    x: Array
    loss: float
    gradient_norm: float
    converged: bool
    stopped: str
    trace: Trace
    verdict: Verdict
    evaluations: int
    state: Any

    def __repr__(self) -> str:
        return f"Descent(loss={self.loss:.6g}, gradient_norm={self.gradient_norm:.3g}, {self.stopped!r})"

    def __str__(self) -> str:
        return (
            f"{self.stopped}: loss {self.loss:.8g}, gradient norm {self.gradient_norm:.3g} after "
            f"{self.evaluations} gradients\n{self.verdict}"
        )


def descend(
    problem: Problem,
    x0: Any = None,
    *,
    rule: Rule,
    method: Method | None = None,
    steps: int = 1000,
    tol: float = 1e-8,
    callback: Callback | None = None,
    progress: Progress | None = None,
    curvature: bool = False,
) -> Descent:
    """Minimise a problem from x0, with the steps that a rule decides and the moves that a method makes of
    them.

        x+ = method(x, step * F),    F = -grad f

    Parameters
    ----------
    problem : Problem
        What to minimise.
    x0 : array, shape (size,), optional
        The start; the problem's own otherwise.
    rule : Rule
        Decides steps from what is observed.
    method : Method
        Gradient descent, heavy ball, Nesterov.
    steps : int
        Most moves, those that are taken back included; each costs one value and one gradient.
    tol : float
        Stop when |g(x)| <= tol |g(x0)|. Relative, so that the unit of the loss does not matter.
    callback : callable, optional
        Called with (x, loss) at each accepted point; a true return value stops the run.
    progress : callable, optional
        Called with (moves made, steps, loss) after each move.
    curvature : bool
        Measure g'Hg/g'g at every point, for one Hessian product each, instead of the secant's average.

    Returns
    -------
    Descent
        Of any run, a failed one too: see `Descent.verdict`.

    Raises
    ------
    InvalidInput
        If the rule needs what this method cannot supply, or steps or tol are out of range.
    NotFinite
        If the loss or the gradient is not finite at the start.
    """
    method = GradientDescent() if method is None else method
    _check(rule, method, steps, tol)
    x = problem.start() if x0 is None else problem.checked(x0)
    engine = _Engine(problem, rule, method, curvature)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        stopped = engine.run(np.array(x, dtype=np.float64), steps, tol, callback, progress)
    return engine.outcome(stopped, tol)


def _check(rule: Rule, method: Method, steps: int, tol: float) -> None:
    missing = rule.needs - SUPPLIED
    if missing:
        raise InvalidInput(f"{type(rule).__name__} needs {sorted(missing)}, which descend cannot observe")
    along = rule.needs & ALONG_A_DIRECTION
    if along and method.memory > 1:
        raise InvalidInput(
            f"{type(rule).__name__} reads {sorted(along)}, defined for moves along one direction; {method.name} also "
            "moves with its velocity; use GradientDescent, or a rule without a line search"
        )
    if steps < 0 or tol < 0:
        raise InvalidInput(f"steps and tol must be nonnegative; got {steps!r} and {tol!r}")


class _Engine:
    """The loop and what it keeps."""

    def __init__(self, problem: Problem, rule: Rule, method: Method, curvature: bool) -> None:
        self.problem = problem
        self.rule = rule
        self.method = method
        self.curvature = curvature
        self.rows: list[Row] = []
        self.extra = 0  # gradients at points other than iterates (methods with inner stages)

    def run(self, x: Array, steps: int, tol: float, callback: Callback | None, progress: Progress | None) -> str:
        """Why it ended."""
        rule, product = self.rule, self.problem.hessian_product
        self.state = rule.init()
        moving = self.method.start(x)
        point = self.evaluate(x)
        if not point.finite:
            raise NotFinite(f"the loss or the gradient is not finite at x0: f = {point.loss!r}; start elsewhere")
        self.good = good = point
        goal = tol * point.gradient_norm
        seen = Sensed(point, 0, product)
        standing, accepted, last_loss = moving, 0, point.loss
        for made in range(steps + 1):
            decision, self.state = rule.update(self.state, seen)
            self.record(seen, decision)
            if decision.accept:
                if not point.finite:
                    return "stopped at a value that is not finite; x is the last good iterate"
                self.good = good = point
                standing, accepted, last_loss = moving, accepted + 1, point.loss
                if point.gradient_norm <= goal:
                    return "converged"
                if callback is not None and callback(point.x, point.loss):
                    return "stopped by the callback"
            if progress is not None:
                progress(made, steps, last_loss)
            if made == steps:
                break
            base = self.method.start(standing[0]) if decision.restart else standing
            moving = self.method.update(base, self.flow(good, decision.step))
            point = self.evaluate(moving[0])
            seen = Arrived(point, good, accepted, decision.step, product)
            if seen.displacement == 0:
                return "stopped: the step no longer moves the iterate"
        return "all steps used"

    def flow(self, good: Point, step: float) -> Callable[[Array], Array]:
        """x to -step * grad f(x), with the gradient at the iterate at hand."""

        def push(x: Array) -> Array:
            if x is good.x:
                return -step * good.gradient
            self.extra += 1
            return -step * self.problem.gradient(x)

        return push

    def evaluate(self, x: Array) -> Point:
        """The point at x; not-a-number where the problem refuses to go on."""
        try:
            loss, gradient = self.problem.value_and_gradient(x)
        except NotFinite:
            return Point(x, math.nan, np.full(x.shape, math.nan))
        return Point(x, float(loss), gradient)

    def record(self, seen: Sensed, decision: Decision) -> None:
        """One row of the trace."""
        square = seen.displacement**2
        kappa = seen.alignment / square if square > 0 else math.nan
        if self.curvature and seen.iteration > 0:
            kappa = Sensed(self.good, 0, self.problem.hessian_product).curvature
        self.rows.append(
            (
                seen.loss,
                seen.gradient_norm,
                seen.step,
                kappa,
                seen.departure + 0.5 * kappa * square,
                decision.accept,
                decision.reason,
            )
        )

    def outcome(self, stopped: str, tol: float) -> Descent:
        """The record as a result."""
        trace = Trace.of(self.rows)
        return Descent(
            x=self.good.x,
            loss=self.good.loss,
            gradient_norm=self.good.gradient_norm,
            converged=stopped == "converged",
            stopped=stopped,
            trace=trace,
            verdict=judge(trace, stopped, tol),
            evaluations=len(trace) + self.extra,
            state=self.state,
        )
