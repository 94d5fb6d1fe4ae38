"""Spectrum x method -> limits: the one function that every other room turns to."""

from surefoot.stability._limits import limits
from surefoot.stability._types import Limits
from surefoot.stability.clipped import ClippedCycle, ClippedLimits

__all__ = [
    "ClippedCycle",
    "ClippedLimits",
    "Limits",
    "limits",
]
