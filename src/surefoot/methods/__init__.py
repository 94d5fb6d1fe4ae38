"""Optimisers and integrators as one kind of iteration, with its amplification and stability limits."""

from surefoot.methods._base import Flow, Method, State
from surefoot.methods._extracted import from_update
from surefoot.methods._gradient import ForwardEuler, GradientDescent
from surefoot.methods._momentum import EMAMomentum, HeavyBall, Nesterov
from surefoot.methods._multistep import AdamsBashforth, Leapfrog
from surefoot.methods._named import method_names, named
from surefoot.methods._region import Region
from surefoot.methods._runge_kutta import (
    RK4,
    SSPRK,
    BackwardEuler,
    BogackiShampine,
    DormandPrince,
    Heun,
    Kutta3,
    Midpoint,
    RadauIIA,
    RungeKutta,
    Trapezoidal,
)
from surefoot.methods._stabilised import RungeKuttaChebyshev, RungeKuttaLegendre
from surefoot.methods._stability import StabilityPolynomial
from surefoot.methods._tableau import ButcherTableau

__all__ = [
    "RK4",
    "SSPRK",
    "AdamsBashforth",
    "BackwardEuler",
    "BogackiShampine",
    "ButcherTableau",
    "DormandPrince",
    "EMAMomentum",
    "ForwardEuler",
    "GradientDescent",
    "HeavyBall",
    "Heun",
    "Kutta3",
    "Leapfrog",
    "Method",
    "Midpoint",
    "Nesterov",
    "RadauIIA",
    "RungeKutta",
    "RungeKuttaChebyshev",
    "RungeKuttaLegendre",
    "Trapezoidal",
    "from_update",
    "method_names",
    "named",
]
