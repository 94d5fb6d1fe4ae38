"""Is the equation stiff, and which method to take."""

from surefoot.solvers.ode_diagnosis._diagnose import diagnose
from surefoot.solvers.ode_diagnosis._types import Diagnosis

__all__ = [
    "Diagnosis",
    "diagnose",
]
