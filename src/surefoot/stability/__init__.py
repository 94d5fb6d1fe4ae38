"""The step limits of a method on a spectrum."""

from surefoot.stability._limits import limits
from surefoot.stability._types import Limits
from surefoot.stability.clipped import ClippedLimits, ClippedOscillation, clipped_oscillation

__all__ = [
    "clipped_oscillation",
    "limits",
]
