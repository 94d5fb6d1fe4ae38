"""Gradient descent above the stability limit with a cap on the norm of its gradients: a bounded oscillation."""

from dataclasses import dataclass, fields
from typing import Any

from surefoot.checks import Positive, checked
from surefoot.errors import InvalidInput
from surefoot.methods import EMAMomentum, GradientDescent, HeavyBall, Method, Nesterov
from surefoot.records import Record
from surefoot.stability._types import Limits

__all__ = ["ClippedLimits", "ClippedOscillation", "clipped_limits", "clipped_oscillation"]


@dataclass(frozen=True, slots=True)
class ClippedOscillation(Record):
    """The family of neutral orbits of period 2 in which clipped gradient descent ends.

    Parameters
    ----------
    peak_to_peak : float
        step * cap, exactly the distance of the two points of every orbit.
    lowest, highest : float
        Interval of |x| for the two points; every value in it belongs to an orbit.
    """

    peak_to_peak: float
    lowest: float
    highest: float

    @property
    def amplitude(self) -> float:
        """Mean of |x| over a cycle, exactly step * cap / 2 for every orbit; |x| itself for the symmetric one."""
        return self.peak_to_peak / 2

    def __str__(self) -> str:
        return (
            f"clipped: alternates over a distance of {self.peak_to_peak:.6g}, mean distance from the minimum "
            f"{self.amplitude:.6g}, each point between {self.lowest:.6g} and {self.highest:.6g}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClippedLimits(Limits):
    """Limits with a cap on the gradient's norm.

    The cap changes nothing below `curvature_limit`. Above it a run ends in a bounded oscillation instead of diverging:
    see `oscillation`.

    Parameters
    ----------
    cap : float
        Largest norm of a gradient.
    sharpness : float or None
        Upper end of the largest curvature; None if the oscillation is not known (momentum, adaptive optimizers), and
        "clip" in `reasons` says why.
    """

    cap: float
    sharpness: float | None

    @checked
    def oscillation(self, rate: Positive) -> ClippedOscillation | None:
        """The oscillation at a rate along the sharpest direction, as `clipped_oscillation`; None if there is none.

        Other directions use up part of the cap, so in a network this is an *estimate* from above.

        Raises
        ------
        InvalidInput
            If the rate is not positive, or the method is one whose oscillation is not known.
        """
        if self.sharpness is None:
            raise InvalidInput(f"the oscillation is not known: {self.reasons['clip']}")
        return None if rate <= self.curvature_limit else _oscillation(self.sharpness, rate, self.cap)

    def __str__(self) -> str:
        return f"{Limits.__str__(self)}\n  clip at {self.cap:g}: {self.reasons['clip']}"


@checked
def clipped_oscillation(curvature: Positive, step: Positive, cap: Positive) -> ClippedOscillation | None:
    """The oscillation of gradient descent with a clipped gradient norm on a quadratic, above the limit 2/curvature.

        f = a x^2/2,  eta > 2/a,  |gradient| cut to C:    {x, x - eta C},  C/a <= |x|, |x - eta C| <= eta C - C/a

    *Exact* in one dimension (derived here). At both points the gradient is clipped, so each step moves by eta C, and
    any such pair is a cycle: the orbit reached depends on the start, and a clip that is not exact (an epsilon in the
    norm) drifts slowly along the family. Unclipped points near the minimum are repelled, since |1 - eta a| > 1.

    Parameters
    ----------
    curvature : float
        a, along the unstable direction; positive.
    step : float
        eta, unit 1/curvature.
    cap : float
        C, the largest norm of a gradient.

    Returns
    -------
    ClippedOscillation or None
        None up to step = 2/curvature, where gradient descent converges with or without a clip.

    Raises
    ------
    InvalidInput
        If an argument is not positive and finite.

    Examples
    --------
    >>> from surefoot.stability import clipped_oscillation
    >>> print(clipped_oscillation(curvature=10.0, step=0.5, cap=1.0))
    clipped: alternates over a distance of 0.5, mean distance from the minimum 0.25, each point between 0.1 and 0.4
    """
    return None if step * curvature <= 2 else _oscillation(curvature, step, cap)


def _oscillation(curvature: float, step: float, cap: float) -> ClippedOscillation:
    span, nearest = step * cap, cap / curvature
    return ClippedOscillation(span, nearest, span - nearest)


def clipped_limits(limit: Limits, method: Method, top: float, cap: float, *, unknown: str = "") -> ClippedLimits:
    """The limits together with what is known about a cap on the gradient's norm.

    Parameters
    ----------
    limit : Limits
        Limits without the cap.
    method : Method
    top : float
        Upper end of the largest curvature.
    cap : float
    unknown : str
        Why the oscillation is not known, if something acts between the cap and the step.
    """
    sharpness = None
    if top <= 0:
        reason = "there is no positive curvature, so no oscillation"
    elif isinstance(method, HeavyBall | EMAMomentum | Nesterov) and not unknown:
        reason = (
            f"with momentum several oscillations coexist above {limit.curvature_limit:.6g}; which is reached is not "
            f"derived. The smallest has two points, rate x {2 * cap / method.real_limit:.6g} apart"
        )
    elif unknown or not isinstance(method, GradientDescent):
        reason = unknown or f"the oscillation of {method.name} is not derived"
    else:
        sharpness = top
        reason = (
            f"above {limit.curvature_limit:.6g} divergence becomes a bounded oscillation along the sharpest direction, "
            f"peak to peak rate x {cap:g}, mean distance half of that"
        )
    values: dict[str, Any] = {field.name: getattr(limit, field.name) for field in fields(limit)}
    values["reasons"] = {**limit.reasons, "clip": reason}
    return ClippedLimits(**values, cap=cap, sharpness=sharpness)
