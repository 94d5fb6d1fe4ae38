"""A function given by callables for its value and gradient."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from surefoot.checks import Count, Positive, checked, real_array
from surefoot.errors import InvalidInput
from surefoot.operators import Array
from surefoot.problems._base import EPS, Problem, compute_once
from surefoot.problems._checks import real_vector
from surefoot.problems.trial_points import attempt
from surefoot.spectra import Bounds, Spectrum, spectrum

# Points of the ball, besides its centre, at which the Hessian's spectrum is measured.
SAMPLES = 8
# Relative accuracy of these measurements: the points differ by more. By convention.
SAMPLE_RTOL = 0.05
# Relative step of the central difference that balances truncation (h^2) and rounding (eps/h).
CUBE_ROOT = EPS ** (1 / 3)
# Relative error of a product by differences, for a function with derivatives of ordinary size.
DIFFERENCE_PRECISION = 1e-7
# Relative steps at which a gradient is compared with differences; a wrong gradient differs at all of them.
PROBES = tuple(10.0**-k for k in range(2, 8))
# The best of these differences is accurate to about 1e-8; noise may leave this much.
GRADIENT_TOLERANCE = 1e-4


@checked
class Function(Problem):
    """A function given by its value and its gradient, whose curvature is estimated by sampling.

        Hv = (g(x + h v) - g(x - h v))/(2 h),    h |v| = eps^(1/3) max(|x|, radius)

    if no Hessian product is given. `curvature` measures the ends of the Hessian's spectrum at the start and at eight
    random points within a distance `radius` of it:

        largest <= max_k + (max_k - median_k),    likewise for the smallest

    Both ends are estimates: between the samples and outside the ball the curvature may be larger. The margin is 0 for a
    quadratic and grows with the differences between the samples.

    Parameters
    ----------
    value : callable
        x of shape (size,) to f(x).
    gradient : callable
        x to the gradient, shape (size,).
    hessian_product : callable, optional
        (x, v) to the Hessian at x times v, shape (size,).
    size : int, optional
        Number of unknowns; that of the start by default. One of the two is needed.
    start : array, shape (size,), optional
        Where runs start and the centre of the ball; zero by default.
    radius : float
        Radius of the ball in which curvature is sampled, unit of x, > 0. The distance that the run will go is a good
        choice.
    convex : bool
        Whether f is known to be convex, so that negative curvature is rounding.
    name : str
        Name of the function.
    rng : int or numpy Generator
        Draws the samples.

    Raises
    ------
    InvalidInput
        If neither size nor start is given, they do not agree, or the radius is not positive and finite.
    InvalidType
        If value, gradient or hessian_product cannot be called.

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.problems._function import Function
    >>> f = Function(lambda x: np.cosh(x).sum(), np.sinh, start=[0.0, 0.0], radius=0.5, name="cosh")
    >>> f.check_gradient() < 1e-6
    True
    >>> spec = f.curvature()
    >>> spec.scope, spec.largest.upper_is, spec.region
    ('local', 'estimate', 'about within 0.5 of the start, by 9 samples; what f does elsewhere is not known')
    >>> 1 < spec.largest.upper < 1.1 * float(np.cosh(0.5))
    True
    """

    def __init__(
        self,
        value: Callable[[Array], Any],
        gradient: Callable[[Array], Any],
        hessian_product: Callable[[Array, Array], Any] | None = None,
        *,
        size: Count | None = None,
        start: Any = None,
        radius: Positive = 1.0,
        convex: bool = False,
        name: str = "function",
        rng: int | np.random.Generator = 0,
    ) -> None:
        if size is None and start is None:
            raise InvalidInput("the number of unknowns is not known; give size or start")
        size = np.size(start) if size is None else size
        if size < 1:
            raise InvalidInput("start must have at least one entry")
        self._start = np.zeros(size) if start is None else real_vector(start, size, "start")
        self._value, self._gradient, self._product = value, gradient, hessian_product
        self._radius = float(radius)
        self._convex = bool(convex)
        self._name = name
        self._rng = rng

    @property
    def name(self) -> str:
        """The name as given, with the number of unknowns."""
        return f"{self._name}, {self.size} unknowns"

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return self._start.size

    @property
    def convex(self) -> bool:
        """Whether f is convex, as given."""
        return self._convex

    def start(self) -> Array:
        """The start as given, else zero."""
        return self._start.copy()

    def value(self, x: Array) -> float:
        """f(x)."""
        return float(self._value(self.checked(x)))

    def gradient(self, x: Array) -> Array:
        """The gradient at x, shape (size,).

        Raises
        ------
        InvalidInput
            If the function given returns another shape.
        """
        return self._check_shape(self._gradient(self.checked(x)), "gradient")

    @property
    def has_products(self) -> bool:
        """Whether a Hessian product was given."""
        return self._product is not None

    def hessian_product(self, x: Array, v: Array) -> Array:
        """The Hessian at x times v, by the function given or by two gradients.

        Raises
        ------
        InvalidInput
            If the function given returns another shape.
        """
        x, v = self.checked(x), self.checked(v, "v")
        if self._product is not None:
            return self._check_shape(self._product(x, v), "hessian_product")
        length = float(np.linalg.norm(v))
        if length == 0:
            return np.zeros(self.size)
        h = CUBE_ROOT * max(float(np.linalg.norm(x)), self._radius) / length
        return (self.gradient(x + h * v) - self.gradient(x - h * v)) / (2 * h)

    @property
    def _precision(self) -> float:
        return EPS if self._product is not None else DIFFERENCE_PRECISION

    @compute_once
    def curvature(self) -> Spectrum:
        """A local estimate from samples around the start, computed once."""
        generator = np.random.default_rng(self._rng)
        points = [self._start, *(_within(generator, self._start, self._radius) for _ in range(SAMPLES))]
        spectra = [spectrum(self.hessian(self._start), rtol=SAMPLE_RTOL)]
        # a random point may lie outside the domain, where f raises: it is left out
        tried = [attempt(lambda x=x: spectrum(self.hessian(x), rtol=SAMPLE_RTOL)) for x in points[1:]]
        spectra += [each for each in tried if each is not None]
        missing = len(points) - len(spectra)
        low, high = np.array([s.smallest.lower for s in spectra]), np.array([s.largest.upper for s in spectra])
        bottom, top = min(s.smallest.upper for s in spectra), max(s.largest.lower for s in spectra)
        lowest = 2 * float(low.min()) - float(np.median(low))
        if self._convex:
            lowest, bottom = max(lowest, 0.0), max(bottom, 0.0)
        return replace(
            spectra[0],
            largest=Bounds(top, 2 * float(high.max()) - float(np.median(high)), "estimate", "estimate"),
            smallest=Bounds(min(lowest, bottom), bottom, "estimate", "estimate"),
            provenance="measured",
            scope="local",
            products=sum(s.products for s in spectra),
            points=None,
            note="" if self._product is not None else "Hessian products by differences of gradients",
            region=f"about within {self._radius:g} of the start, by {len(spectra)} samples"
            + (f" ({missing} more lay where f raises); " if missing else "; ")
            + "what f does elsewhere is not known",
        )

    def check_gradient(self, x: Any = None, *, directions: int = 3, rng: int | np.random.Generator = 0) -> float:
        """Compare the gradient with differences of the value.

            (f(x + h v) - f(x - h v))/(2 h) = <g(x), v>,    v random, |v| = 1

        Parameters
        ----------
        x : array, shape (size,), optional
            Point of the comparison; a random point within the radius of the start by default.
        directions : int
            Number of directions v.
        rng : int or numpy Generator

        Returns
        -------
        float
            The largest error over the directions, each at its best h, relative to |g|/sqrt(size).

        Raises
        ------
        InvalidInput
            If it exceeds 1e-4: the gradient is wrong, or x is at a kink.
        """
        generator = np.random.default_rng(rng)
        x = _within(generator, self._start, self._radius) if x is None else self.checked(x)
        gradient = self.gradient(x)
        worst = 0.0
        for _ in range(directions):
            v = _unit(generator, self.size)
            slope = float(gradient @ v)
            seen = [self._difference(x, v, relative * self._radius) for relative in PROBES]
            scale = float(np.linalg.norm(gradient)) / self.size**0.5 + abs(slope)
            nearest = min(seen, key=lambda d: abs(d - slope))
            error = abs(nearest - slope) / max(scale, abs(nearest), np.finfo(float).tiny)
            if not error <= GRADIENT_TOLERANCE:
                raise InvalidInput(
                    f"gradient: along a random direction it is {slope:.6g} where differences of the value give "
                    f"{nearest:.6g}; fix the gradient, or check where f has no kink"
                )
            worst = max(worst, error)
        return worst

    def _difference(self, x: Array, v: Array, h: float) -> float:
        return (self.value(x + h * v) - self.value(x - h * v)) / (2 * h)

    def _check_shape(self, result: Any, role: str) -> Array:
        vector = real_array(result, f"what {role} returns")
        if vector.shape != (self.size,):
            raise InvalidInput(f"{role} must return shape ({self.size},); it returned {vector.shape}")
        return vector


def _unit(generator: np.random.Generator, size: int) -> Array:
    v = generator.standard_normal(size)
    return v / np.linalg.norm(v)


def _within(generator: np.random.Generator, centre: Array, radius: float) -> Array:
    """A point at a uniform distance up to the radius, in a random direction."""
    return centre + radius * generator.uniform() * _unit(generator, centre.size)
