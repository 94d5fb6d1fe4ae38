"""How sharp is the terrain? Extreme eigenvalues as intervals that say how far they can be trusted."""

from surefoot.spectra._closed_forms import gram_ends
from surefoot.spectra._density import Density, density
from surefoot.spectra._eigenpairs import EigenPairs, eigenpairs
from surefoot.spectra._enclosed import gershgorin, norm_bound
from surefoot.spectra._jacobian import Jacobian, jacobian
from surefoot.spectra._marchenko_pastur import MarchenkoPastur, Wigner
from surefoot.spectra._norms import norm_squared
from surefoot.spectra._predicted import predict_wide
from surefoot.spectra._spectrum import Measurement, measure, spectrum
from surefoot.spectra._stencils import advection, heat, stencil, wave
from surefoot.spectra._trace import Trace, trace
from surefoot.spectra._types import Bounds, Spectrum
from surefoot.spectra._uncertain_design import FeatureRanges, Rectangular, RowPerturbation
from surefoot.spectra._uncertainty import Affine, Ball, Hull, Interval, UncertaintySet
from surefoot.spectra._worst_case import worst_case

__all__ = [
    "Affine",
    "Ball",
    "Bounds",
    "Density",
    "EigenPairs",
    "FeatureRanges",
    "Hull",
    "Interval",
    "Jacobian",
    "MarchenkoPastur",
    "Measurement",
    "Rectangular",
    "RowPerturbation",
    "Spectrum",
    "Trace",
    "UncertaintySet",
    "Wigner",
    "advection",
    "density",
    "eigenpairs",
    "gershgorin",
    "gram_ends",
    "heat",
    "jacobian",
    "measure",
    "norm_bound",
    "norm_squared",
    "predict_wide",
    "spectrum",
    "stencil",
    "trace",
    "wave",
    "worst_case",
]
