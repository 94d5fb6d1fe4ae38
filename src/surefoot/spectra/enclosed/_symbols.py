"""Symbols: the squared singular values of convolutions and differences that a fast transform diagonalises.

    periodic:                       sigma_m^2 = |sum_j k_j exp(-2 pi i m j/N)|^2
    half-sample reflection, k even: sigma_m^2 = (sum_j k_j cos(pi m j/N))^2
    forward differences:            4 sin^2(pi m/(2N)) reflecting (Neumann), 4 sin^2(pi m/N) periodic

for m = 0 .. N - 1 along each axis, j counted from the kernel's centre (G. Strang, The discrete cosine transform, SIAM
Review 41, 1999; P. C. Hansen, J. G. Nagy, D. P. O'Leary, Deblurring Images, SIAM 2006, chapter 4).
"""

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from surefoot.operators import Convolution, Gradient
from surefoot.operators.convolution import wrap

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True, eq=False)
class Symbol:
    """All eigenvalues of A'A by frequency, for an A that a transform diagonalises.

    Parameters
    ----------
    basis : "fourier" or "cosine"
        Operators on the same grid with the same basis have the same eigenvectors, so their symbols add.
    shape : tuple of int
        Shape of the grid.
    values : array
        Squared singular values; broadcasts to the grid, or half of it where the other half is its mirror image.
    """

    basis: str
    shape: tuple[int, ...]
    values: NDArray[np.float64]


def symbol_of_convolution(operator: Convolution) -> Symbol | None:
    """The symbol of a periodic convolution, or of a reflecting one whose kernel is even along each axis; else None."""
    kernel, shape = operator.kernel, operator.image_shape
    if operator.boundary == "periodic":
        return Symbol("fourier", shape, _fourier(kernel, shape))
    if operator.boundary == "reflect" and all(operator.even_along(axis) for axis in range(kernel.ndim)):
        return Symbol("cosine", shape, _cosine(kernel, shape))
    return None


def symbol_of_gradient(operator: Gradient) -> Symbol:
    """The symbol of forward differences: 4 sin^2 along each axis, summed over the axes."""
    shape, periodic = operator.image_shape, operator.edge == "periodic"
    steps = dict(zip(operator.axes, operator.spacing, strict=True))
    parts: list[NDArray[np.float64]] = []
    for axis, n in enumerate(shape):
        # along the last axis a real transform keeps half of the frequencies
        kept = n // 2 + 1 if periodic and axis == len(shape) - 1 else n
        waves = np.arange(kept) * np.pi / (n if periodic else 2 * n)
        parts.append((2 * np.sin(waves) / steps.get(axis, np.inf)) ** 2)
    return Symbol("fourier" if periodic else "cosine", shape, reduce(np.add.outer, parts))


def covering_symbol(operator: Convolution) -> float:
    """An upper bound on the squared norm under zero boundaries: that of the periodic map on a grid with room for both.

    With zero boundaries the map is a section of the circulant map of a grid of N + taps - 1 samples along each axis,
    and a section's norm is no larger. Proved; never above Young's bound |k|_1^2.
    """
    shape = tuple(n + taps - 1 for n, taps in zip(operator.image_shape, operator.kernel.shape, strict=True))
    return float(_fourier(operator.kernel, shape).max()) * (1 + 64 * EPS)  # the transform's own rounding


def _fourier(kernel: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    from scipy.fft import rfftn

    magnitude: NDArray[np.float64] = np.abs(rfftn(_fold(kernel, shape), s=shape)).astype(np.float64)
    return np.square(magnitude)


def _fold(kernel: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The kernel on a periodic grid; where its first tap lies does not change |symbol|."""
    for axis, size in enumerate(shape):
        # a kernel longer than the grid overlaps itself; the transform pads a shorter one
        if kernel.shape[axis] > size:
            kernel = wrap(kernel, axis, size)
    return kernel


def _cosine(kernel: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    values = kernel
    for size in shape:  # each turn transforms the first axis and puts it last
        offsets = np.arange(values.shape[0]) - values.shape[0] // 2
        cosines = np.cos(np.pi / size * np.outer(offsets, np.arange(size)))
        values = np.tensordot(values, cosines, axes=(0, 0))
    return np.square(np.asarray(values, dtype=np.float64))
