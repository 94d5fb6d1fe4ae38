"""Why is my ODE solver slow? Stiffness along the solution, what each method would cost, and runs that decide."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from surefoot.checks import Nonnegative, Range, checked
from surefoot.errors import InvalidInput
from surefoot.methods import DormandPrince
from surefoot.solvers._integrate import Fun
from surefoot.solvers._start import RelativeTolerance
from surefoot.solvers.ode_diagnosis._costs import explicit_costs, nearly_real, stabilised_cost
from surefoot.solvers.ode_diagnosis._rates import sample
from surefoot.solvers.ode_diagnosis._trials import NEAR, Equation, implicit_kinds
from surefoot.solvers.ode_diagnosis._types import Cost, Diagnosis, MethodRun
from surefoot.spectra import jacobian
from surefoot.spectra.measured.jacobian import check_point, check_sparsity

# A run may take this many times the work of the cheapest implicit one, within bounds: more, and it has lost.
GENEROSITY, LEAST_BUDGET, MOST_BUDGET = 4, 5_000, 60_000
# Explicit steps forced by stability may outnumber those that accuracy asks for by this much before the equation is
# called stiff: an implicit step solves equations, two to four times over.
WORTH = 4.0
# Sums of a few times stay floats.
LATEST = 1e300
# By convention: where stability forces nothing, an explicit run is the simple and more accurate answer up to this many
# times the work; a method without Jacobian and factors, so without their memory, up to that many times.
PATIENCE, NO_FACTORS = 3.0, 1.5


@checked
def diagnose(
    fun: Fun,
    t: float,
    y: ArrayLike,
    *,
    span: Annotated[float, Range("(0, inf)", "it is how far to go from t")],
    jac: Any = None,
    sparsity: Any = None,
    rtol: RelativeTolerance = 1e-4,
    atol: Nonnegative = 1e-7,
) -> Diagnosis:
    """Stiffness along the solution, what each kind of method would cost, and which to use, checked by running it.

    A reference run with an implicit method shows where the solution goes and how many steps its accuracy needs. At a
    dozen points of it the eigenvalues of the Jacobian give each explicit method's largest stable step; the integral of
    dt over it is the number of steps that stability forces. Growing modes are left out: they are the solution's own.
    Then RK45, Radau, BDF and, where the spectrum is nearly real, Runge-Kutta-Chebyshev run with the tolerance asked
    for. The recommendation is the one with the least work, in evaluations, the factorisations and solves of implicit
    steps included: stability explains, the runs decide.

    Parameters
    ----------
    fun : callable
        ``fun(t, y)`` returning an array of y's shape.
    t : float
        Where to start.
    y : array, shape (n,)
        The state there.
    span : float
        How far to go, > 0: the diagnosis is for t to t + span.
    jac, sparsity
        As in `jacobian`.
    rtol, atol : float
        The accuracy that the solution is needed with: an equation is stiff only relative to that.

    Returns
    -------
    Diagnosis

    Raises
    ------
    InvalidInput
        If the span is not positive, a tolerance out of range, fun or jac of another shape, or no solver gets through.
    NotFinite
        If fun or y is not finite at the start.
    NotRepeatable
        If fun gives two different answers at the start.

    Examples
    --------
    >>> import surefoot as sf
    >>> sf.diagnose(lambda t, y: [-1000 * (y[0] - y[1]), -y[1]], 0.0, [1.0, 1.0], span=10.0).recommendation
    'implicit'
    """
    interval = (float(t), float(t) + span)
    if not -LATEST < interval[0] < interval[1] < LATEST:
        raise InvalidInput(f"t and t + span must differ and lie within {LATEST:g}; got t={t!r} and span={span!r}")
    y = check_point(y)
    sparsity = None if sparsity is None else check_sparsity(sparsity, y.size)
    # says what is wrong with fun or jac; without jac no product is taken
    jacobian(fun, interval[0], y, jac=jac, scheme="products" if jac is None else "analytic")
    equation = Equation(fun, interval, y, jac, sparsity)
    reference = _reference(equation, 0.1 * rtol, 0.1 * atol)
    rates = sample(fun, reference, jac, sparsity)
    accuracy_steps = len(reference.t) - 1
    explicit = explicit_costs(rates, accuracy_steps, rtol)
    forced = explicit[DormandPrince].stability_steps
    stiff = forced > WORTH * accuracy_steps

    truth = np.asarray(reference.y)[:, -1]
    trials = [equation.trial(name, rtol, atol, truth, math.inf) for name in implicit_kinds(y.size)]
    cheapest = min((t.work for t in trials if t.finished), default=math.inf)
    budget = min(max(LEAST_BUDGET, GENEROSITY * cheapest), MOST_BUDGET)
    costs = list(explicit.values())
    if nearly_real(rates):
        costs.append(stabilised_cost(rates, accuracy_steps))
        if stiff:
            trials.append(equation.trial("RKC", rtol, atol, truth, budget))
    trials.append(equation.trial("RK45", rtol, atol, truth, budget))
    costs.append(Cost("implicit (Radau, BDF)", "implicit", math.inf, math.inf, 0.0, cheapest))

    best = _best(trials, stiff)
    others = [t for t in trials if t is not best]
    return Diagnosis(
        size=y.size,
        span=interval,
        times=rates.times,
        fastest=rates.fastest,
        slowest=rates.slowest,
        frequency=rates.frequency,
        growth=rates.growth,
        stiffness=rates.stiffness,
        accuracy_steps=accuracy_steps,
        costs=tuple(costs),
        recommendation=best.kind,
        method=best.method,
        reason=_reason(best, others, forced, accuracy_steps, stiff),
        trials=(best, *others),
        verified=best.finished and best.error <= NEAR,
    )


def _reference(equation: Equation, rtol: float, atol: float) -> Any:
    """The solution by the first method that gets through, with dense output."""
    failures: list[str] = []
    for method in (*implicit_kinds(equation.y.size), "DOP853"):
        solution, _ = equation.solve(method, rtol, atol, dense_output=True)
        if solution.success:
            return solution
        failures.append(f"{method}: {solution.message} (at t = {solution.t[-1]:g})")
    raise InvalidInput(f"no solution up to t = {equation.span[1]:g}: {failures[0]}")


def _best(trials: Sequence[MethodRun], stiff: bool) -> MethodRun:
    """The run with the least work among those that ended right; else the implicit one that came furthest."""
    patience = {"explicit": 1.0 if stiff else PATIENCE, "stabilised": NO_FACTORS, "implicit": 1.0}
    for candidates in ([t for t in trials if t.finished and t.error <= NEAR], [t for t in trials if t.finished]):
        if candidates:
            return min(candidates, key=lambda t: t.work / patience[t.kind])
    return trials[0]


def _reason(best: MethodRun, others: Sequence[MethodRun], forced: float, accuracy_steps: int, stiff: bool) -> str:
    steps = f"{forced:.3g} steps forced by stability, {accuracy_steps} by accuracy"
    if not stiff:
        start = f"not stiff at this tolerance: {steps}"
        return start if best.kind == "explicit" else f"{start}; but the run with {best.method} took the least work"
    rivals = sorted((t for t in others if t.finished), key=lambda t: t.work)
    against = f", {rivals[0].method} {rivals[0].work:.3g}" if rivals else ""
    return f"stiff: {steps}; work in evaluations: {best.method} {best.work:.3g}{against}"
