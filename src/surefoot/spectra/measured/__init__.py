"""Spectra from products with vectors."""

from surefoot.spectra.measured._density import Density, density
from surefoot.spectra.measured._eigenpairs import EigenPairs, eigenpairs
from surefoot.spectra.measured._norms import norm_squared
from surefoot.spectra.measured._trace import TraceEstimate, trace
from surefoot.spectra.measured.jacobian import Jacobian, jacobian
from surefoot.spectra.measured.spectrum import Measurement, measure, spectrum

__all__ = [
    "Density",
    "EigenPairs",
    "Jacobian",
    "Measurement",
    "TraceEstimate",
    "density",
    "eigenpairs",
    "jacobian",
    "measure",
    "norm_squared",
    "spectrum",
    "trace",
]
