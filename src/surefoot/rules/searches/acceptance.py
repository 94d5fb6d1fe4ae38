"""The test whether a trial is accepted, against a slowly falling average of the losses, by differences.

Near a minimum the loss no longer resolves what a step gains: f(x) - f(x-) is rounding. There the trapezoidal
rule on the two slopes, exact for quadratics, takes over (Hager, Zhang 2005, section 4), so that a search
neither stalls nor accepts noise.
"""

from dataclasses import dataclass

from surefoot.rules._base import Observation
from surefoot.rules.searches.first_step import AFTER_NOT_FINITE, is_finite, secant_long

__all__ = ["ACCEPTANCE_NEEDS", "Reference", "loss_change", "next_reference", "shorter_step"]

ACCEPTANCE_NEEDS = frozenset({"loss", "gradient_norm", "displacement", "alignment"})

# Relative difference of losses that may be rounding, in single precision too (the same as Hager, Zhang 2005).
RESOLVED = 1e-6
# A rejected trial is halved at least, so that rejections end; its secant may ask for less, down to the tenth that
# Nocedal, Wright 2006, section 3.5, allow.
LEAST_SHRINK, MOST_SHRINK = 0.5, 0.1


@dataclass(frozen=True, slots=True)
class Reference:
    """The losses that a trial is compared with.

    Parameters
    ----------
    loss : float
        f at the last accepted point.
    allowance : float
        C - f >= 0: how much the loss may rise above it, C being the average of past losses.
    weight : float
        Q, the effective number of losses in the average.
    """

    loss: float
    allowance: float = 0.0
    weight: float = 1.0


def loss_change(before: float, point: Observation, first_order: float) -> float:
    """f(x) - f(x-), from the losses where they resolve it, else from the slopes.

    Parameters
    ----------
    before : float
        f(x-).
    point : Observation
        The trial.
    first_order : float
        <g(x-), s>, the change to first order.
    """
    change = point.loss - before
    if abs(change) > RESOLVED * max(abs(before), abs(point.loss)):
        return change
    return first_order + 0.5 * point.alignment


def next_reference(reference: Reference, point: Observation, decrease: float, averaging: float) -> Reference | None:
    """The next reference if the trial is accepted, else None.

        f(x) <= C - decrease |s|^2/step,    C+ = (averaging Q C + f)/Q+,    Q+ = averaging Q + 1

    (Zhang, Hager 2004, equations 1.5 and 1.6.) With averaging 0 this is Armijo's monotone condition, with 1
    the average of all losses.
    """
    if not is_finite(point):
        return None
    predicted = point.displacement * (point.displacement / point.step) if point.step > 0 else 0.0
    change = loss_change(reference.loss, point, -predicted)
    if not change <= reference.allowance - decrease * predicted:
        return None
    # C - f is kept, not C: near a minimum C and f agree in all digits, and the difference would be rounding
    weight = averaging * reference.weight + 1
    allowance = averaging * reference.weight * (reference.allowance - change) / weight
    return Reference(point.loss, max(allowance, 0.0), weight)


def shorter_step(point: Observation) -> float:
    """The next step after a rejected trial: by the secant along it, within [0.1, 0.5] of it."""
    if not is_finite(point):
        return AFTER_NOT_FINITE * point.step
    return min(max(secant_long(point), MOST_SHRINK * point.step), LEAST_SHRINK * point.step)
