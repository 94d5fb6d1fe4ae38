"""Objectives that know their own curvature, or say why there is none; and changes of variables that mend it."""

from surefoot.problems._absolute import AbsoluteLoss
from surefoot.problems._base import Problem
from surefoot.problems._changes import Change
from surefoot.problems._comparison import Comparison
from surefoot.problems._deblurring import Deblurring
from surefoot.problems._function import Function
from surefoot.problems._gradient_noise import StepMoments, gradient_noise, step_moments
from surefoot.problems._hinge import Hinge
from surefoot.problems._huber import Huber
from surefoot.problems._least_squares import LeastSquares
from surefoot.problems._logistic import Logistic
from surefoot.problems._mean_square import mean_square_limits
from surefoot.problems._noise import GradientNoise
from surefoot.problems._power_sum import PowerSum
from surefoot.problems._precondition import precondition
from surefoot.problems._preconditioned import Preconditioned
from surefoot.problems._quadratic import Quadratic
from surefoot.problems._residual_norm import ResidualNorm
from surefoot.problems._softmax import Softmax
from surefoot.problems._stopping import Discrepancy, discrepancy, noise_level

__all__ = [
    "AbsoluteLoss",
    "Change",
    "Comparison",
    "Deblurring",
    "Discrepancy",
    "Function",
    "GradientNoise",
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
    "StepMoments",
    "discrepancy",
    "gradient_noise",
    "mean_square_limits",
    "noise_level",
    "precondition",
    "step_moments",
]
