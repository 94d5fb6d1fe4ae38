"""Is the equation stiff, and which method to take."""

from surefoot.solvers.ode_diagnosis._diagnose import Diagnosis, diagnose

__all__ = [
    "Diagnosis",
    "diagnose",
]
