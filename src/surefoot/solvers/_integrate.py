"""Integrate y' = fun(t, y): fixed steps with a stability monitor, or adaptive steps chosen by a rule."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.checks import Nonnegative, Positive, Range, checked
from surefoot.errors import InvalidInput
from surefoot.methods import RK4, DormandPrince, Method, RungeKutta
from surefoot.operators import Array
from surefoot.problems import Problem
from surefoot.problems.trial_points import attempt
from surefoot.rules import PI, Rule
from surefoot.solvers._rkc import ChebyshevSteps
from surefoot.solvers._start import RelativeTolerance, Start, first_step
from surefoot.solvers._trajectory import StabilityCheck, Trajectory
from surefoot.spectra import jacobian
from surefoot.spectra.measured.jacobian import Fun
from surefoot.stability import limits

# The methods of `scipy.integrate.solve_ivp`.
SCIPY = ("RK23", "RK45", "DOP853", "Radau", "BDF", "LSODA")
# Points that are kept of a long run (more than a picture shows), and checks of the Jacobian on the way. By convention.
MOST_KEPT = 2000
CHECKS = 8
# Largest system that is monitored: for larger ones the checks would cost more than the run.
LARGEST_CHECKED = 200
# Most steps, by convention: about a minute for a small system.
MOST_STEPS = 1_000_000


@checked
def gradient_flow(problem: Problem) -> Fun:
    """The flow x' = -grad f(x) as a function of (t, x); its forward Euler method is gradient descent, bit for bit.

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    callable
        ``fun(t, x)`` for `integrate`, `diagnose`, `jacobian` or SciPy's ``solve_ivp``.

    Raises
    ------
    InvalidType
        If it is no `surefoot.problems.Problem`.
    """

    def fun(t: float, x: Array) -> Array:  # noqa: ARG001 - the form that SciPy asks for
        return -problem.gradient(x)

    return fun


@checked
def integrate(
    fun: Fun,
    span: Sequence[float],
    y0: ArrayLike,
    *,
    method: Method | str | None = None,
    step: Positive | None = None,
    rule: Rule | None = None,
    rtol: RelativeTolerance = 1e-6,
    atol: Nonnegative = 1e-9,
    max_steps: Annotated[int, Range(f"[1, {MOST_STEPS}]")] = 100_000,
    monitor: bool = True,
) -> Trajectory:
    """Integrate y' = fun(t, y) from span[0] to span[1].

    With `step` alone: equal steps with any `Method`, and a monitor that compares them with the largest stable step of
    the Jacobian on the way (up to 200 unknowns). Otherwise adaptive steps: a Runge-Kutta method with an embedded
    formula estimates the local error, and a rule chooses the step. With the name of a SciPy method
    ``scipy.integrate.solve_ivp`` runs that method with max_step = `step`: use it for stiff equations, for which
    `diagnose` recommends a method.

    Parameters
    ----------
    fun : callable
        ``fun(t, y)`` returning an array of y's shape.
    span : (t0, t1)
        t0 < t1.
    y0 : array, shape (n,)
    method : Method or str, optional
        Default RK4 for fixed steps, DormandPrince for adaptive ones. ``"RKC"`` is Runge-Kutta-Chebyshev with adaptive
        steps and stages, `step` the first. Or SciPy's RK23, RK45, DOP853, Radau, BDF, LSODA.
    step : float, optional
        Step size, unit of t. Fixed steps are shortened a little to fit the span.
    rule : Rule, optional
        Rule of adaptive steps, also for RKC; default `surefoot.rules.PI`. May read `error`, the local error divided by
        the tolerance.
    rtol, atol : float
        Tolerance atol + rtol |y| of the local error, componentwise, root mean square.
    max_steps : int
    monitor : bool
        Whether fixed steps are checked against the Jacobian.

    Returns
    -------
    Trajectory
        The outcome, also of a run that failed: see `finished` and `message`.

    Raises
    ------
    InvalidInput
        If a parameter is out of range, or an adaptive method has no embedded formula.
    InvalidType
        If the method or the rule is not one.
    NotFinite
        If fun is not finite at the start.
    NotRepeatable
        If fun gives two different answers at the start.

    Examples
    --------
    >>> import surefoot as sf
    >>> run = sf.integrate(lambda t, y: -50 * y, (0, 1), [1.0], method=sf.methods.ForwardEuler(), step=0.05)
    >>> print(run.message)
    the step 0.05 is above the stable 0.04 at t = 0
    """
    start = Start.checked(fun, span, y0)
    if method == "RKC":
        return _adaptive(start, ChebyshevSteps(start), step, rule, rtol, atol, max_steps)
    if isinstance(method, str):
        return _by_scipy(start, method, step, rtol, atol)
    if step is not None and rule is None:
        return _run_fixed(start, RK4() if method is None else method, step, max_steps, monitor)
    stepper = _Embedded(start, DormandPrince() if method is None else method)
    return _adaptive(start, stepper, step, rule, rtol, atol, max_steps)


def _run_fixed(start: Start, method: Method, step: float, max_steps: int, monitor: bool) -> Trajectory:
    needed = (start.t1 - start.t0) / step * (1 - 1e-12)
    if needed > max_steps:
        raise InvalidInput(f"{needed:.4g} steps of {step:g} are more than max_steps={max_steps}; take longer ones")
    count = max(1, math.ceil(needed))
    h = (start.t1 - start.t0) / count
    # a step that fits the span is used exactly as given
    h = step if abs(h - step) <= 1e-12 * step else h
    flow = start.flow(h)
    every, looks = max(1, count // MOST_KEPT), max(1, count // CHECKS)
    watched = monitor and start.y0.size <= LARGEST_CHECKED
    times, values, checks = [start.t0], [start.y0], list[StabilityCheck]()
    message = "finished"
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        state = method.begin(np.append(start.y0, start.t0), flow)
        k = 0
        for k in range(1, count + 1):
            if watched and (k - 1) % looks == 0:
                checks += _check(start, method, start.t0 + (k - 1) * h, state[0][:-1], h)
            following = method.update(state, flow)
            if not np.isfinite(following[0]).all():
                k -= 1
                message = f"left the finite numbers at t = {start.t0 + k * h:.6g}"
                break
            state = following
            if k % every == 0 or k == count:
                times.append(start.t0 + k * h)
                values.append(state[0][:-1])
    failed = next((c for c in checks if not c.passed), None)
    if failed is not None:
        warning = f"the step {h:.6g} is above the stable {failed.stable:.6g} at t = {failed.t:.6g}"
        message = warning if message == "finished" else f"{message}: {warning}"
    return Trajectory(
        np.asarray(times), np.stack(values), method.name, k, 0, start.evaluations, k == count, message,
        checks=tuple(checks), sizes=np.full(k, h),
    )  # fmt: skip


def _check(start: Start, method: Method, t: float, y: Array, step: float) -> list[StabilityCheck]:
    stable = attempt(lambda: limits(jacobian(start.call, t, y, scheme="dense"), method).curvature_limit)
    return [] if stable is None else [StabilityCheck(t, step, stable)]


@dataclass(frozen=True, slots=True)
class _Seen:
    """The observation of an integrator's rule."""

    iteration: int
    step: float
    error: float


class _Embedded:
    """Steps of a Runge-Kutta method, with the difference to its embedded formula."""

    def __init__(self, start: Start, method: Method) -> None:
        if not isinstance(method, RungeKutta) or method.tableau.embedded is None or method.implicit:
            raise InvalidInput(
                f"{method.name} has no embedded formula to measure its error with; give a fixed step, or use "
                "DormandPrince, BogackiShampine or Heun"
            )
        self.start, self.method, self.name = start, method, method.name
        self.order = min(method.order, method.tableau.embedded_order)
        self.safety, self.longest = 0.9, math.inf

    def step(self, z: Array, h: float) -> tuple[Array, Array]:
        """The next state and the error of this step."""
        trial, error = self.method.with_error(z, self.start.flow(h))
        assert error is not None
        return trial, error

    def go_on(self, *, accepted: bool) -> None:
        """Nothing is kept from one step to the next."""


def _adaptive(
    start: Start,
    stepper: _Embedded | ChebyshevSteps,
    first: float | None,
    rule: Rule | None,
    rtol: float,
    atol: float,
    max_steps: int,
) -> Trajectory:
    if first is None:
        first = first_step(start, stepper.order, rtol, atol)
    if rule is None:
        rule = PI(first=min(first, start.t1 - start.t0), order=stepper.order, safety=stepper.safety)
    missing = rule.needs - {"error"}
    if missing:
        raise InvalidInput(f"{type(rule).__name__} needs {sorted(missing)}, which integrate cannot observe")
    decision, state = rule.update(rule.init(), _Seen(0, math.nan, math.nan))  # pyright: ignore[reportArgumentType]
    z = np.append(start.y0, start.t0)
    times, values, rejected = [start.t0], [start.y0], 0
    message = "finished"
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        while z[-1] < start.t1:
            if len(times) - 1 + rejected >= max_steps:
                message = f"stopped at t = {z[-1]:.6g}: all {max_steps} steps used"
                break
            left = start.t1 - float(z[-1])
            h = min(decision.step, stepper.longest, left)
            if h <= 16 * np.finfo(np.float64).eps * max(abs(float(z[-1])), start.t1 - start.t0):
                message = f"stopped at t = {z[-1]:.6g}: the step no longer moves the time (a singularity?)"
                break
            trial, error = stepper.step(z, h)
            scale = atol + rtol * np.maximum(np.abs(z[:-1]), np.abs(trial[:-1]))
            size = float(np.sqrt(np.mean((error[:-1] / scale) ** 2)))
            decision, state = rule.update(state, _Seen(len(times), h, size))  # pyright: ignore[reportArgumentType]
            stepper.go_on(accepted=decision.accept)
            if not decision.accept:
                rejected += 1
                continue
            z = trial
            z[-1] = start.t1 if h == left else z[-1]
            times.append(float(z[-1]))
            values.append(z[:-1])
    return _all_steps(stepper.name, np.asarray(times), np.stack(values), rejected, start.evaluations, message)


def _by_scipy(start: Start, method: str, step: float | None, rtol: float, atol: float) -> Trajectory:
    if method not in SCIPY:
        raise InvalidInput(f"method must be one of {', '.join(SCIPY)}, or a Method; got {method!r}")
    from scipy.integrate import solve_ivp

    def fun(t: float, y: Array) -> Array:
        slope = attempt(start.call, t, y)
        return np.full_like(y, math.nan) if slope is None else slope

    longest = np.inf if step is None else step
    solution: Any = solve_ivp(
        fun, (start.t0, start.t1), start.y0, method=method, rtol=rtol, atol=atol, max_step=longest
    )
    cap = "" if step is None else f", max_step={step:g}"
    outcome = "finished" if solution.success else f"stopped at t = {solution.t[-1]:.6g}: {solution.message}"
    message = f"{outcome} (by scipy.integrate.solve_ivp, method={method!r}{cap})"
    return _all_steps(
        f"SciPy {method}", np.asarray(solution.t), np.asarray(solution.y).T, 0, int(solution.nfev), message
    )


def _all_steps(
    method: str, t: NDArray[np.float64], y: NDArray[np.float64], rejected: int, evaluations: int, message: str
) -> Trajectory:
    """The trajectory of a run, thinned to the points that are kept."""
    kept = np.unique(np.linspace(0, len(t) - 1, min(len(t), MOST_KEPT)).astype(int))
    finished = message.startswith("finished")
    return Trajectory(t[kept], y[kept], method, len(t) - 1, rejected, evaluations, finished, message, sizes=np.diff(t))
