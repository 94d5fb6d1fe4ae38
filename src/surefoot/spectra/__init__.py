"""Extreme eigenvalues of matrices and operators, as intervals with the certainty of each end."""

from surefoot.spectra.enclosed import advection, gershgorin, gram_ends, heat, norm_bound, stencil, wave
from surefoot.spectra.measured import (
    Density,
    EigenPairs,
    Jacobian,
    Measurement,
    TraceEstimate,
    density,
    eigenpairs,
    jacobian,
    measure,
    norm_squared,
    spectrum,
    trace,
)
from surefoot.spectra.random_matrices import MarchenkoPastur, Wigner, predict_wide
from surefoot.spectra.types import Bounds, Spectrum
from surefoot.spectra.uncertain import (
    Affine,
    Ball,
    FeatureRanges,
    Hull,
    Interval,
    Rectangular,
    RowPerturbation,
    UncertaintySet,
    worst_case,
)

__all__ = [
    "Affine",
    "Ball",
    "Bounds",
    "FeatureRanges",
    "Hull",
    "Interval",
    "MarchenkoPastur",
    "Rectangular",
    "RowPerturbation",
    "Spectrum",
    "UncertaintySet",
    "Wigner",
    "advection",
    "density",
    "eigenpairs",
    "gershgorin",
    "heat",
    "jacobian",
    "norm_bound",
    "norm_squared",
    "predict_wide",
    "spectrum",
    "stencil",
    "trace",
    "wave",
    "worst_case",
]
