"""`surefoot advise --density`: where all the eigenvalues are, beside the ends that the limits come from."""

from dataclasses import replace
from typing import Annotated

import typer

from surefoot.advice import Advice
from surefoot.spectra import density
from surefoot.targets import Target

__all__ = ["WantsDensity", "with_density"]

# Enough to tell a bulk from its outliers.
VECTORS, STEPS = 4, 40

WantsDensity = Annotated[
    bool,
    typer.Option(
        "--density",
        help=f"Also estimate where all the eigenvalues are, for {VECTORS * STEPS} more products; drawn in the report.",
    ),
]


def with_density(advice: Advice, target: Target, rng: int) -> Advice:
    """The advice with the spectral density of the first method's terrain among its details."""
    terrain = target.operator(target.candidates()[0])
    steps = min(STEPS, terrain.shape[0])
    found = density(terrain, n_vectors=VECTORS, steps=steps, rng=rng)
    return replace(advice, details=(*advice.details, found), products=advice.products + found.products)
