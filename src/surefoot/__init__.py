"""Surefoot: how big a step to take next, for every iterative method."""

from surefoot import errors, methods, operators, problems, rules, spectra, targets, testing
from surefoot._advise import Advice, advise
from surefoot._audit import Audit, audit
from surefoot._certify import Certificate, certify
from surefoot._limits import Limits, limits
from surefoot.drivers import Descent, Diagnosis, Trajectory, descend, diagnose, gradient_flow, integrate
from surefoot.errors import SurefootError
from surefoot.spectra import Bounds, Spectrum, jacobian, spectrum

__version__ = "0.1.0"

__all__ = [
    "Advice",
    "Audit",
    "Bounds",
    "Certificate",
    "Descent",
    "Diagnosis",
    "Limits",
    "Spectrum",
    "SurefootError",
    "Trajectory",
    "__version__",
    "advise",
    "audit",
    "certify",
    "descend",
    "diagnose",
    "errors",
    "gradient_flow",
    "integrate",
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
