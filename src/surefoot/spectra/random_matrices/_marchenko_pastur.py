"""Eigenvalues of large random matrices: the laws of Marchenko and Pastur and of Wigner, their edges and outliers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.checks import Positive, Range, checked, real_array
from surefoot.errors import InvalidInput
from surefoot.spectra.types import Bounds, Spectrum

# Mean and standard deviation of the real Tracy-Widom law (Tracy, Widom 1996; digits from Bornemann 2010).
TRACY_WIDOM = -1.2065335745820, 1.2679807
# Halvings that reduce a bracket of angles to rounding.
BISECTIONS = 60

Reals = NDArray[np.float64]


@checked
@dataclass(frozen=True, slots=True)
class MarchenkoPastur:
    """Eigenvalues of X'X/n for a large n x p matrix X of independent entries, p/n = ratio.

        rho(x) = sqrt((b - x)(x - a)) / (2 pi s^2 g x),    a, b = s^2 (1 -+ sqrt g)^2

    and, for g > 1, an atom of mass 1 - 1/g at 0. (Marchenko, Pastur 1967.)

    Parameters
    ----------
    ratio : float
        g = p/n, positive: features per sample.
    variance : float
        s^2, of an entry of X.

    Raises
    ------
    InvalidInput
        If one is not positive and finite.

    Examples
    --------
    >>> from surefoot.spectra.random_matrices._marchenko_pastur import MarchenkoPastur
    >>> law = MarchenkoPastur(0.25)
    >>> law.support
    (0.25, 2.25)
    >>> round(float(law.quantile(0.5)), 4), law.spike(4.0)
    (0.916, 4.333333333333333)
    """

    ratio: Positive
    variance: Positive = 1.0

    @property
    def support(self) -> tuple[float, float]:
        """The two edges of the continuous part."""
        root = math.sqrt(self.ratio)
        return self.variance * (1 - root) ** 2, self.variance * (1 + root) ** 2

    @property
    def atom(self) -> float:
        """The mass at 0."""
        return max(0.0, 1 - 1 / self.ratio)

    def curvature(self) -> Spectrum:
        """The edges as a spectrum for `limits`: those of a large matrix, an *estimate* for any one matrix.

        The smallest is 0 for more features than samples. `largest` says how far one matrix departs from the edge.
        """
        low, high = self.support
        return _predicted(0.0 if self.atom else low, high, "the law of Marchenko and Pastur")

    def density(self, x: ArrayLike) -> Reals:
        """The continuous part's density at x, of any shape; 0 outside its support."""
        at = real_array(x, "x")
        low, high = self.support
        inside = (at > low) & (at < high)
        value = np.where(inside, at, 1.0)
        square = np.where(inside, (high - at) * (at - low), 0.0)
        return np.sqrt(square) / (2 * np.pi * self.variance * self.ratio * value)

    def cdf(self, x: ArrayLike) -> Reals:
        """The share of eigenvalues <= x, the atom included; closed form, with x = c + h cos(angle)."""
        at = real_array(x, "x")
        low, high = self.support
        centre, half = (low + high) / 2, (high - low) / 2
        angle = np.arccos(np.clip((at - centre) / half, -1.0, 1.0))
        return np.where(at < 0, 0.0, self.atom + self._mass_beyond(angle))

    def quantile(self, q: ArrayLike) -> Reals:
        """The x with cdf(x) = q, of q's shape.

        Raises
        ------
        InvalidInput
            If q leaves [0, 1].
        """
        share = _shares(q)
        low, high = self.support
        # bisection in the angle, in which the share is smooth up to both edges; it falls as the angle grows
        angle = _turning_point(lambda angle: self.atom + self._mass_beyond(angle) > share, 0.0, np.pi, share)
        values = (low + high) / 2 + (high - low) / 2 * np.cos(angle)
        return np.where(share < self.atom, 0.0, values)

    def moment(self, order: int) -> float:
        """The mean of x^order: s^(2k) sum_r g^r C(k, r) C(k-1, r) / (r + 1)."""
        terms = (self.ratio**r * math.comb(order, r) * math.comb(order - 1, r) / (r + 1) for r in range(max(order, 1)))
        return 1.0 if order == 0 else self.variance**order * math.fsum(terms)

    def spike(self, population: float) -> float:
        """The sample eigenvalue that belongs to an outlying eigenvalue of the population covariance.

            l -> l (1 + g s^2/(l - s^2)) for l > s^2 (1 + sqrt g), else the upper edge

        (Baik, Ben Arous, Peche 2005; Baik, Silverstein 2006.)

        Parameters
        ----------
        population : float
            l; the other eigenvalues are s^2.
        """
        if population <= self.variance * (1 + math.sqrt(self.ratio)):
            return self.support[1]
        return population * (1 + self.ratio * self.variance / (population - self.variance))

    def largest(self, samples: int) -> tuple[float, float]:
        """Mean and standard deviation of the largest eigenvalue for n samples, from the Tracy-Widom law.

            (sqrt(n-1) + sqrt p)^2 + (sqrt(n-1) + sqrt p)(1/sqrt(n-1) + 1/sqrt p)^(1/3) TW, over n / s^2

        (Johnstone 2001, real Gaussian entries; others in the limit.)

        Parameters
        ----------
        samples : int
            n; p = ratio * n is rounded.

        Raises
        ------
        InvalidInput
            If there are fewer than two samples, or they make no feature.
        """
        features = round(self.ratio * samples)
        if samples < 2 or features < 1:
            raise InvalidInput(f"samples must be at least 2 and make a feature; got {samples}, ratio {self.ratio:g}")
        a, b = math.sqrt(samples - 1), math.sqrt(features)
        scale = (a + b) * (1 / a + 1 / b) ** (1 / 3)
        unit = self.variance / samples
        return unit * ((a + b) ** 2 + TRACY_WIDOM[0] * scale), unit * TRACY_WIDOM[1] * scale

    def _mass_beyond(self, angle: Any) -> Reals:
        """The mass of the continuous part between the lower edge (angle pi) and the point at the angle."""
        low, high = self.support
        centre, half = (low + high) / 2, (high - low) / 2
        root = math.sqrt(low * high)
        # the antiderivative of sin^2/(c + h cos) at pi and at the angle; arctan2, since tan(pi/2) is infinite
        turn = np.arctan2(math.sqrt(low) * np.sin(angle / 2), math.sqrt(high) * np.cos(angle / 2))
        lower_end = centre * np.pi - root * np.pi
        here = centre * angle - half * np.sin(angle) - 2 * root * turn
        return (lower_end - here) / (2 * np.pi * self.variance * self.ratio)


@checked
@dataclass(frozen=True, slots=True)
class Wigner:
    """Eigenvalues of a large symmetric matrix of independent entries with variance s^2/n.

        rho(x) = sqrt(4 s^2 - x^2) / (2 pi s^2),    |x| <= 2s

    The semicircle law (Wigner 1958).

    Parameters
    ----------
    variance : float
        s^2: n times the variance of an entry off the diagonal.

    Raises
    ------
    InvalidInput
        If it is not positive and finite.

    Examples
    --------
    >>> from surefoot.spectra import Wigner
    >>> law = Wigner(variance=0.25)
    >>> law.support, law.moment(2)
    ((-1.0, 1.0), 0.25)
    """

    variance: Positive = 1.0

    @property
    def support(self) -> tuple[float, float]:
        """The two edges."""
        radius = 2 * math.sqrt(self.variance)
        return -radius, radius

    def curvature(self) -> Spectrum:
        """The edges as a spectrum for `limits`: those of a large matrix, an *estimate* for any one matrix."""
        return _predicted(*self.support, "the semicircle law")

    def density(self, x: ArrayLike) -> Reals:
        """The density at x, of any shape; 0 outside the support."""
        at = real_array(x, "x")
        return np.sqrt(np.maximum(4 * self.variance - at**2, 0.0)) / (2 * np.pi * self.variance)

    def cdf(self, x: ArrayLike) -> Reals:
        """The share of eigenvalues <= x."""
        angle = np.arcsin(np.clip(real_array(x, "x") / self.support[1], -1.0, 1.0))
        return 0.5 + (angle + np.sin(angle) * np.cos(angle)) / np.pi

    def quantile(self, q: ArrayLike) -> Reals:
        """The x with cdf(x) = q, of q's shape.

        Raises
        ------
        InvalidInput
            If q leaves [0, 1].
        """
        share = _shares(q)

        def below(angle: Reals) -> Any:
            return 0.5 + (angle + np.sin(angle) * np.cos(angle)) / np.pi < share

        return self.support[1] * np.sin(_turning_point(below, -np.pi / 2, np.pi / 2, share))

    def moment(self, order: int) -> float:
        """The mean of x^order: the Catalan number of order/2 times s^order, 0 for odd orders."""
        k = order // 2
        return 0.0 if order % 2 else self.variance**k * math.comb(2 * k, k) / (k + 1)

    def spike(self, population: float) -> float:
        """The eigenvalue that adding a rank-one matrix l vv' causes: l + s^2/l for l > s, else the upper edge.

        (Feral, Peche 2007.)
        """
        deviation = math.sqrt(self.variance)
        return population + self.variance / population if population > deviation else self.support[1]

    @checked
    def largest(self, size: Annotated[int, Range("[2, inf)")]) -> tuple[float, float]:
        """Mean and standard deviation of the largest eigenvalue of a matrix of size n: s (2 + n^(-2/3) TW).

        (Tracy, Widom 1996; Gaussian orthogonal ensemble, others in the limit.)

        Raises
        ------
        InvalidInput
            If the size is less than 2.
        """
        deviation, scale = math.sqrt(self.variance), size ** (-2 / 3)
        return deviation * (2 + TRACY_WIDOM[0] * scale), deviation * TRACY_WIDOM[1] * scale


def _predicted(smallest: float, largest: float, law: str) -> Spectrum:
    return Spectrum(
        kind="curvature",
        largest=Bounds(largest, largest, "estimate", "estimate"),
        smallest=Bounds(smallest, smallest, "estimate", "estimate"),
        size=0,
        provenance="predicted",
        note=f"{law}, in the limit of a large matrix",
    )


def _turning_point(holds: Callable[[Reals], Any], low: float, high: float, like: Reals) -> Reals:
    """The angles up to which a condition holds, entry by entry, by bisection."""
    left, right = np.full_like(like, low), np.full_like(like, high)
    for _ in range(BISECTIONS):
        middle = (left + right) / 2
        beyond = holds(middle)
        left, right = np.where(beyond, middle, left), np.where(beyond, right, middle)
    return (left + right) / 2


def _shares(q: ArrayLike) -> Reals:
    share = real_array(q, "q")
    if not ((share >= 0) & (share <= 1)).all():
        raise InvalidInput("q must lie in [0, 1]: it is a share of the eigenvalues")
    return share
