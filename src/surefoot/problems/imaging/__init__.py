"""Deblurring, and when to stop."""

from surefoot.problems.imaging._deblurring import Deblurring
from surefoot.problems.imaging._stopping import Discrepancy, discrepancy, noise_level

__all__ = [
    "Deblurring",
    "Discrepancy",
    "discrepancy",
    "noise_level",
]
