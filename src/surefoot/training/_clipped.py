"""What a cap on the gradient's norm makes of a rate above the stability limit."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from surefoot._limits import Limits
from surefoot.errors import InvalidInput
from surefoot.methods import GradientDescent
from surefoot.spectra import Spectrum
from surefoot.training._frozen import Frozen

__all__ = ["ClippedLimits", "Oscillation", "clipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Oscillation:
    """The bounded oscillation of a clipped step above the stability limit, along the sharpest direction.

    Parameters
    ----------
    peak_to_peak : float
        rate * cap, exactly, for every member of the family.
    mean_distance : float
        Mean of |x - minimum|: rate * cap/2.
    nearest, farthest : float
        Between these distances the two points lie: cap/a and rate * cap - cap/a.
    """

    peak_to_peak: float
    mean_distance: float
    nearest: float
    farthest: float

    def __str__(self) -> str:
        return (
            f"bounded oscillation, peak to peak {self.peak_to_peak:.4g}, mean distance {self.mean_distance:.4g} "
            f"(points {self.nearest:.4g} to {self.farthest:.4g} from the minimum)"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClippedLimits(Limits):
    """Limits with a cap on the gradient's norm.

    The cap changes nothing below `curvature_limit`. Above it a run that would diverge ends in a bounded oscillation
    instead: see `oscillation`.

    Parameters
    ----------
    cap : float
        Largest norm of a gradient.
    sharpness : float or None
        The curvature that decides, from its upper end; None where the oscillation is not known (momentum, adaptive
        optimizers), for which "clip" in `reasons` says why.
    """

    cap: float
    sharpness: float | None

    def oscillation(self, rate: float) -> Oscillation | None:
        """What a rate leads to along the sharpest direction, alone and quadratic; None if it does not oscillate.

            x_{t+1} = x_t - rate * min(|a x|, C) sign(x):    2-cycles {x, x - rate C} for rate > 2/a

        Every x with both ends beyond C/a is one (a neutral family; derived). Other directions use up part of the cap,
        so in a network this is an *estimate* from above.

        Raises
        ------
        InvalidInput
            If the rate is not positive, or the optimizer is one whose oscillation is not known.
        """
        if not 0 < rate < float("inf"):
            raise InvalidInput(f"rate must be positive and finite; got {rate!r}")
        if self.sharpness is None:
            raise InvalidInput(f"the oscillation is not known: {self.reasons['clip']}")
        if rate <= self.curvature_limit:
            return None
        span, nearest = rate * self.cap, self.cap / self.sharpness
        return Oscillation(peak_to_peak=span, mean_distance=span / 2, nearest=nearest, farthest=span - nearest)

    def __str__(self) -> str:
        return f"{Limits.__str__(self)}\n  clip at {self.cap:g}: {self.reasons['clip']}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**Limits.to_dict(self), "cap": self.cap, "sharpness": self.sharpness}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ClippedLimits":
        """The inverse of `to_dict`."""
        values = dict(data)
        extra = {name: values.pop(name) for name in ("cap", "sharpness")}
        return cls(**_values(Limits.from_dict(values)), **extra)


def clipped(limit: Limits, found: Spectrum, frozen: Frozen, cap: float) -> ClippedLimits:
    """The limits with what is known about a cap.

    Raises
    ------
    InvalidInput
        If the cap is not positive.
    """
    if not 0 < cap < float("inf"):
        raise InvalidInput(f"clip must be a positive and finite norm; got {cap!r}")
    sharpness = found.largest.upper if found.largest.upper > 0 else None
    if not isinstance(frozen.method, GradientDescent):
        sharpness, reason = None, "with momentum several oscillations coexist; which is reached is not derived"
    elif (frozen.preconditioner != 1).any():
        sharpness, reason = None, "a preconditioner or unequal rates act after the cap; not derived"
    elif frozen.coupled.any() or frozen.decoupled.any():
        sharpness, reason = None, "weight decay acts after the cap; not derived"
    elif sharpness is None:
        reason = "there is no positive curvature, so no oscillation"
    else:
        reason = (
            f"above {limit.curvature_limit:.6g} divergence becomes a bounded oscillation along the sharpest direction, "
            f"peak to peak rate x {cap:g}, mean distance half of that"
        )
    values = _values(limit)
    values["reasons"] = {**limit.reasons, "clip": reason}
    return ClippedLimits(**values, cap=cap, sharpness=sharpness)


def _values(limit: Limits) -> dict[str, Any]:
    return {field.name: getattr(limit, field.name) for field in fields(limit)}
