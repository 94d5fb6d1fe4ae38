"""Spectra of finite-difference operators from their symbols: CFL conditions without forming a matrix."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from surefoot.checks import Range, checked, real_array
from surefoot.errors import InvalidInput
from surefoot.spectra._exact import clear_noise
from surefoot.spectra.types import Bounds, Spectrum

# Angles per dimension: a multiple of 4, so that pi/2 and pi, where extremes usually lie, are among them. Elsewhere an
# extreme is missed by its curvature times (pi/n)^2/2: 1e-5 of the range in one dimension, 5e-4 in two, 5e-3 in three.
ANGLES = {1: 720, 2: 96, 3: 32}

# Spacings and speeds enter squared, in products of four of them.
LARGEST = 1e75
SCALE = Range(f"[{1 / LARGEST:g}, {LARGEST:g}]", "its powers must be floats: choose other units")
Scale = Annotated[float, SCALE]
# What rounding leaves of terms that cancel, relative to the largest value: a real symbol must come out exactly real.
ROUNDING = 1e-14


@checked
def stencil(coefficients: Mapping[int | tuple[int, ...], float]) -> Spectrum:
    """The eigenvalues of u' = sum_k a_k u(x + k dx) on a periodic or unbounded grid.

        symbol(theta) = sum_k a_k exp(i k . theta)

    Parameters
    ----------
    coefficients : mapping
        Offset (an int, or a tuple of 1 to 3 ints) to coefficient.

    Returns
    -------
    Spectrum
        Kind "jacobian", with the symbol at a grid of angles as its points. The points of a finite periodic grid lie
        among those of the limit of fine ones.

    Raises
    ------
    InvalidInput
        If there is no coefficient, one is not finite, or the offsets differ in length.

    Examples
    --------
    Upwind differences with Euler: speed * step/spacing <= 1.

    >>> import surefoot as sf
    >>> upwind = sf.spectra.stencil({0: -10.0, -1: 10.0})
    >>> round(sf.limits(upwind).stable, 12)
    0.1
    """
    return _spectrum_of(_symbol(coefficients))


@checked
def heat(spacing: float | Sequence[float], diffusivity: Scale = 1.0) -> Spectrum:
    """The spectrum of second differences of u' = diffusivity * Laplacian u: real, from -4 D sum 1/dx^2 to 0.

    Euler: step <= dx^2/(2 d D) in d dimensions.

    Parameters
    ----------
    spacing : float or sequence of up to 3 floats
        dx in each dimension.
    diffusivity : float
        D > 0.

    Raises
    ------
    InvalidInput
        If a parameter is not positive, or so large or small that its powers are no floats.
    """
    return _spectrum_of(_symbol(_laplacian(_spacings(spacing), diffusivity)))


@checked
def advection(
    spacing: float | Sequence[float], speed: float | Sequence[float], scheme: Literal["central", "upwind"] = "central"
) -> Spectrum:
    """The spectrum of central or first-order upwind differences of u' + speed . grad u = 0.

    Central: imaginary, up to sum |c|/dx, so Euler is never stable. Upwind: circles through 0 and -2|c|/dx.

    Parameters
    ----------
    spacing, speed : float or sequence of up to 3 floats
    scheme : "central" or "upwind"

    Raises
    ------
    InvalidInput
        If the spacing is not positive, the speeds do not fit, or the scheme is unknown.
    """
    spacings = _spacings(spacing)
    speeds = [float(c) for c in np.atleast_1d(real_array(speed, "speed"))]
    if len(speeds) == 1:
        speeds *= len(spacings)
    if len(speeds) != len(spacings) or not all(map(math.isfinite, speeds)):
        raise InvalidInput(f"speed must be a finite number for each of the {len(spacings)} dimensions; got {speed!r}")
    total: dict[tuple[int, ...], float] = {}
    for axis, (dx, c) in enumerate(zip(spacings, speeds, strict=True)):
        if scheme == "central":
            parts = {1: -c / (2 * dx), -1: c / (2 * dx)}
        else:
            parts = {0: -abs(c) / dx, (-1 if c > 0 else 1): abs(c) / dx}
        for shift, weight in parts.items():
            offset = _along(axis, shift, len(spacings))
            total[offset] = total.get(offset, 0.0) + weight
    return _spectrum_of(_symbol(total))


@checked
def wave(spacing: float | Sequence[float], speed: Scale = 1.0) -> Spectrum:
    """The spectrum of second differences of u'' = speed^2 Laplacian u, a first-order system: +-i 2 c |sin(theta/2)|/dx.

    Leapfrog in the two-step form: step <= 1/(2 c sqrt(sum 1/dx^2)). Stoermer-Verlet, which staggers u and v, reaches
    twice that: c step/dx <= 1 in one dimension.

    Parameters
    ----------
    spacing : float or sequence of up to 3 floats
    speed : float
        c > 0.

    Raises
    ------
    InvalidInput
        If a parameter is not positive and finite.
    """
    frequencies = np.sqrt(np.maximum(-np.real(_symbol(_laplacian(_spacings(spacing), speed**2))), 0.0))
    return _spectrum_of(np.concatenate([1j * frequencies, -1j * frequencies]))


def _laplacian(spacings: Sequence[float], factor: float) -> dict[tuple[int, ...], float]:
    total = {(0,) * len(spacings): -2 * factor * sum(1 / dx**2 for dx in spacings)}
    for axis, dx in enumerate(spacings):
        for shift in (-1, 1):
            total[_along(axis, shift, len(spacings))] = factor / dx**2
    return total


def _along(axis: int, shift: int, dimensions: int) -> tuple[int, ...]:
    return tuple(shift if i == axis else 0 for i in range(dimensions))


def _symbol(
    coefficients: Mapping[int | tuple[int, ...], float] | Mapping[tuple[int, ...], float],
) -> NDArray[np.complex128]:
    if not coefficients:
        raise InvalidInput("a stencil needs at least one coefficient; got none")
    offsets = [(k,) if isinstance(k, int) else tuple(k) for k in coefficients]
    dimensions = len(offsets[0])
    if any(len(offset) != dimensions for offset in offsets) or dimensions not in ANGLES:
        raise InvalidInput(f"offsets must be tuples of the same 1 to 3 ints; got {list(coefficients)}")
    weights = [float(a) for a in coefficients.values()]
    if not all(map(math.isfinite, weights)):
        raise InvalidInput(f"coefficients must be finite; got {weights}")
    count = ANGLES[dimensions]
    # rounded to 15 digits, the quarter turns are exact: a symbol then vanishes exactly where it should
    turns = np.round(np.exp(2j * np.pi * np.arange(count) / count), 15)
    symbol = np.zeros((count,) * dimensions, dtype=np.complex128)
    for offset, weight in zip(offsets, weights, strict=True):
        term = np.asarray(weight, dtype=np.complex128)
        for axis, shift in enumerate(offset):
            factor = turns[(shift * np.arange(count)) % count]
            term = term * factor.reshape([-1 if i == axis else 1 for i in range(dimensions)])
        symbol = symbol + term
    return symbol.reshape(-1)


def _spectrum_of(symbol: NDArray[np.complex128]) -> Spectrum:
    noise = ROUNDING * float(np.abs(symbol).max(initial=0.0))
    real, imaginary = clear_noise(symbol.real, noise), clear_noise(symbol.imag, noise)
    points = np.unique(real + 1j * imaginary) if imaginary.any() else np.unique(real)
    return Spectrum(
        kind="jacobian",
        largest=Bounds.exactly(float(real.max())),
        smallest=Bounds.exactly(float(real.min())),
        size=points.size,
        provenance="closed form",
        points=points,
        note="symbol of a constant-coefficient stencil on a periodic or unbounded grid, sampled",
    )


def _spacings(spacing: float | Sequence[float]) -> list[float]:
    values: list[float] = np.atleast_1d(real_array(spacing, "spacing")).tolist()
    if not 1 <= len(values) <= 3:
        raise InvalidInput(f"spacing must be 1 to 3 numbers; got {spacing!r}")
    for value in values:
        SCALE.clean(value, "spacing", whole=False)
    return values
