"""Gradient noise from independent gradients: unbiased estimates with intervals, or exact values."""

import math
from dataclasses import dataclass

import numpy as np

from surefoot.errors import InvalidInput
from surefoot.noise._types import GradientNoise
from surefoot.operators import Array
from surefoot.rules.adaptive.student import student_quantile
from surefoot.spectra import Bounds

__all__ = ["LEAST_GROUPS", "Deviations", "estimate", "exact", "jackknife", "unbiased"]

# The jackknife leaves one group out, and a variance needs the two others.
LEAST_GROUPS = 3
# The exponential of more overflows float64.
LARGEST_EXPONENT = 700.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviations:
    """Independent gradients g_k, means over n_k samples each, as numbers in some inner product <u, v> = u'Mv.

    Parameters
    ----------
    sizes : array, shape (K,)
        Samples n_k of each gradient.
    squares, projections : array, shape (K,)
        <d_k, d_k> and <d_k, G>, d_k = g_k - G, G the mean of all, so sum n_k d_k = 0.
    square : float
        <G, G>.
    """

    sizes: Array
    squares: Array
    projections: Array
    square: float

    def moments(self) -> tuple[float, float]:
        """Unbiased tr(M Sigma) and <G, G>.

            tr = sum_k n_k <d_k, d_k>/(K - 1),    <G, G> - tr/N,    N = sum n_k

        For K equal groups this is the estimator with two batch sizes, n and N (McCandlish et al. 2018, appendix A.1).
        """
        return unbiased(float(self.sizes @ self.squares), self.square, len(self.sizes), float(self.sizes.sum()))

    def left_out(self) -> Array:
        """The two moments with each group left out in turn, shape (2, K)."""
        n, N, K = self.sizes, float(self.sizes.sum()), len(self.sizes)
        rest = N - n
        variances = (float(n @ self.squares) - n * self.squares * N / rest) / (K - 2)
        squares = self.square - 2 * n * self.projections / rest + n * n * self.squares / rest**2
        return np.stack([variances, squares - variances / rest])


def unbiased(scatter: float, square: float, groups: int, samples: float) -> tuple[float, float]:
    """Unbiased tr(Sigma) and |G|^2 from the scatter sum_k n_k |g_k - G|^2 and the observed |G|^2."""
    variance = scatter / (groups - 1)
    return variance, square - variance / samples


def jackknife(left: Array) -> Array:
    """The covariance of m estimates from their values with each group left out, shape (m, K) to (m, m)."""
    deviations = left - left.mean(axis=1, keepdims=True)
    return (1 - 1 / left.shape[1]) * deviations @ deviations.T


def estimate(
    plain: Deviations,
    curved: Deviations | None,
    *,
    failure: float,
    source: str,
    gradients: int,
    note: str = "",
) -> GradientNoise:
    """Estimates of the noise from independent gradients.

    Parameters
    ----------
    plain : Deviations
        The gradients in the plain inner product.
    curved : Deviations, optional
        The gradients in the inner product of the curvature H.
    failure : float
        1 - the level of the intervals, in (0, 1).
    source, gradients, note
        As in `GradientNoise`.

    Raises
    ------
    InvalidInput
        If there are fewer than three gradients.
    """
    groups = len(plain.sizes)
    if groups < LEAST_GROUPS:
        raise InvalidInput(f"noise needs at least {LEAST_GROUPS} independent gradients; got {groups}; give more data")
    t = student_quantile(1 - failure / 2, groups - 1)
    variance, square = plain.moments()
    stretch, w = _stretch(plain, t), float(jackknife(plain.left_out())[1, 1])
    reach = t * math.sqrt(w)
    scale, scale_bounds = _ratio(plain, t, failure)
    notes = [note]
    # Fieller's set is unbounded if the denominator may be 0
    if scale is None:
        notes.append(
            "|G|^2 cannot be told from 0 at this level: no upper end for the noise scale; measure more samples"
        )
    curvature_scale, curvature_scale_bounds = (None, None) if curved is None else _ratio(curved, t, failure)
    if curved is not None and curvature_scale is None:
        notes.append("the curvature along G cannot be told from 0 or is negative: no scale with curvature")
    return GradientNoise(
        variance=variance,
        variance_bounds=_bounds(variance / stretch, variance * stretch, failure),
        square=square,
        square_bounds=_bounds(max(square - reach, 0.0), max(square + reach + _lift(plain, t, w), 0.0), failure),
        scale=scale,
        scale_bounds=scale_bounds,
        curvature_scale=curvature_scale,
        curvature_scale_bounds=curvature_scale_bounds,
        samples=float(plain.sizes.sum()),
        groups=groups,
        source=source,
        gradients=gradients,
        note="; ".join(text for text in notes if text),
    )


def exact(plain: Deviations, curved: Deviations | None, *, source: str, gradients: int) -> GradientNoise:
    """The noise of a whole population: each gradient has probability n_k/N, and nothing is estimated."""
    weights = plain.sizes / plain.sizes.sum()
    variance = float(weights @ plain.squares)
    curvature_scale = None if curved is None else _quotient(float(weights @ curved.squares), curved.square)
    scale = _quotient(variance, plain.square)
    return GradientNoise(
        variance=variance,
        variance_bounds=Bounds.exactly(variance),
        square=plain.square,
        square_bounds=Bounds.exactly(plain.square),
        scale=scale,
        scale_bounds=_bounds_of(scale),
        curvature_scale=curvature_scale,
        curvature_scale_bounds=None if curved is None else _bounds_of(curvature_scale),
        samples=float(plain.sizes.sum()),
        groups=len(plain.sizes),
        source=source,
        gradients=gradients,
        note="" if scale is not None else "the gradient is 0: no batch is large enough to tell its direction",
    )


def _ratio(seen: Deviations, t: float, failure: float) -> tuple[float | None, Bounds]:
    """The ratio tr/<G, G> with Fieller's interval: all r for which tr - r <G, G> is within t standard errors of 0.

    The interval is bounded above only if <G, G> is more than t standard errors above 0. The estimate is the ratio of
    the two, its bias removed to first order (Beale 1962).
    """
    (top, bottom), ((v, c), (_, w)) = seen.moments(), jackknife(seen.left_out()).tolist()
    bounded = bottom > 0 and bottom * bottom > t * t * w
    largest = _fieller(top, bottom, v, c, w, t)[1] if bounded else math.inf
    least = _fieller(top, bottom + _lift(seen, t, w), v, c, w, t)[0]
    if not bounded:
        return None, _bounds(least, math.inf, failure)
    ratio = top / bottom * (1 + c / (top * bottom)) / (1 + w / (bottom * bottom)) if top > 0 else 0.0
    return ratio, _bounds(min(least, ratio), max(largest, ratio), failure)


def _fieller(top: float, bottom: float, v: float, c: float, w: float, t: float) -> tuple[float, float]:
    """The ends of {r >= 0: |top - r bottom| <= t sqrt(v - 2 r c + r^2 w)}, widened where it is not an interval."""
    a, half, e = bottom * bottom - t * t * w, top * bottom - t * t * c, top * top - t * t * v
    root = math.sqrt(max(half * half - a * e, 0.0))
    far = (half + root) / a if a > 0 and bottom > 0 else math.inf
    # for e > 0 zero is not in the set; there is one positive root if the bottom may have either sign, none if it is
    # negative
    near = e / (half + root) if top > 0 and e > 0 and half + root > 0 and (bottom > 0 or a <= 0) else 0.0
    return near, far


def _stretch(seen: Deviations, t: float) -> float:
    """The factor from the variance to each end of its interval: t standard errors of its logarithm."""
    variances = seen.left_out()[:1]
    if not seen.squares.any():
        return 1.0
    # rounding may make the variance of equal gradients negative
    error = math.sqrt(float(jackknife(np.log(variances))[0, 0])) if (variances > 0).all() else math.inf
    return math.exp(min(t * error, LARGEST_EXPONENT))


def _lift(seen: Deviations, t: float, w: float) -> float:
    """The second-order term of (|g| + t s)^2: the square is skewed if few directions carry the noise."""
    return t * t * w / (4 * seen.square) if seen.square > 0 else 0.0


def _bounds(lower: float, upper: float, failure: float) -> Bounds:
    return Bounds(lower, upper, "estimate", "estimate", failure)


def _quotient(top: float, bottom: float) -> float | None:
    return top / bottom if bottom > 0 else None


def _bounds_of(value: float | None) -> Bounds:
    return Bounds(0.0, math.inf, "proved", "proved") if value is None else Bounds.exactly(value)
