"""How sharp is the terrain? Extreme eigenvalues as intervals that say how far they can be trusted."""

from surefoot.spectra._enclosed import gershgorin, norm_bound
from surefoot.spectra._spectrum import Measurement, measure, spectrum
from surefoot.spectra._types import Bounds, Spectrum

__all__ = ["Bounds", "Measurement", "Spectrum", "gershgorin", "measure", "norm_bound", "spectrum"]
