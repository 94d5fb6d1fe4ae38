"""Surefoot: how big a step to take next, for every iterative method."""

from surefoot import errors, methods, operators, problems, rules, spectra
from surefoot._limits import Limits, limits
from surefoot.spectra import Bounds, Spectrum, spectrum

__version__ = "0.1.0"

__all__ = [
    "Bounds",
    "Limits",
    "Spectrum",
    "__version__",
    "errors",
    "limits",
    "methods",
    "operators",
    "problems",
    "rules",
    "spectra",
    "spectrum",
]
