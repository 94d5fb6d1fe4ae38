"""Objectives that know their curvature, or why they have none, and changes of variables that improve it."""

from surefoot.problems._base import Problem
from surefoot.problems._changes import Change
from surefoot.problems._function import Function
from surefoot.problems._power_sum import PowerSum
from surefoot.problems._quadratic import Quadratic
from surefoot.problems.imaging import Deblurring, Discrepancy, discrepancy, noise_level
from surefoot.problems.linear import AbsoluteLoss, Hinge, Huber, LeastSquares, Logistic, ResidualNorm, Softmax
from surefoot.problems.preconditioning import Comparison, Preconditioned, precondition

__all__ = [
    "AbsoluteLoss",
    "Deblurring",
    "Function",
    "Hinge",
    "Huber",
    "LeastSquares",
    "Logistic",
    "PowerSum",
    "Problem",
    "Quadratic",
    "ResidualNorm",
    "Softmax",
    "discrepancy",
    "noise_level",
    "precondition",
]
