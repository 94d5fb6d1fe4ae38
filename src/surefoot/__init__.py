"""Surefoot: how big a step to take next, for every iterative method."""

from surefoot import errors, methods, operators, problems, rules, spectra, targets, testing
from surefoot._advise import Advice, advise
from surefoot._limits import Limits, limits
from surefoot.spectra import Bounds, Spectrum, spectrum

__version__ = "0.1.0"

__all__ = [
    "Advice",
    "Bounds",
    "Limits",
    "Spectrum",
    "__version__",
    "advise",
    "errors",
    "limits",
    "methods",
    "operators",
    "problems",
    "rules",
    "spectra",
    "spectrum",
    "targets",
    "testing",
]
