"""What can be named and advised on: built-in names, files, a user's own factory, and objects in hand."""

from surefoot.targets._as_target import as_target
from surefoot.targets._base import Candidate, Target
from surefoot.targets._entry import KINDS, Entry, Kind, Option, kind_of
from surefoot.targets._maps import Map
from surefoot.targets._odes import ODE
from surefoot.targets._problem import ProblemCandidate, ProblemTarget
from surefoot.targets._registry import entry_of, registry, resolve
from surefoot.targets._shaped import ShapedQuadratic

__all__ = [
    "ODE",
    "Map",
    "ProblemTarget",
    "ShapedQuadratic",
    "Target",
    "as_target",
    "registry",
    "resolve",
]
