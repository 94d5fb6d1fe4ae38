"""One spectrum for a whole set of matrices."""

from surefoot.spectra.uncertain._design import FeatureRanges, Rectangular, RowPerturbation
from surefoot.spectra.uncertain._sets import Affine, Ball, Hull, Interval, UncertaintySet
from surefoot.spectra.uncertain._worst_case import worst_case

__all__ = [
    "Affine",
    "Ball",
    "FeatureRanges",
    "Hull",
    "Interval",
    "Rectangular",
    "RowPerturbation",
    "UncertaintySet",
    "worst_case",
]
