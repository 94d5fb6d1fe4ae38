"""How sharp is the terrain? Extreme eigenvalues as intervals that say how far they can be trusted."""

from surefoot.spectra._enclosed import gershgorin, norm_bound
from surefoot.spectra._jacobian import Jacobian, jacobian
from surefoot.spectra._marchenko_pastur import MarchenkoPastur, Wigner
from surefoot.spectra._predicted import predict_wide
from surefoot.spectra._spectrum import Measurement, measure, spectrum
from surefoot.spectra._stencils import advection, heat, stencil, wave
from surefoot.spectra._types import Bounds, Spectrum

__all__ = [
    "Bounds",
    "Jacobian",
    "Measurement",
    "Spectrum",
    "advection",
    "gershgorin",
    "heat",
    "jacobian",
    "measure",
    "norm_bound",
    "spectrum",
    "stencil",
    "wave",
]
