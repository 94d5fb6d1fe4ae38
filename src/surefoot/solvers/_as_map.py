"""One move of a rule on a problem as a map of the iterate, whose long-run behaviour can be studied."""

import math
from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from surefoot.checks import checked
from surefoot.dynamics.maps import Update
from surefoot.errors import InvalidInput, InvalidType
from surefoot.methods import GradientDescent, Method
from surefoot.operators import Array
from surefoot.problems import Problem
from surefoot.problems.trial_points import attempt
from surefoot.rules import Constant, Observation, Rule
from surefoot.solvers._observation import Arrived, Point, Sensed

# What can be observed at a point without the point before.
POINTWISE = frozenset({"curvature", "direction_norm", "gradient_norm", "loss", "slope"})
# A rule is tried at these iterations: if its step depends on them, the move is not a map of the iterate.
ITERATIONS = (1, 7, 1000, 10**9)
# The parameter of that trial, by convention.
TRIAL_STEP = 1e-3


@checked
def as_map(problem: Problem, rule: Callable[[float], Rule] | None = None, *, method: Method | None = None) -> Update:
    """One move of a method under a rule as a function (x, parameter), for `surefoot.dynamics`.

        x+ = method(x, rule(parameter).step(x) * (-grad f))

    Parameters
    ----------
    problem : Problem
    rule : callable, optional
        Function from the parameter to a rule whose step depends on the point alone: ``lambda step:
        Clipped(rule=Constant(step=step), cap=0.1)``. Default: the parameter is a constant step.
    method : Method, optional
        Default gradient descent. A method with memory m makes the state m iterates long: x and its velocity, stacked,
        such as ``numpy.concatenate(method.start(x))``.

    Returns
    -------
    callable
        (x, parameter), arrays of shape (m * size, p) and (p,), to the next states, (m * size, p); nan where the problem
        is not finite. Columns are computed one after the other.

    Raises
    ------
    InvalidType
        If the problem is not one, or the rule is not a function that returns rules.
    InvalidInput
        If the rule's step depends on more than the point: on the iteration, on the point before.

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.solvers import as_map
    >>> from surefoot.dynamics import orbit
    >>> from surefoot.problems import Quadratic
    >>> update = as_map(Quadratic(np.diag([1.0, 4.0])))
    >>> orbit(update, [0.25, 0.6], [1.0, 1.0], steps=2, keep=1)[0].round(4)
    array([[0.5625, 0.16  ],
           [0.    , 1.96  ]])
    """
    method = GradientDescent() if method is None else method
    build = rule or (lambda step: Constant(step=step))
    _check(problem, build)

    def move(state: Array, parameter: float) -> Array:
        parts = tuple(state.reshape(method.memory, -1))

        def step_from_here() -> Array:
            step = _step(problem, build(parameter), parts[0])
            return np.concatenate(method.update(parts, lambda x: -step * problem.gradient(x)))

        after = attempt(step_from_here)
        return np.full(state.shape, math.nan) if after is None else after

    def update(x: NDArray[np.float64], parameter: NDArray[np.float64]) -> NDArray[np.float64]:
        if np.iscomplexobj(x) or np.iscomplexobj(parameter):
            raise InvalidType("a problem is a function of real numbers")
        size = problem.size * method.memory
        if x.ndim != 2 or x.shape[0] != size:
            raise InvalidInput(f"x must have shape ({size}, p), one state per parameter; got {x.shape}")
        return np.stack([move(column, float(p)) for column, p in zip(x.T, parameter, strict=True)], axis=1)

    return update


def _observe(seen: Sensed) -> Observation:
    """The sensors of a problem as an observation; rules that need more have been refused."""
    return cast(Observation, seen)


def _step(problem: Problem, rule: Rule, x: Array) -> float:
    seen = Sensed(Point(x, *problem.value_and_gradient(x)), 0, problem.hessian_product)
    return rule.update(rule.init(), _observe(seen))[0].step


def _check(problem: Problem, build: Callable[[float], Rule]) -> None:
    """Refuse a rule with a memory, by what it needs and by trying it."""
    rule = build(TRIAL_STEP)
    if not isinstance(rule, Rule):
        raise InvalidType(f"rule must be a function from the parameter to a rule; it returned a {type(rule).__name__}")
    name = type(rule).__name__
    if rule.needs - POINTWISE:
        raise InvalidInput(
            f"{name} reads {sorted(rule.needs - POINTWISE)}, which depend on the point before: its move is no function "
            "of the point alone"
        )
    there = Point(problem.start(), *problem.value_and_gradient(problem.start()))
    x = there.x - TRIAL_STEP * there.gradient
    here = Point(x, *problem.value_and_gradient(x))
    state = rule.update(rule.init(), _observe(Sensed(there, 0, problem.hessian_product)))[1]
    fresh = _step(problem, rule, here.x)
    for iteration in ITERATIONS:
        arrived = Arrived(here, there, iteration, TRIAL_STEP, problem.hessian_product)
        decision, state = rule.update(state, _observe(arrived))
        if not decision.accept or decision.step != fresh:
            raise InvalidInput(
                f"{name} does not answer alike each time it is at one point (step {decision.step:g} after "
                f"{iteration} iterations, {fresh:g} at first): its move is no function of the point alone"
            )
