"""Losses of linear models, with their curvature in closed form."""

from surefoot.problems.linear._absolute_loss import AbsoluteLoss
from surefoot.problems.linear._hinge import Hinge
from surefoot.problems.linear._huber import Huber
from surefoot.problems.linear._least_squares import LeastSquares
from surefoot.problems.linear._logistic import Logistic
from surefoot.problems.linear._residual_norm import ResidualNorm
from surefoot.problems.linear._softmax import Softmax

__all__ = [
    "AbsoluteLoss",
    "Hinge",
    "Huber",
    "LeastSquares",
    "Logistic",
    "ResidualNorm",
    "Softmax",
]
