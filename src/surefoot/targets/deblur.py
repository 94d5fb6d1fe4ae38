"""A photograph to deblur: scikit-image's camera, or an image of your own."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from surefoot.errors import InvalidInput, MissingExtra
from surefoot.operators import Array, convolution
from surefoot.problems import Deblurring, discrepancy, noise_level
from surefoot.targets._problem import ProblemTarget
from surefoot.targets.images import COLOURS, WHITE, depth_of, read_image, shrink

__all__ = ["DeblurTarget", "deblur_target", "gaussian_kernel"]

# Standard deviations at which the kernel is cut off: beyond 4 a Gaussian is below 0.04% of its peak.
REACH = 4
# By convention: visible, and less than the blur.
CAMERA_NOISE = 0.01
# Endings of files whose compression leaves out the finest detail, and the noise with it.
JPEG = (".jpg", ".jpeg")
# Smaller images are not halved to estimate their noise.
SMALLEST_HALVED = 16


class DeblurTarget(ProblemTarget):
    """A `Deblurring` with a name, a stopping rule and, where it is known, the truth.

    Runs end by the discrepancy principle, `enough`; races by the loss there, `goal`.

    Parameters
    ----------
    problem : Deblurring
    name : str
    truth : array of the image's shape, or None
        What a perfect run would find, in [0, 1].
    rng : int
    depth : int
        Bits of each level that the image came with, 8 or 16: what is written has as many.
    """

    def __init__(
        self, problem: Deblurring, name: str, truth: Array | None = None, rng: int = 0, depth: int = 8
    ) -> None:
        super().__init__(problem, rng=rng, name=name)
        self.depth = depth
        self.deblurring = problem
        self.truth = truth
        self.enough = discrepancy(problem)
        self.goal = self.enough.target**2 / 2

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
    image: str | Path | None = None, *, sigma: float = 3.0, noise: float | None = None, rng: int = 0
) -> DeblurTarget:
    """A blurred photograph: the built-in ``deblur``.

    Without an image scikit-image's camera, 512 x 512, is blurred by a Gaussian (zero boundary) and noise is added, so
    that the truth is known. An image of yours is taken as it is, blurred and noisy, with a reflecting boundary.

    Parameters
    ----------
    image : path, optional
        A PNG, JPEG or TIFF file or a .npy array, in grey or colour; see `read_image`.
    sigma : float
        Standard deviation of the Gaussian, in pixels.
    noise : float, optional
        Standard deviation of the noise, of a white of 1: added to the camera (default 0.01), or what an image of yours
        has (default: estimated).
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
    if noise is not None and not 0 <= noise < math.inf:
        raise InvalidInput(f"noise must be finite and >= 0; got {noise!r}")
    picture = _camera() if image is None else read_image(image)
    _check(picture, sigma)
    kernel = gaussian_kernel(sigma)
    if image is not None:
        problem = Deblurring(picture, kernel, noise=_noise_of_jpeg(picture, image) if noise is None else noise)
        problem.noise_is = "estimated" if noise is None else "given"
        name = f"deblur, {Path(image).name}, sigma {sigma:g}"
        return DeblurTarget(problem, name, rng=rng, depth=depth_of(image))
    truth, noise = picture, CAMERA_NOISE if noise is None else noise
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


def _check(observed: Array, sigma: float) -> None:
    """Refuse what no blur of that width can have made.

    Raises
    ------
    InvalidInput
        If the image is constant, or smaller than the blur.
    """
    if np.ptp(observed) == 0:
        raise InvalidInput(f"the image is a constant {observed.flat[0]:.4g}: there is nothing to deblur")
    side = min(observed.shape[:2])
    if REACH * sigma > side:
        raise InvalidInput(
            f"sigma={sigma:g} reaches {REACH * sigma:g} pixels to each side, and the image is {side} wide or high; "
            f"give at most {side / REACH:g}"
        )


def _noise_of_jpeg(observed: Array, path: str | Path) -> float | None:
    """An estimate from an image of half the size, for a file whose finest detail was left out to make it small.

    None for files of other kinds, which have it. What is left at half the size reads high, and stops a run early.
    """
    if Path(path).suffix.lower() not in JPEG or min(observed.shape[:2]) < SMALLEST_HALVED:
        return None
    return 2 * noise_level(shrink(observed, 2), colour=observed.ndim == COLOURS)


def _camera() -> Array:
    """Scikit-image's photograph, shape (512, 512).

    Raises
    ------
    MissingExtra
        If scikit-image is not installed.
    """
    try:
        from skimage.data import camera
    except ImportError as error:
        raise MissingExtra(
            "the photograph comes with scikit-image; pip install '.[data]' in a checkout of Surefoot"
        ) from error
    return np.asarray(camera(), dtype=np.float64) / WHITE
