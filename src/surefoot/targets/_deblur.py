"""A photograph to deblur: scikit-image's camera, or an image of your own."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.errors import InvalidInput, MissingExtra
from surefoot.operators import Array, convolution
from surefoot.problems import Deblurring, discrepancy
from surefoot.targets._problem import ProblemTarget

__all__ = ["DeblurTarget", "deblur_target", "gaussian_kernel", "write_png"]

# The kernel is cut off at so many standard deviations.
REACH = 4
WHITE = 255.0


class DeblurTarget(ProblemTarget):
    """A `Deblurring` with a name, a stopping rule and, where it is known, the truth.

    Parameters
    ----------
    problem : Deblurring
    name : str
    truth : array of the image's shape, or None
        What a perfect run would find, in [0, 1].
    rng : int
    """

    def __init__(self, problem: Deblurring, name: str, truth: Array | None = None, rng: int = 0) -> None:
        super().__init__(problem, rng=rng)
        self.deblurring = problem
        self.truth = truth
        self.enough = discrepancy(problem)
        self._name = name

    @property
    def name(self) -> str:
        """The name it was given."""
        return self._name

    def describe(self) -> Mapping[str, str]:
        """What is known of the image too: its size, its noise and how far it is from the truth."""
        noise = f"{self.deblurring.noise:.4g} ({self.deblurring.noise_is})"
        facts = {**super().describe(), "image": " x ".join(map(str, self.deblurring.shape)), "noise": noise}
        return facts if self.truth is None else facts | {"PSNR": f"{self.psnr(self.deblurring.data):.2f} dB"}

    def psnr(self, x: Array) -> float:
        """Peak signal-to-noise ratio of an iterate in dB, for a peak of 1; nan where the truth is not known."""
        if self.truth is None:
            return math.nan
        error = float(np.mean(np.square(self.deblurring.as_image(x) - self.truth)))
        return -10 * math.log10(error) if error > 0 else math.inf


def deblur_target(
    image: str | Path | None = None, *, sigma: float = 3.0, noise: float = 0.01, rng: int = 0
) -> DeblurTarget:
    """A blurred photograph: the built-in ``deblur``.

    Without an image scikit-image's camera, 512 x 512, is blurred by a Gaussian (zero boundary) and noise is added, so
    that the truth is known. An image of yours is taken as it is, blurred and noisy, with a reflecting boundary.

    Parameters
    ----------
    image : path, optional
        A PNG, JPEG or TIFF file, in grey or colour; scaled to [0, 1].
    sigma : float
        Standard deviation of the Gaussian, in pixels.
    noise : float
        Of the camera: standard deviation of the noise, of a white of 1. That of an image of yours is estimated.
    rng : int
        Seed of the noise.

    Returns
    -------
    DeblurTarget

    Raises
    ------
    InvalidInput
        If the file cannot be read as an image, or a number is out of range.
    MissingExtra
        If scikit-image is not installed.
    """
    kernel = gaussian_kernel(sigma)
    if image is not None:
        observed = _read(Path(image))
        return DeblurTarget(Deblurring(observed, kernel), f"deblur, {Path(image).name}, sigma {sigma:g}", rng=rng)
    if not 0 <= noise < math.inf:
        raise InvalidInput(f"noise must be finite and >= 0; got {noise!r}")
    truth = np.asarray(_library("skimage.data").camera(), dtype=np.float64) / WHITE
    observed = convolution(kernel, truth.shape, "zero").matvec(truth.ravel()).reshape(truth.shape)
    observed += noise * np.random.default_rng(rng).standard_normal(truth.shape)
    problem = Deblurring(observed, kernel, "zero", noise=noise)
    return DeblurTarget(problem, f"deblur, camera, sigma {sigma:g}, noise {noise:g}", truth, rng)


def gaussian_kernel(sigma: float) -> Array:
    """A Gaussian point spread function with sum 1, cut off at 4 sigma; shape (taps, taps).

    Raises
    ------
    InvalidInput
        If sigma is not positive and finite.
    """
    if not 0 < sigma < math.inf:
        raise InvalidInput(f"sigma must be positive and finite; got {sigma!r}")
    radius = math.ceil(REACH * sigma)
    line = np.exp(-np.square(np.arange(-radius, radius + 1) / sigma) / 2)
    line /= line.sum()
    return np.outer(line, line)


def write_png(path: str | Path, image: Array) -> None:
    """Write an image with values in [0, 1] as PNG; values outside are clipped.

    Raises
    ------
    InvalidInput
        If the file cannot be written.
    MissingExtra
        If scikit-image is not installed.
    """
    levels = np.round(WHITE * np.clip(image, 0, 1)).astype(np.uint8)
    try:
        _library("PIL.Image").fromarray(levels).save(path, format="PNG")
    except OSError as error:
        raise InvalidInput(
            f"cannot write {path}: {error.strerror or error}; give a path in a folder that exists"
        ) from (error)


def _read(path: Path) -> Array:
    """The grey levels or colours of a file, in [0, 1]."""
    library = _library("PIL.Image")
    try:
        with library.open(path) as picture:
            # palettes and print colours become light; transparency is no light
            levels: Any = np.asarray(picture.convert("RGB") if picture.mode in ("P", "CMYK", "YCbCr") else picture)
    except (OSError, ValueError, SyntaxError) as error:
        raise InvalidInput(f"cannot read {path} as an image: {error}; give a PNG, JPEG or TIFF file") from error
    if levels.ndim == 3 and levels.shape[2] in (2, 4):
        levels = levels[..., :-1]
    top = float(np.iinfo(levels.dtype).max) if levels.dtype.kind in "ui" else 1.0
    return (levels[..., 0] if levels.ndim == 3 and levels.shape[2] == 1 else levels).astype(np.float64) / top


def _library(name: str) -> Any:
    """A module of scikit-image, or of Pillow, which comes with it.

    Raises
    ------
    MissingExtra
        If it is not installed.
    """
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtra("images come with scikit-image, which is not installed; pip install 'surefoot[data]'") from (
            error
        )
