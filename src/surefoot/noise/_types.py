"""How noisy gradients are: the variance of one sample's, the noise scale, and what is known of both."""

import math
from dataclasses import dataclass
from typing import Annotated

from surefoot.checks import Nonnegative, Range, checked
from surefoot.errors import InvalidInput
from surefoot.records import Record
from surefoot.spectra import Bounds

Batch = Annotated[float, Range("[1, inf)")]


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientNoise(Record):
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
        Intervals of the level 1 - `failure`, an *estimate*: by leaving groups out one by one. One number each where
        `samples` are all there are. The last is None where it was not asked for.
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

    @checked
    def diffusion(self, rate: Nonnegative, batch: Batch, *, of: float | None = None) -> float:
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
        return rate * rate * self.variance / batch * remainder(batch, of)

    @checked
    def progress(self, batch: Batch) -> float:
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
        scale = self.scale if self.curvature_scale is None else self.curvature_scale
        return math.nan if scale is None else 1 / (1 + scale / batch)

    def __str__(self) -> str:
        level = "" if not self.scale_bounds.failure else f", {100 * (1 - self.scale_bounds.failure):g}% intervals"
        lines = [
            f"gradient noise over {self.samples:,.0f} samples ({self.source}{level})",
            f"  variance of one sample  {_show(self.variance, self.variance_bounds)}",
            f"  |G|^2                   {_show(self.square, self.square_bounds)}",
            f"  noise scale             {_show(self.scale, self.scale_bounds)} samples",
        ]
        if self.curvature_scale_bounds is not None:
            lines.append(
                f"  with curvature          {_show(self.curvature_scale, self.curvature_scale_bounds)} samples"
            )
        if self.note:
            lines.append(f"  {self.note}")
        return "\n".join(lines)


def remainder(batch: float, of: float | None) -> float:
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


def _show(value: float | None, bounds: Bounds) -> str:
    if bounds.lower == bounds.upper:
        return f"{bounds.lower:.4g}"
    if value is None:
        return f"at least {bounds.lower:.4g}"
    return f"{value:.4g} [{bounds.lower:.4g}, {bounds.upper:.4g}]"
