"""What can be advised on: built-in names, files, a user's own factory, and objects in hand."""

from surefoot.targets._as_target import as_target
from surefoot.targets._base import Candidate, Target
from surefoot.targets._odes import ODE, ode, odes
from surefoot.targets._problem import ProblemCandidate, ProblemTarget
from surefoot.targets._registry import BuiltIn, built_ins, resolve
from surefoot.targets._shaped import ShapedQuadratic

__all__ = [
    "ODE",
    "BuiltIn",
    "Candidate",
    "ProblemCandidate",
    "ProblemTarget",
    "ShapedQuadratic",
    "Target",
    "as_target",
    "built_ins",
    "ode",
    "odes",
    "resolve",
]
