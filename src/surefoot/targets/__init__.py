"""What can be advised on: built-in names, files, a user's own factory, and objects in hand."""

from surefoot.targets._as_target import as_target
from surefoot.targets._base import Candidate, Target
from surefoot.targets._problem import ProblemCandidate, ProblemTarget
from surefoot.targets._registry import BuiltIn, built_ins, resolve

__all__ = [
    "BuiltIn",
    "Candidate",
    "ProblemCandidate",
    "ProblemTarget",
    "Target",
    "as_target",
    "built_ins",
    "resolve",
]
