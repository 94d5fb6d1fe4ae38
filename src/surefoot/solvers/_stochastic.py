"""Stochastic descent: a schedule's step along a sampled direction, with the whole problem evaluated once per pass."""

import math
from types import SimpleNamespace
from typing import Annotated, Any, cast

import numpy as np

from surefoot.checks import Nonnegative, Range, checked, random_generator
from surefoot.errors import InvalidInput, NotFinite
from surefoot.problems import Problem
from surefoot.problems.trial_points import look
from surefoot.rules import Observation, Rule
from surefoot.solvers._observation import Arrived, Point, Sensed, norm
from surefoot.solvers._samplers import SAGA, Repeatable, Sampler
from surefoot.solvers._trace import Row, Trace
from surefoot.solvers._verdict import judge
from surefoot.solvers.descend import Callback, Descent

# What a rule may read: the secant of the drawn part.
SECANT = frozenset({"alignment", "displacement"})


@checked
@np.errstate(over="ignore", invalid="ignore")
def descend_by_parts(
    problem: Problem,
    x0: Any = None,
    *,
    rule: Rule,
    sampler: Sampler | None = None,
    passes: Annotated[int, Range("[0, inf)")] = 50,
    tol: Nonnegative = 1e-6,
    callback: Callback | None = None,
    rng: int | np.random.Generator = 0,
) -> Descent:
    """Minimise a sum of terms by random batches, or a function by single coordinates.

        x <- x + eta_k d_k,    d_k drawn by the sampler

    Parameters
    ----------
    problem : Problem
        Problem with `terms`, `term_gradients` and `term_curvatures` for SGD and SAGA (see `FiniteSum`), with `partial`
        and `coordinate_curvatures` for Coordinate (see `Partial`).
    x0 : array, shape (size,), optional
        The start; by default the problem's own.
    rule : Rule
        A schedule, or a rule that reads only the secant, such as `Confident`; k counts draws. The secant is that of the
        drawn part of the problem at both ends of the move, for one more gradient of that part. A rule that reads more
        is refused, since the loss of a part is not the loss.
    sampler : Sampler
        SAGA (the default), SGD or Coordinate.
    passes : int
        Largest number of passes through the problem.
    tol : float
        Stop when |g(x)| <= tol |g(x0)| at the end of a pass.
    callback : callable, optional
        Called with (x, loss) after each pass; a true return value stops the run.
    rng : int or numpy Generator

    Returns
    -------
    Descent
        The trace has one row for each pass; `evaluations` counts passes, including SAGA's first table and the
        evaluations of the whole problem. `average` is the mean of the iterates after the passes.

    Raises
    ------
    InvalidInput
        If the rule reads what is not available, or passes or tol are out of range.
    NotFinite
        If the loss or the gradient is not finite at the start.
    """
    missing = rule.needs - SECANT
    if missing:
        raise InvalidInput(
            f"{type(rule).__name__} reads {sorted(missing)}, which a part of a problem does not show; use a schedule"
        )
    if rule.needs and not isinstance(sampler, Repeatable):
        raise InvalidInput(
            f"{type(rule).__name__} reads the secant, which {type(sampler or SAGA()).__name__} does not show; use SGD"
        )
    drawn = cast(Sampler, SAGA() if sampler is None else sampler)
    x = np.array(problem.start() if x0 is None else problem.checked(x0), dtype=np.float64)
    generator = random_generator(rng)
    # an objective that raises at the start is a mistake, which the user should see
    good = best = Point(x, *problem.value_and_gradient(x))
    if not good.finite:
        raise NotFinite(f"the loss or the gradient is not finite at x0: f = {good.loss!r}; start elsewhere")
    rows: list[Row] = [(good.loss, good.gradient_norm, math.nan, math.nan, math.nan, True, "")]
    goal, average, stopped = tol * good.gradient_norm, np.zeros_like(x), "all passes used"
    memory, state = drawn.begin(problem, x), rule.init()
    # the observation of the last move by the drawn part
    seen = SimpleNamespace(iteration=0, step=math.nan, displacement=math.nan, alignment=math.nan)
    for made in range(1, passes + 1):
        for _ in range(drawn.draws(problem)):
            decision, state = rule.update(state, cast(Observation, seen))
            direction = drawn.direction(memory, problem, x, generator)
            x = x + decision.step * direction
            seen.iteration += 1
            seen.step = decision.step
            if rule.needs and isinstance(drawn, Repeatable):
                seen.displacement = decision.step * norm(direction)
                change = direction - drawn.again(memory, problem, x)
                seen.alignment = decision.step * float(direction @ change)
        point = Point(x, *look(problem, x))
        rows.append(_row(problem, point, good, made, seen.step))
        if not point.finite:
            stopped = "stopped at a value that is not finite; x is the last good iterate"
            break
        good = point
        best = point if point.loss < best.loss else best
        average += (x - average) / made
        enough = callback is not None and callback(x, point.loss)
        if point.gradient_norm <= goal or enough:
            stopped = "converged" if point.gradient_norm <= goal else "stopped by the callback"
            break
    trace = Trace.of(rows)
    return Descent(
        x=good.x,
        loss=good.loss,
        gradient_norm=good.gradient_norm,
        best_x=best.x,
        average=average if len(trace) > 1 else good.x,
        converged=stopped == "converged",
        stopped=stopped,
        trace=trace,
        verdict=judge(trace, stopped, tol),
        evaluations=2 * len(trace) - 1 + isinstance(drawn, SAGA) + bool(rule.needs) * (len(trace) - 1),
        state=state,
    )


def _row(problem: Problem, point: Point, before: Point, made: int, step: float) -> Row:
    seen: Sensed = Arrived(point, before, made, step, problem.hessian_product)
    square = seen.displacement * seen.displacement
    kappa = seen.alignment / square if square > 0 else math.nan
    return point.loss, point.gradient_norm, step, kappa, seen.departure + 0.5 * kappa * square, True, ""
