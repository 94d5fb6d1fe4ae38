"""Surefoot: how big a step to take next, for every iterative method."""

from surefoot import errors, methods, operators, problems, rules, spectra, targets, testing
from surefoot.advice import Advice, advise
from surefoot.audits import Audit, Why, audit, why
from surefoot.certificates import Certificate, certify
from surefoot.errors import SurefootError
from surefoot.solvers import Descent, Diagnosis, Trajectory, descend, diagnose, gradient_flow, integrate
from surefoot.spectra import Bounds, Spectrum, jacobian, spectrum
from surefoot.stability import Limits, limits

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
    "Why",
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
    "why",
]
