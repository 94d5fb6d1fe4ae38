"""The result of a noise measurement: the variance of one sample's gradient and the noise scale, with intervals."""

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
        |G|^2 without the part added by noise: an unbiased estimate, which may be negative.
    scale : float or None
        B_simple = tr(Sigma)/|G|^2, in samples: at this batch size noise and signal are equal. None if |G|^2 cannot be
        distinguished from 0: `scale_bounds` then has only a lower end.
    curvature_scale : float or None
        B_noise = tr(H Sigma)/(G'HG), in samples; None if it was not asked for or cannot be determined.
    variance_bounds, square_bounds, scale_bounds, curvature_scale_bounds : Bounds
        Intervals of level 1 - `failure`, *estimates* by the jackknife over groups; single numbers if `samples` are the
        whole population. The last is None if it was not asked for.
    samples : float
        Number of samples.
    groups : int
        Number of independent gradients: of single samples, or of mini-batches.
    source : str
        Kind of these gradients.
    gradients : int
        Cost in gradients of the mean loss over the samples.
    note : str
        Remarks; may be empty.
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
            Batch size B.
        of : float, optional
            n, if batches are drawn without replacement from n samples; Sigma is then that of these.

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
        """The best decrease of a step with batches of this size, divided by that without noise.

            1/(1 + scale/B)

        (McCandlish et al. 2018, equation 2.7, with B_noise if it is known and else with B_simple.)

        Parameters
        ----------
        batch : float
            B, samples.

        Returns
        -------
        float
            In (0, 1]; nan if the scale is not known.

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
    """The factor (n - B)/(n - 1) of the variance when drawing without replacement; 1 with replacement.

    Raises
    ------
    InvalidInput
        If the batch is larger than the population.
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
