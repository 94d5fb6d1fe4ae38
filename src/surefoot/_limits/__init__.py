"""Spectrum x method -> limits: the one function that every other room turns to."""

from surefoot._limits._limits import limits
from surefoot._limits._types import Limits

__all__ = ["Limits", "limits"]
