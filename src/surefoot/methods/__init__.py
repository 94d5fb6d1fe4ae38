"""How an iteration amplifies: optimisers and integrators as one kind of thing."""

from surefoot.methods._base import Flow, Method, State
from surefoot.methods._gradient import ForwardEuler, GradientDescent
from surefoot.methods._momentum import EMAMomentum, HeavyBall, Nesterov

__all__ = [
    "EMAMomentum",
    "Flow",
    "ForwardEuler",
    "GradientDescent",
    "HeavyBall",
    "Method",
    "Nesterov",
    "State",
]
