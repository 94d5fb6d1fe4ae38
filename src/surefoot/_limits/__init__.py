"""Spectrum x method -> limits: the one function that every other room turns to."""

from surefoot._limits._clipped import ClippedCycle, ClippedLimits
from surefoot._limits._limits import limits
from surefoot._limits._types import Limits

__all__ = ["ClippedCycle", "ClippedLimits", "Limits", "limits"]
