"""Spectra known before any measurement."""

from surefoot.spectra.random_matrices._marchenko_pastur import MarchenkoPastur, Wigner
from surefoot.spectra.random_matrices.wide_layers import predict_wide

__all__ = [
    "MarchenkoPastur",
    "Wigner",
    "predict_wide",
]
