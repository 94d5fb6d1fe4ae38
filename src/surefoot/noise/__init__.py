"""Gradient noise of any source of sample gradients, and the learning rates at which SGD stays bounded."""

from surefoot.noise._finite_sum import StepMoments, gradient_noise, step_moments
from surefoot.noise._types import GradientNoise
from surefoot.noise.mean_square import mean_square_limits
from surefoot.noise.source import Source, measure_noise

__all__ = [
    "Source",
    "gradient_noise",
    "mean_square_limits",
    "measure_noise",
    "step_moments",
]
