"""Residual networks as Euler steps."""

from surefoot.training.residual._residual import residual_stability
from surefoot.training.residual._result import DepthScaling, ResidualBlock, ResidualStability
from surefoot.training.residual._scale import ResidualScales, scale_residuals

__all__ = [
    "DepthScaling", "ResidualBlock", "ResidualScales", "ResidualStability", "residual_stability", "scale_residuals",
]  # fmt: skip
