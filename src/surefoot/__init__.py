"""Surefoot: how big a step to take next, for every iterative method."""

from surefoot import errors, methods, operators, problems, rules, spectra, targets, testing
from surefoot._advise import Advice, advise
from surefoot._limits import Limits, limits
from surefoot.drivers import Descent, descend
from surefoot.errors import SurefootError
from surefoot.spectra import Bounds, Spectrum, jacobian, spectrum

__version__ = "0.1.0"

__all__ = [
    "Advice",
    "Bounds",
    "Descent",
    "Limits",
    "Spectrum",
    "SurefootError",
    "__version__",
    "advise",
    "descend",
    "errors",
    "jacobian",
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
