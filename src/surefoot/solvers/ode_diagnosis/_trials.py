"""Runs with each kind of method, counted: what they really cost."""

import math
import time
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from surefoot.errors import SurefootError
from surefoot.operators import Array
from surefoot.problems.trial_points import attempt
from surefoot.solvers._integrate import Fun, integrate
from surefoot.solvers.ode_diagnosis._types import MethodRun

# A run ends this near to the reference, relative to the largest component, or it does not count as right.
NEAR = 0.05
# What an implicit step costs beside evaluations of fun, in evaluations of 10 microseconds (a few NumPy operations on
# vectors). Measured on one core, n = 10 to 1000: dense LU n^3/1.5e5 + 1, a solve with it n^2/5e4 + 1; sparse LU of
# bandwidth w 2 + n/50 + n w^2/2700, a solve 1.
DENSE_LU, DENSE_SOLVE = 1.5e5, 5e4
SPARSE_LU, SPARSE_FILL = 50, 2700


def implicit_kinds(size: int) -> tuple[str, str]:
    """Radau first where solves are cheap; its complex systems of three stages are not, on large ones."""
    return ("Radau", "BDF") if size <= 50 else ("BDF", "Radau")


class Equation:
    """An initial value problem, as the runs of a diagnosis need it."""

    def __init__(self, fun: Fun, span: tuple[float, float], y: Array, jac: Any, sparsity: Any) -> None:
        self.fun, self.span, self.y = fun, span, y
        self.jac, self.sparsity = jac, sparsity

    def solve(self, method: str, rtol: float, atol: float, *, dense_output: bool = False) -> tuple[Any, int]:
        """SciPy's run of a method, with the Jacobian where it is known, and the calls of fun."""
        from scipy.integrate import solve_ivp

        known: dict[str, Any] = {}
        if method in ("Radau", "BDF", "LSODA") and self.jac is not None:
            known = {"jac": self.jac}
        elif method in ("Radau", "BDF") and self.sparsity is not None:
            known = {"jac_sparsity": self.sparsity}
        solver: Any = solve_ivp
        fun = _Counted(self.fun, math.inf)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a factorisation that met nan: the run says that it failed
            try:
                solution = solver(
                    fun, self.span, self.y, method=method, rtol=rtol, atol=atol, dense_output=dense_output, **known
                )
            except ValueError as error:  # a factorisation that met NaN
                solution = SimpleNamespace(
                    success=False, message=str(error), t=[self.span[0]], y=self.y[:, None], nfev=fun.calls, nlu=0
                )
        return solution, fun.calls

    def trial(self, method: str, rtol: float, atol: float, truth: Array, budget: float) -> MethodRun:
        """One counted run; an explicit one gives up when the budget of evaluations is used."""
        kind = "implicit" if method in ("Radau", "BDF") else "stabilised" if method == "RKC" else "explicit"
        began = time.perf_counter()
        if kind == "implicit":
            solution, calls = self.solve(method, rtol, atol)
            final, finished, message = np.asarray(solution.y)[:, -1], bool(solution.success), str(solution.message)
            work = calls + self._algebra(solution)
        else:
            counted = _Counted(self.fun, budget)
            try:
                run = integrate(counted, self.span, self.y, method=method, rtol=rtol, atol=atol)
                final, finished, message = run.final, run.finished, run.message
            except (_Exhausted, SurefootError) as stop:
                final, finished, message = np.full_like(self.y, math.nan), False, str(stop)
            calls = counted.calls
            work = float(calls)
        error = float(np.abs(final - truth).max() / max(np.abs(truth).max(), atol)) if finished else math.inf
        return MethodRun(method, kind, calls, work, time.perf_counter() - began, finished, error, message)

    def _algebra(self, solution: Any) -> float:
        """Factorisations and solves of a run, in evaluations of fun."""
        n = self.y.size
        lu, solve = n**3 / DENSE_LU + 1, n**2 / DENSE_SOLVE + 1
        if self.sparsity is not None:
            from scipy.sparse import coo_array

            pattern = coo_array(self.sparsity)
            width = int(np.abs(pattern.row - pattern.col).max(initial=0))
            lu, solve = min(lu, 2 + n / SPARSE_LU + n * width**2 / SPARSE_FILL), 1.0
        return solution.nlu * lu + solution.nfev * solve


class _Exhausted(BaseException):
    """The budget of a trial ran out: no fault of fun, so no handler of those may catch it."""


class _Counted:
    """Fun with a counter and a budget."""

    def __init__(self, fun: Fun, budget: float) -> None:
        self.fun, self.budget, self.calls = fun, budget, 0

    def __call__(self, t: float, y: Array) -> ArrayLike:
        self.calls += 1
        if self.calls > self.budget:
            raise _Exhausted(f"gave up at t = {t:.4g} after {self.budget:.0f} evaluations")
        slope = attempt(self.fun, t, y)
        return np.full_like(y, math.nan) if slope is None else slope
