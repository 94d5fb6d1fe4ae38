"""Bounds that need no product: from entries, symbols and closed forms."""

from surefoot.spectra.enclosed._entries import gershgorin, norm_bound
from surefoot.spectra.enclosed._stencils import advection, heat, stencil, wave
from surefoot.spectra.enclosed.closed_forms import gram_ends

__all__ = [
    "advection",
    "gershgorin",
    "gram_ends",
    "heat",
    "norm_bound",
    "stencil",
    "wave",
]
