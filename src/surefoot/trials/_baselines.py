"""What SciPy has for the same problem: conjugate gradients and L-BFGS-B, counted like any rule."""

from collections.abc import Callable
from typing import Any

import numpy as np

from surefoot.operators import Array
from surefoot.problems import Problem
from surefoot.problems.trial_points import look
from surefoot.trials._counted import Counted, Enough

Baseline = Callable[[Counted, Array], str]


def baselines_of(problem: Problem) -> tuple[str, ...]:
    """The names of those that can run on it: conjugate gradients on convex quadratics, L-BFGS-B on anything."""
    return ("CG", "L-BFGS-B") if problem.constant_curvature and problem.convex else ("L-BFGS-B",)


def conjugate_gradients(problem: Counted, x0: Array) -> str:
    """``scipy.sparse.linalg.cg`` on H d = -grad f(x0), for a quadratic.

    One product with H counts as one gradient: that is what a gradient of a quadratic costs. It never evaluates the
    loss; here that is done for the record, off the clock.

    Returns
    -------
    str
        Why it ended.
    """
    from scipy.sparse.linalg import LinearOperator, cg

    problem.begin()
    loss, gradient = problem.value_and_gradient(x0)
    n = len(x0)
    operator = LinearOperator((n, n), matvec=lambda v: problem.hessian_product(x0, v), dtype=np.float64)

    def count_iterate(d: Array) -> None:
        with problem.pause():
            loss = problem.value(x0 + d)
        problem.note(loss)
        problem.check()

    if not gradient.any():
        return f"converged: the loss {loss:.6g} is at its minimum"
    try:
        # atol=0, rtol=0: it ends by the goal, the budget or breakdown
        cg(operator, -gradient, rtol=0.0, atol=0.0, maxiter=10**9, callback=count_iterate)
    except Enough:
        return ""
    return "converged"


def lbfgs(problem: Counted, x0: Array) -> str:
    """``scipy.optimize.minimize`` with L-BFGS-B at its defaults, but for tolerances, which are the race's.

    Returns
    -------
    str
        Why it ended.
    """
    from scipy.optimize import minimize

    # what a first call loads is not the method's time
    minimize(lambda x: (float(x @ x), 2 * x), np.ones(1), jac=True, method="L-BFGS-B")
    problem.begin()

    def both(x: Array) -> tuple[float, Array]:
        both_there = look(problem, x)
        problem.check()
        return both_there

    options: Any = {"maxiter": 10**9, "maxfun": 10**9, "ftol": 0.0, "gtol": 0.0}
    try:
        result = minimize(both, x0, jac=True, method="L-BFGS-B", options=options)
    except Enough:
        return ""
    return f"stopped: {str(result.message).lower()}"


# The names under which they stand in a race.
BASELINES: dict[str, Baseline] = {"CG": conjugate_gradients, "L-BFGS-B": lbfgs}
