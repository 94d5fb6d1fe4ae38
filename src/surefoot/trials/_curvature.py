"""What is known of a problem's curvature everywhere."""

from surefoot.errors import NotSmooth
from surefoot.problems import Problem
from surefoot.spectra import Spectrum


def global_curvature(problem: Problem) -> Spectrum | None:
    """Bounds on the curvature that hold everywhere, where there are some."""
    try:
        spec = problem.curvature()
    except (NotSmooth, NotImplementedError):  # a kink has none, and a problem of one's own need not know it
        return None
    return spec if spec.scope == "global" else None
