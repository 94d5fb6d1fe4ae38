"""Objectives that know their own curvature, or say why there is none; and changes of variables that mend it."""

from surefoot.problems._absolute import AbsoluteLoss
from surefoot.problems._base import Problem
from surefoot.problems._changes import Change
from surefoot.problems._function import Function
from surefoot.problems._hinge import Hinge
from surefoot.problems._huber import Huber
from surefoot.problems._least_squares import LeastSquares
from surefoot.problems._logistic import Logistic
from surefoot.problems._power_sum import PowerSum
from surefoot.problems._precondition import Comparison, Preconditioned, precondition
from surefoot.problems._quadratic import Quadratic
from surefoot.problems._residual_norm import ResidualNorm
from surefoot.problems._softmax import Softmax

__all__ = [
    "AbsoluteLoss",
    "Change",
    "Comparison",
    "Function",
    "Hinge",
    "Huber",
    "LeastSquares",
    "Logistic",
    "PowerSum",
    "Preconditioned",
    "Problem",
    "Quadratic",
    "ResidualNorm",
    "Softmax",
    "precondition",
]
