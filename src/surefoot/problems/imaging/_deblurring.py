"""Deblurring of images: least squares with a convolution that is never formed."""

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from surefoot.checks import Nonnegative, checked, real_array
from surefoot.errors import InvalidInput, NotFinite
from surefoot.operators import Array, Convolution, Operator, convolution, gram, shifted
from surefoot.operators.convolution import Boundary
from surefoot.problems._base import Problem, compute_once, overflow_is_a_value
from surefoot.problems.imaging._stopping import noise_level
from surefoot.spectra import Spectrum, spectrum

# Relative accuracy to which the norm is certified if there is no closed form. By convention.
RTOL = 1e-3


@checked
class Deblurring(Problem):
    """Half the squared distance of a blurred image from the one observed, with a ridge (Tikhonov).

        f(x) = |A x - b|^2/2 + (ridge/2) |x|^2,    H = A'A + ridge I,    A x = kernel * x

    A sum over the samples, not a mean: L = |A|^2 + ridge is about 1 for a blur that keeps the mean, and costs nothing
    if `surefoot.spectra.norm_squared` has a closed form. Without a ridge the smallest curvature is nearly 0 and a long
    run amplifies noise: stop it by `discrepancy`.

    Parameters
    ----------
    image : array, shape (N_1, ..., N_d) or, in colour, (N_1, ..., N_d, channels)
        The observed image b. Any real type; converted to float64.
    kernel : array with d axes
        The point spread function; an image with one axis more is in colour, and all channels are blurred alike.
    boundary : "periodic", "zero", "reflect" or "replicate"
        What lies beyond the edge; see `surefoot.operators.convolution`.
    noise : float, optional
        Standard deviation of the noise in each sample; estimated by `noise_level` if it is not given.
    ridge : float
        Nonnegative; unit of the curvature.

    Raises
    ------
    InvalidInput
        If the axes of image and kernel do not fit, one is empty, or a number is out of range.
    InvalidType
        If the image or the kernel is not real.
    NotFinite
        If either holds NaN or infinity.

    Examples
    --------
    >>> import numpy as np
    >>> import surefoot as sf
    >>> problem = sf.problems.Deblurring(np.eye(8), np.full((3, 3), 1 / 9), "zero", noise=0.01, ridge=1e-3)
    >>> problem.name
    'deblurring, 8 x 8, zero boundary, ridge 0.001'
    >>> round(sf.limits(problem).safe, 6)
    1.176995
    """

    def __init__(
        self,
        image: Any,
        kernel: Any,
        boundary: Boundary = "reflect",
        *,
        noise: Nonnegative | None = None,
        ridge: Nonnegative = 0.0,
    ) -> None:
        observed = _real_image(image)
        blur = real_array(kernel, "kernel")
        self.colour = observed.ndim == blur.ndim + 1
        self.operator: Convolution = convolution(blur[..., None] if self.colour else blur, observed.shape, boundary)
        self.shape = observed.shape
        self.data: Array = observed.ravel()
        self.ridge = ridge
        self.noise_is = "estimated" if noise is None else "given"
        self._given = noise
        self._last: tuple[Array, float] | None = None

    @property
    def name(self) -> str:
        """``deblurring`` with the image's shape, boundary and ridge."""
        size = " x ".join(map(str, self.shape))
        ridge = f", ridge {self.ridge:g}" if self.ridge else ""
        return f"deblurring, {size}, {self.operator.boundary} boundary{ridge}"

    @property
    def size(self) -> int:
        """Number of samples, all channels together."""
        return self.data.size

    @property
    def loss_is(self) -> str:
        """The sum of half squares."""
        return f"the sum of r^2/2 over {self.size} samples (multiply the step by {self.size} for the mean)"

    @property
    def convex(self) -> bool:
        """True."""
        return True

    @property
    def constant_curvature(self) -> bool:
        """True."""
        return True

    @property
    def noise(self) -> float:
        """Standard deviation of the noise in each sample: the one given, else the estimate."""
        return self._estimate if self._given is None else self._given

    @cached_property
    def _estimate(self) -> float:
        return noise_level(self.as_image(self.data), colour=self.colour)

    def start(self) -> Array:
        """The observed image, flattened."""
        return self.data.copy()

    def as_image(self, x: Array) -> Array:
        """The unknowns in the shape of the image."""
        return np.asarray(x).reshape(self.shape)

    def value(self, x: Array) -> float:
        """f(x): one product with A."""
        x = self.checked(x)
        return self._value(x, self._residual(x))

    def gradient(self, x: Array) -> Array:
        """A'(A x - b) + ridge x: one product with A and one with A'."""
        return self.value_and_gradient(x)[1]

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Both, from one product with A and one with A'."""
        x = self.checked(x)
        residual = self._residual(x)
        return self._value(x, residual), self.operator.rmatvec(residual) + self.ridge * x

    def hessian_product(self, x: Array, v: Array) -> Array:
        """A'A v + ridge v, the same at every x."""
        self.checked(x)
        v = self.checked(v, "v")
        return self.operator.rmatvec(self.operator.matvec(v)) + self.ridge * v

    def hessian(self, x: Array) -> Operator:
        """A'A + ridge I as an operator, the same at every x."""
        self.checked(x)
        return shifted(gram(self.operator), self.ridge)

    def residual_norm(self, x: Array) -> float:
        """|A x - b|; kept from the last value or gradient, so that a callback costs nothing."""
        x = self.checked(x)
        if self._last is not None and np.array_equal(self._last[0], x):
            return self._last[1]
        self._residual(x)
        return self.residual_norm(x)

    @compute_once
    def curvature(self) -> Spectrum:
        """The ends of A'A + ridge I, computed once: in closed form if there is one, else to 0.1%."""
        base = spectrum(gram(self.operator), which="largest", rtol=RTOL)
        formula = "eigenvalues of A'A + ridge" if self.ridge else "eigenvalues of A'A"
        return replace(base.shifted(self.ridge), note=f"{formula}; {base.note}".rstrip("; "))

    @overflow_is_a_value
    def _residual(self, x: Array) -> Array:
        residual = self.operator.matvec(x) - self.data
        self._last = (x, float(np.linalg.norm(residual)))
        return residual

    @overflow_is_a_value
    def _value(self, x: Array, residual: Array) -> float:
        return 0.5 * float(residual @ residual) + 0.5 * self.ridge * float(x @ x)


def _real_image(image: Any) -> Array:
    """The image in float64.

    Raises
    ------
    InvalidInput
        If it cannot be read as an array, or is empty.
    InvalidType
        If it is not real.
    NotFinite
        If it holds NaN or infinity.
    """
    values = real_array(image, "image")
    if values.size == 0 or values.ndim == 0:
        raise InvalidInput(f"image must have at least one axis and one sample; got shape {values.shape}")
    if not np.isfinite(values).all():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        raise NotFinite(f"image has {bad} NaN or infinite samples of {values.size}; replace them by their neighbours")
    return values.copy()
