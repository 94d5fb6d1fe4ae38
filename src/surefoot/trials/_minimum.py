"""The least value of a problem, for judging others: by all means at hand, off the clock, with a bound on its error."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.checks import checked
from surefoot.errors import NotSmooth
from surefoot.operators import Array
from surefoot.problems import Problem
from surefoot.problems.trial_points import attempt, look
from surefoot.records import Record
from surefoot.trials._curvature import global_curvature

# Up to this many unknowns a Hessian is formed by products and solved; beyond, only gradients are used. By convention: a
# second or so of products.
DENSE_QUADRATIC, DENSE_NEWTON = 1500, 300
# Starts of L-BFGS-B from where it last stopped, which forgets a memory that has gone bad, and steps of Newton's method,
# of which a few suffice near a minimum. By convention.
RESTARTS, NEWTON_STEPS = 6, 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimum(Record):
    """The lowest value known.

    Parameters
    ----------
    value : float
        f at the best point found.
    error : float
        f* is at least value - error: proved from strong convexity; inf where there is none.
    how : str
        Where it comes from.
    given : bool
        Whether it is a goal that was set rather than a minimum.
    """

    value: float
    error: float
    how: str
    given: bool = False

    def below(self, seen: float) -> "Minimum":
        """The same with a value seen elsewhere that is lower still; a goal stays where it was set."""
        if self.given or not seen < self.value:
            return self
        return Minimum(value=seen, error=self.error, how="lowest value of any run")


@checked
def minimum(problem: Problem, x0: Array) -> Minimum:
    """The least value: solved for a quadratic, else L-BFGS-B to its end and Newton's method.

        f(x) - f* <= |grad f(x)|^2/(2 mu)

    (Polyak 1963) bounds the error where mu > 0 bounds the curvature everywhere from below.

    Parameters
    ----------
    problem : Problem
        Bounded below, or the value means nothing.
    x0 : array, shape (size,)

    Returns
    -------
    Minimum

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.problems import Quadratic
    >>> from surefoot.trials import minimum
    >>> minimum(Quadratic([[2.0]], [2.0]), np.zeros(1)).value  # x^2 - 2x at 1
    -1.0
    """
    with np.errstate(all="ignore"):
        if problem.constant_curvature:
            x, how = _solve_quadratic(problem, x0)
        else:
            x, how = _minimise(problem, x0)
        loss, gradient = problem.value_and_gradient(x)
    everywhere = global_curvature(problem)
    mu = 0.0 if everywhere is None else everywhere.smallest.lower
    error = float(gradient @ gradient) / (2 * mu) if mu > 0 else math.inf
    return Minimum(value=float(loss), error=error, how=how)


def _solve_quadratic(problem: Problem, x0: Array) -> tuple[Array, str]:
    """The stationary point of a quadratic."""
    origin = np.zeros(problem.size)
    if not problem.gradient(origin).any():
        return origin, "the gradient vanishes at 0"
    if problem.size > DENSE_QUADRATIC:
        from scipy.sparse.linalg import LinearOperator, cg

        shape = (problem.size, problem.size)
        H = LinearOperator(shape, matvec=lambda v: problem.hessian_product(origin, v), dtype=np.float64)
        step, _ = cg(H, -problem.gradient(x0), rtol=1e-14, maxiter=10 * problem.size)
        return x0 + step, "conjugate gradients to 1e-14"
    hessian, x = _hessian(problem, origin), origin
    for _ in range(2):  # the second pass fixes the rounding of the first
        x = _better(problem, x, x + _newton_step(hessian, problem.gradient(x)))
    return x, "solved"


def _minimise(problem: Problem, x0: Array) -> tuple[Array, str]:
    from scipy.optimize import minimize

    x = x0
    options: Any = {"maxiter": 5000, "maxfun": 10000, "ftol": 1e-16, "gtol": 1e-14, "maxcor": 30}
    for _ in range(RESTARTS):
        # it stops where its line search fails, which a fresh memory may get over
        answer = minimize(lambda z: look(problem, z), x, jac=True, method="L-BFGS-B", options=options)
        moved, x = bool(answer.fun < look(problem, x)[0]), _better(problem, x, np.asarray(answer.x, dtype=np.float64))
        if not moved:
            break
    if problem.size > DENSE_NEWTON:
        return x, "L-BFGS-B to its end"
    for _ in range(NEWTON_STEPS):
        try:
            step = attempt(lambda x=x: _newton_step(_hessian(problem, x), problem.gradient(x)))
        except NotSmooth:
            step = None
        if step is None:
            return x, "L-BFGS-B to its end"
        # a full Newton step may go uphill far from the minimum: shorter ones, by factors of 4
        length, better = 1.0, x
        while better is x and length > 1e-3:
            better, length = _better(problem, x, x + length * step), length / 4
        if better is x:
            break
        x = better
    return x, "L-BFGS-B, then Newton's method, to their end"


def _better(problem: Problem, x: Array, trial: Array) -> Array:
    """The lower of two points; by the gradient where the values do not tell."""
    if not np.all(np.isfinite(trial)):
        return x
    (old, g_old), (new, g_new) = look(problem, x), look(problem, trial)
    if abs(new - old) <= 4 * np.finfo(np.float64).eps * max(abs(new), abs(old)):
        return trial if np.linalg.norm(g_new) < np.linalg.norm(g_old) else x
    return trial if new < old else x


def _hessian(problem: Problem, x: Array) -> Array:
    return np.array([problem.hessian_product(x, e) for e in np.eye(problem.size)])


def _newton_step(H: Array, gradient: Array) -> Array:
    """-H^-1 g, of least norm where H is singular."""
    try:
        return -np.linalg.solve(H, gradient)
    except np.linalg.LinAlgError:
        return -np.linalg.lstsq(H, gradient, rcond=None)[0]
