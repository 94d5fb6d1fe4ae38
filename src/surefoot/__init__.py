"""Surefoot: how big a step to take next, for every iterative method."""

from importlib import import_module

# A type checker takes this name for typing's, whose import would take nine tenths of the time that this one takes.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from surefoot import errors, methods, operators, problems, rules, spectra, targets, testing
    from surefoot.advice import Advice, advise
    from surefoot.audits import Audit, Why, audit, why
    from surefoot.certificates import Certificate, certify
    from surefoot.errors import SurefootError
    from surefoot.solvers import Descent, Diagnosis, Trajectory, descend, diagnose, gradient_flow, integrate
    from surefoot.spectra import Bounds, Spectrum, jacobian, spectrum
    from surefoot.stability import Limits, limits

__version__ = "0.2.0"

__all__ = [
    "Bounds",
    "Spectrum",
    "SurefootError",
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

# Loaded when it is used: a command that only prints, and an interrupt in its first second, should not wait for rooms
# that it does not enter. A name that is not here is a room; types of results are here without being listed.
_HOME = {
    "Advice": "surefoot.advice",
    "Audit": "surefoot.audits",
    "Bounds": "surefoot.spectra",
    "Certificate": "surefoot.certificates",
    "Descent": "surefoot.solvers",
    "Diagnosis": "surefoot.solvers",
    "Limits": "surefoot.stability",
    "Spectrum": "surefoot.spectra",
    "SurefootError": "surefoot.errors",
    "Trajectory": "surefoot.solvers",
    "Why": "surefoot.audits",
    "advise": "surefoot.advice",
    "audit": "surefoot.audits",
    "certify": "surefoot.certificates",
    "descend": "surefoot.solvers",
    "diagnose": "surefoot.solvers",
    "gradient_flow": "surefoot.solvers",
    "integrate": "surefoot.solvers",
    "jacobian": "surefoot.spectra",
    "limits": "surefoot.stability",
    "spectrum": "surefoot.spectra",
    "why": "surefoot.audits",
}


def __getattr__(name: str) -> "Any":
    """A public name, from the room that it lives in."""
    if name not in __all__ and name not in _HOME:
        raise AttributeError(f"module 'surefoot' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name) if name in _HOME else import_module(f"surefoot.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
