"""How noisy gradients are: the variance of one sample's, the noise scale, and what is known of both."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from surefoot.errors import InvalidInput
from surefoot.operators import Array
from surefoot.rules._student import student_quantile
from surefoot.spectra import Bounds

__all__ = ["LEAST_GROUPS", "Deviations", "GradientNoise", "estimated", "exact"]

# Leaving one group out must leave two to take a variance of.
LEAST_GROUPS = 3
BOUNDS = ("variance_bounds", "square_bounds", "scale_bounds", "curvature_scale_bounds")


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientNoise:
    """The noise of gradients at one point.

        g_i = G + noise of covariance Sigma,    a batch of B: covariance Sigma/B

    Parameters
    ----------
    variance : float
        tr(Sigma), the variance of the gradient of one sample; unit gradient^2.
    square : float
        |G|^2, without the part that noise adds to it: an unbiased estimate, which may be negative.
    scale : float or None
        B_simple = tr(Sigma)/|G|^2, in samples: at this batch size noise and signal are equal. None where |G|^2 cannot
        be told from 0: `scale_bounds` then has a lower end only.
    curvature_scale : float or None
        B_noise = tr(H Sigma)/(G'HG), in samples; None where it was not asked for or cannot be told.
    variance_bounds, square_bounds, scale_bounds, curvature_scale_bounds : Bounds
        At the level 1 - `failure`, an *estimate*: by leaving groups out one by one. One number each where `samples` are
        all there are. The last is None where it was not asked for.
    samples : float
    groups : int
        Independent gradients that went into it: of single samples, or of mini-batches.
    source : str
        What they were.
    gradients : int
        Cost, in gradients of the mean loss over the samples.
    note : str
        What a reader should know; empty for nothing.
    """

    variance: float
    variance_bounds: Bounds
    square: float
    square_bounds: Bounds
    scale: float | None
    scale_bounds: Bounds
    curvature_scale: float | None
    curvature_scale_bounds: Bounds | None
    samples: float
    groups: int
    source: str
    gradients: int
    note: str = ""

    def diffusion(self, rate: float, batch: float, *, of: float | None = None) -> float:
        """The trace of the covariance of one SGD step x <- x - rate g_B; its mean is -rate G.

            rate^2 tr(Sigma)/B;    without replacement from n samples, times (n - B)/(n - 1)

        Parameters
        ----------
        rate : float
        batch : float
            B, samples.
        of : float, optional
            n, where batches are drawn without replacement; Sigma is then that of the n samples.

        Returns
        -------
        float
            Unit x^2.

        Raises
        ------
        InvalidInput
            If a number is out of range.
        """
        if not 0 <= rate < math.inf or not batch >= 1:
            raise InvalidInput(f"needs a finite rate >= 0 and a batch >= 1; got {rate!r} and {batch!r}")
        return rate * rate * self.variance / batch * left_over(batch, of)

    def progress(self, batch: float) -> float:
        """The best decrease of a step with batches of this size, over that without noise.

            1/(1 + scale/B)

        (McCandlish et al. 2018, equation 2.7, with B_noise where it is known and else B_simple in its place.)

        Parameters
        ----------
        batch : float
            B, samples.

        Returns
        -------
        float
            In (0, 1]; nan where the scale is not known.

        Raises
        ------
        InvalidInput
            If the batch is smaller than 1.
        """
        if not batch >= 1:
            raise InvalidInput(f"batch must be at least 1; got {batch!r}")
        scale = self.scale if self.curvature_scale is None else self.curvature_scale
        return math.nan if scale is None else 1 / (1 + scale / batch)

    def __str__(self) -> str:
        level = "" if not self.scale_bounds.failure else f", {100 * (1 - self.scale_bounds.failure):g}% intervals"
        lines = [
            f"gradient noise over {self.samples:,.0f} samples ({self.source}{level})",
            f"  variance of one sample  {_shown(self.variance, self.variance_bounds)}",
            f"  |G|^2                   {_shown(self.square, self.square_bounds)}",
            f"  noise scale             {_shown(self.scale, self.scale_bounds)} samples",
        ]
        if self.curvature_scale_bounds is not None:
            lines.append(
                f"  with curvature          {_shown(self.curvature_scale, self.curvature_scale_bounds)} samples"
            )
        if self.note:
            lines.append(f"  {self.note}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        bounds = {name: getattr(self, name) for name in BOUNDS}
        return {**asdict(self), **{name: b if b is None else b.to_dict() for name, b in bounds.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "GradientNoise":
        """The inverse of `to_dict`."""
        values: dict[str, Any] = dict(data)
        for name in BOUNDS:
            values[name] = None if data[name] is None else Bounds.from_dict(data[name])
        return cls(**values)


def left_over(batch: float, of: float | None) -> float:
    """(n - B)/(n - 1), what drawing without replacement leaves of the variance; 1 with replacement.

    Raises
    ------
    InvalidInput
        If the batch is larger than what it is drawn from.
    """
    if of is None:
        return 1.0
    if not batch <= of:
        raise InvalidInput(f"a batch of {batch:g} cannot be drawn without replacement from {of:g} samples")
    return (of - batch) / (of - 1) if of > 1 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviations:
    """Independent gradients g_k, means over n_k samples each, as numbers in some inner product <u, v> = u'Mv.

    Parameters
    ----------
    sizes : array, shape (K,)
        n_k.
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

        Of K equal groups it is the estimator with two batch sizes, n and N (McCandlish et al. 2018, appendix A.1).
        """
        variance = float(self.sizes @ self.squares) / (len(self.sizes) - 1)
        return variance, self.square - variance / float(self.sizes.sum())

    def covariance(self) -> Array:
        """That of the two moments, shape (2, 2), from the K pairs with one group left out (the jackknife)."""
        n, N, K = self.sizes, float(self.sizes.sum()), len(self.sizes)
        rest = N - n
        variances = (float(n @ self.squares) - n * self.squares * N / rest) / (K - 2)
        squares = self.square - 2 * n * self.projections / rest + n * n * self.squares / rest**2
        left = np.stack([variances, squares - variances / rest])
        deviations = left - left.mean(axis=1, keepdims=True)
        return (K - 1) / K * deviations @ deviations.T


def estimated(
    plain: Deviations,
    curved: Deviations | None,
    *,
    failure: float,
    source: str,
    gradients: int,
    note: str = "",
) -> GradientNoise:
    """What independent gradients say of the noise they come from.

    Parameters
    ----------
    plain : Deviations
        In the plain inner product.
    curved : Deviations, optional
        In that of the curvature H.
    failure : float
        1 - the level of the intervals.
    source, gradients, note
        As in `GradientNoise`.

    Raises
    ------
    InvalidInput
        If there are too few of them, or the failure is no probability.
    """
    if not 0 < failure < 1:
        raise InvalidInput(f"confidence must lie strictly between 0 and 1; got {1 - failure!r}")
    groups = len(plain.sizes)
    if groups < LEAST_GROUPS:
        raise InvalidInput(f"noise needs at least {LEAST_GROUPS} independent gradients; got {groups}; give more data")
    t = student_quantile(1 - failure / 2, groups - 1)
    variance, square = plain.moments()
    errors = np.sqrt(np.maximum(np.diag(plain.covariance()), 0.0))
    stretch = math.exp(min(t * float(errors[0]) / variance, 700.0)) if variance > 0 else 1.0
    reach, lift = t * float(errors[1]), _lift(plain, t, float(errors[1]) ** 2)
    scale, scale_bounds = _ratio(plain, t, failure)
    notes = [note]
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
        square_bounds=_bounds(max(square - reach, 0.0), max(square + reach + lift, 0.0), failure),
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
    """The noise of samples that are all there are: each has probability n_k/N, nothing is estimated."""
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
        scale_bounds=_known(scale),
        curvature_scale=curvature_scale,
        curvature_scale_bounds=None if curved is None else _known(curvature_scale),
        samples=float(plain.sizes.sum()),
        groups=len(plain.sizes),
        source=source,
        gradients=gradients,
        note="" if scale is not None else "the gradient is 0: no batch is large enough to tell its direction",
    )


def _ratio(seen: Deviations, t: float, failure: float) -> tuple[float | None, Bounds]:
    """tr/<G, G> with Fieller's interval: all r for which tr - r <G, G> is within t standard errors of 0.

    It is bounded above only if <G, G> is more than t standard errors above 0. The estimate is the ratio of the two, its
    bias removed to first order (Beale 1962).
    """
    (top, bottom), ((v, c), (_, w)) = seen.moments(), seen.covariance().tolist()
    bounded = bottom > 0 and bottom * bottom > t * t * w
    largest = _fieller(top, bottom, v, c, w, t)[1] if bounded else math.inf
    least = _fieller(top, bottom + _lift(seen, t, w), v, c, w, t)[0]
    if not bounded:
        return None, _bounds(least, math.inf, failure)
    estimate = top / bottom * (1 + c / (top * bottom)) / (1 + w / (bottom * bottom)) if top > 0 else 0.0
    return estimate, _bounds(min(least, estimate), max(largest, estimate), failure)


def _fieller(top: float, bottom: float, v: float, c: float, w: float, t: float) -> tuple[float, float]:
    """The ends of {r >= 0: |top - r bottom| <= t sqrt(v - 2 r c + r^2 w)}, widened where it is not an interval."""
    a, half, e = bottom * bottom - t * t * w, top * bottom - t * t * c, top * top - t * t * v
    root = math.sqrt(max(half * half - a * e, 0.0))
    far = (half + root) / a if a > 0 and bottom > 0 else math.inf
    # e > 0: zero is not in the set; one positive root if the bottom may have either sign, none if it is below 0
    near = e / (half + root) if top > 0 and e > 0 and half + root > 0 and (bottom > 0 or a <= 0) else 0.0
    return near, far


def _lift(seen: Deviations, t: float, w: float) -> float:
    """What |g| + t s adds to |g|^2 in second order: a square is skewed where few directions carry the noise."""
    return t * t * w / (4 * seen.square) if seen.square > 0 else 0.0


def _bounds(lower: float, upper: float, failure: float) -> Bounds:
    return Bounds(lower, upper, "estimate", "estimate", failure)


def _quotient(top: float, bottom: float) -> float | None:
    return top / bottom if bottom > 0 else None


def _known(value: float | None) -> Bounds:
    return Bounds(0.0, math.inf, "proved", "proved") if value is None else Bounds.exactly(value)


def _shown(value: float | None, bounds: Bounds) -> str:
    if bounds.lower == bounds.upper:
        return f"{bounds.lower:.4g}"
    if value is None:
        return f"at least {bounds.lower:.4g}"
    return f"{value:.4g} [{bounds.lower:.4g}, {bounds.upper:.4g}]"
