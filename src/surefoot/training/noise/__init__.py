"""Gradient noise of a model."""

from surefoot.training.noise._mean_square import mean_square_limits
from surefoot.training.noise.measure import gradient_noise

__all__ = ["gradient_noise", "mean_square_limits"]
