"""Objectives that know their own curvature."""

from surefoot.problems._base import Problem
from surefoot.problems._least_squares import LeastSquares
from surefoot.problems._logistic import Logistic
from surefoot.problems._quadratic import Quadratic
from surefoot.problems._softmax import Softmax

__all__ = ["LeastSquares", "Logistic", "Problem", "Quadratic", "Softmax"]
