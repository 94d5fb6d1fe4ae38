"""What stability asks of explicit methods along a solution, before any of them has run."""

import math

import numpy as np
from numpy.typing import NDArray

from surefoot.methods import (
    RK4,
    AdamsBashforth,
    BogackiShampine,
    DormandPrince,
    ForwardEuler,
    Method,
    RungeKuttaChebyshev,
)
from surefoot.solvers.ode_diagnosis._rates import Rates
from surefoot.solvers.ode_diagnosis._types import Cost
from surefoot.stability.largest_step import largest_step

# The explicit methods that are compared: of orders 1, 3, 4 and 5, and a multistep one with one evaluation a step.
EXPLICIT: tuple[Method, ...] = (ForwardEuler(), BogackiShampine(), RK4(), DormandPrince(), AdamsBashforth(3))
# A spectrum is near enough to the real axis for a stabilised method to be tried up to this slope; its own error
# estimate then tells whether the thin region holds.
STRIP = 0.5
# The real limit of order 2 is about 0.65 s^2; a few hundred stages are the most that are used (Sommeijer et al. 1998).
REACH_PER_STAGE, MOST_STAGES = 0.65, 200


def nearly_real(rates: Rates) -> bool:
    """Whether decay outruns turning all along the solution."""
    return bool((rates.frequency <= STRIP * rates.fastest).all() and rates.fastest.max(initial=0.0) > 0)


def explicit_costs(rates: Rates, accuracy_steps: int, rtol: float) -> dict[type[Method], Cost]:
    """For each explicit method the steps that stability forces: the integral of dt over the stable step."""
    costs: dict[type[Method], Cost] = {}
    for method in EXPLICIT:
        # lower orders need more steps for the same accuracy; the reference's order is about four
        accurate = accuracy_steps * rtol ** min(0.0, 1 / 5 - 1 / (method.order + 1))
        # growing modes are the solution's own
        steps = np.asarray([largest_step(points[points.real <= 0], method).step for points in rates.points])
        costs[type(method)] = _cost(rates, method, "explicit", steps, accurate)
    return costs


def stabilised_cost(rates: Rates, accuracy_steps: int) -> Cost:
    """Runge-Kutta-Chebyshev with as many stages as make the steps that accuracy asks for stable on average."""
    length = float(rates.weights.sum()) / accuracy_steps
    reach = float(np.average(rates.fastest, weights=rates.weights)) * length
    stages = math.ceil(math.sqrt(reach / REACH_PER_STAGE)) + 1
    method = RungeKuttaChebyshev(min(max(stages, 2), MOST_STAGES))
    with np.errstate(divide="ignore"):
        steps = method.real_limit / rates.fastest
    return _cost(rates, method, "stabilised", steps, accuracy_steps)


def _cost(rates: Rates, method: Method, kind: str, steps: NDArray[np.float64], accurate: float) -> Cost:
    with np.errstate(divide="ignore"):
        forced = float((rates.weights / steps).sum())
    name = "forward Euler" if isinstance(method, ForwardEuler) else method.name
    return Cost(name, kind, float(steps.min()), float(steps.max()), forced, max(forced, accurate) * method.evaluations)
