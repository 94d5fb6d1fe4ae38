"""Convolution of an image with a kernel, for each way of extending the image beyond its edge."""

from collections.abc import Sequence
from math import prod
from typing import Any, Literal

import numpy as np

from surefoot.checks import checked, real_array
from surefoot.errors import InvalidInput, NotFinite
from surefoot.operators._base import Array, Operator

__all__ = ["Boundary", "Convolution", "convolution", "grid_shape", "wrap"]

Boundary = Literal["periodic", "zero", "reflect", "replicate"]
# The names of `numpy.pad` for the same extensions.
BOUNDARIES: dict[str, Any] = {"periodic": "wrap", "zero": "constant", "reflect": "symmetric", "replicate": "edge"}


@checked
class Convolution(Operator):
    """The linear map of `convolution`, with its kernel, image shape and boundary."""

    def __init__(self, kernel: Array, image_shape: tuple[int, ...], boundary: Boundary) -> None:
        n = prod(image_shape)
        self.kernel = kernel
        self.image_shape = image_shape
        self.boundary: Boundary = boundary
        super().__init__((n, n), symmetric=True if _is_symmetric(kernel, boundary) else None)
        # for the other two the transform itself supplies what lies beyond the edge: its period, or zeros
        self._padded = boundary in ("reflect", "replicate")
        self._axes = [axis for axis, taps in enumerate(kernel.shape) if taps > 1]
        self._lengths = [self._length(axis) for axis in self._axes]
        self._symbol: Array = self._transform_kernel()

    def even_along(self, axis: int) -> bool:
        """Whether the kernel equals its mirror image along an axis."""
        return self.kernel.shape[axis] % 2 == 1 and _close(self.kernel, np.flip(self.kernel, axis))

    def padding(self, axis: int) -> tuple[int, int]:
        """Samples that the kernel reaches beyond the image along an axis, before and after."""
        taps = self.kernel.shape[axis]
        return taps - 1 - taps // 2, taps // 2

    def sources(self, axis: int) -> Array:
        """For each sample of the extended image, the index of the sample it copies along an axis; -1 for a zero."""
        zero: dict[str, Any] = {"constant_values": -1} if self.boundary == "zero" else {}
        return np.pad(np.arange(self.image_shape[axis]), self.padding(axis), mode=BOUNDARIES[self.boundary], **zero)

    def _apply(self, x: Array) -> Array:
        image = x.reshape(self.image_shape)
        if self._padded:
            image = np.pad(image, [self.padding(i) for i in range(image.ndim)], mode=BOUNDARIES[self.boundary])
        return self._filter(image, self._symbol)[self._window()].ravel()

    def _apply_adjoint(self, x: Array) -> Array:
        window = self._window()
        padded = np.zeros([part.stop for part in window])
        padded[window] = x.reshape(self.image_shape)
        image = self._filter(padded, self._symbol.conj())
        for axis in self._axes:
            image = self._fold(image, axis)
        return image.ravel()

    def _length(self, axis: int) -> int:
        """Length of the transform: the image's if it is periodic, else at least that of image and kernel together."""
        size = self.image_shape[axis]
        if self.boundary == "periodic":
            return size
        from scipy.fft import next_fast_len

        return int(next_fast_len(size + self.kernel.shape[axis] - 1, real=True))

    def _transform_kernel(self) -> Array:
        from scipy.fft import rfftn

        kernel = self.kernel
        for axis, length in zip(self._axes, self._lengths, strict=True):
            # the kernel's centre is at sample 0, unless padding has moved the image by as much
            offset = 0 if self._padded else -(kernel.shape[axis] // 2)
            kernel = np.roll(wrap(kernel, axis, length), offset, axis)

        return np.asarray(rfftn(kernel, axes=self._axes)) if self._axes else kernel

    def _filter(self, image: Array, symbol: Array) -> Array:
        if not self._axes:
            return image * symbol
        from scipy.fft import irfftn, rfftn

        spectrum = rfftn(image, s=self._lengths, axes=self._axes)
        return np.asarray(irfftn(spectrum * symbol, s=self._lengths, axes=self._axes))

    def _window(self) -> tuple[slice, ...]:
        starts = [taps - 1 if self._padded else 0 for taps in self.kernel.shape]
        return tuple(slice(start, start + size) for start, size in zip(starts, self.image_shape, strict=True))

    def _fold(self, image: Array, axis: int) -> Array:
        """The adjoint of the extension along one axis: each copied sample is added back to its source."""
        size, (before, after) = self.image_shape[axis], self.padding(axis)
        rows = np.moveaxis(image, axis, 0)
        if not self._padded:
            return np.moveaxis(rows[:size], 0, axis)
        source = self.sources(axis)
        folded = rows[before : before + size].copy()
        for row in (*range(before), *range(before + size, before + size + after)):
            folded[source[row]] += rows[row]
        return np.moveaxis(folded, 0, axis)


@checked
def convolution(kernel: Any, shape: Sequence[int], boundary: Boundary = "periodic") -> Convolution:
    """Convolution with a kernel, as a linear map of flattened images; never formed.

        (A x)_i = sum_j k_j x_{i + c - j},    c = floor(taps/2) along each axis

    The same as ``scipy.ndimage.convolve(image, kernel, mode)``; flip the kernel along every axis to correlate.

    Parameters
    ----------
    kernel : array, with as many axes as the image
        Real. A kernel axis of length 1 leaves that axis of the image unchanged: ``kernel[:, :, None]`` blurs
        each channel.
    shape : sequence of int
        Shape of the image, in 1, 2, 3 or more dimensions.
    boundary : "periodic", "zero", "reflect" or "replicate"
        What lies beyond the edge: d c b a | a b c d | d c b a for "reflect" (half-sample, scipy's 'reflect'), the last
        sample for "replicate" (scipy's 'nearest').

    Returns
    -------
    Convolution
        Shape (n, n), n the number of samples, with an adjoint. By FFT: O(n log n) a product.

    Raises
    ------
    InvalidInput
        If the kernel is empty or has another number of axes than the image, or the boundary is unknown.
    InvalidType
        If the kernel is not real.
    NotFinite
        If the kernel holds NaN or infinity.

    Examples
    --------
    >>> import surefoot as sf
    >>> A = sf.operators.convolution([-1, 2, -1], [4], "zero")
    >>> A.matvec([1.0, 1.0, 1.0, 1.0]).round(12).tolist()
    [1.0, 0.0, 0.0, 1.0]
    >>> print(sf.spectra.norm_squared(A))
    13.0902
    """
    size = grid_shape(shape, "shape")
    values = real_array(kernel, "kernel")
    if values.ndim != len(size) or values.size == 0:
        raise InvalidInput(
            f"kernel must have an axis for each of the image's, none of them empty; got kernel shape {values.shape} "
            f"for image shape {size}; add axes of length 1, as in kernel[:, :, None]"
        )
    if not np.isfinite(values).all():
        raise NotFinite("kernel holds NaN or infinity")
    return Convolution(values.copy(), size, boundary)


def grid_shape(shape: Sequence[int], name: str) -> tuple[int, ...]:
    """The shape of a grid as a tuple of positive ints."""
    sizes = np.asarray(shape)
    # a float array passes the type hint of a sequence of ints
    if not sizes.size or sizes.dtype.kind not in "ui" or sizes.min() < 1:
        raise InvalidInput(f"{name} must hold positive whole numbers, one for each axis; got {shape!r}")
    return tuple(sizes.tolist())


def wrap(kernel: Array, axis: int, length: int) -> Array:
    """The kernel on a circle of `length` samples along an axis: taps that far apart are added, the rest is zero."""
    rows = np.moveaxis(kernel, axis, 0)
    rows = np.concatenate([rows, np.zeros((-len(rows) % length, *rows.shape[1:]))])
    return np.moveaxis(rows.reshape(-1, length, *rows.shape[1:]).sum(axis=0), 0, axis)


def _is_symmetric(kernel: Array, boundary: str) -> bool:
    """Whether the kernel proves that the map is symmetric."""
    if any(taps % 2 == 0 for taps in kernel.shape):
        return False
    if boundary == "reflect":
        return all(_close(kernel, np.flip(kernel, axis)) for axis in range(kernel.ndim))
    return boundary != "replicate" and _close(kernel, np.flip(kernel))


def _close(first: Array, second: Array) -> bool:
    """Whether two arrays are equal up to rounding, since kernels are usually computed."""
    return bool(np.abs(first - second).max() <= 8 * np.finfo(np.float64).eps * np.abs(first).max())
