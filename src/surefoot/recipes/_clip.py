"""Where to clip gradients, from the norms that they had."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from surefoot.checks import Positive, Range, checked
from surefoot.errors import InvalidInput, InvalidType, NotFinite
from surefoot.operators import Array
from surefoot.records import Record

# Fewer norms say little of their upper percentiles: the 95th of 50 has two or three above it.
FEW = 50
# Norms that fall or rise by this factor from the first to the last third have no percentile that fits all of the run
# (by convention: at a factor of 2 a cap at the 95th percentile of one end is near the median of the other).
DRIFT = 2.0
# A value that cuts more than half, by convention, is no guard against bursts: it sets the length of typical moves.
MOSTLY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipAdvice(Record):
    """What a cap on the gradient's norm would do to the steps that were seen.

    Parameters
    ----------
    steps : int
        Norms that were finite.
    not_finite : int
        Norms that were not; they are in no percentile.
    median, largest : float
        Median and largest of the finite norms.
    value : float
        The cap advised: the norm at `percentile`.
    percentile : float
        Percentage of norms at or below `value`, in [0, 100].
    cut : float
        Share of the finite norms above `value`, which it would cut.
    clip : float or None
        The cap that was asked about.
    clip_percentile : float or None
        Where it lies: the percentage of norms at or below it.
    clip_cut : float or None
        Share of the finite norms above it.
    reasons : tuple of str
        What speaks for the cap, for a person.
    """

    steps: int
    not_finite: int
    median: float
    largest: float
    value: float
    percentile: float
    cut: float
    clip: float | None
    clip_percentile: float | None
    clip_cut: float | None
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(
            [
                f"clip at {self.value:.4g}: the {self.percentile:g}th percentile of {self.steps} norms "
                f"(median {self.median:.4g}, largest {self.largest:.4g}), cuts {_percent(self.cut)} of steps",
                *(f"  {reason}" for reason in self.reasons),
            ]
        )


@checked
def clip_advice(
    norms: Iterable[float], clip: Positive | None = None, *, percentile: Annotated[float, Range("(0, 100]")] = 95.0
) -> ClipAdvice:
    """A cap on the gradient's norm as a percentile of measured norms, and what another cap would cut.

    The percentile is a choice, not a theorem: a cap near the upper end leaves typical steps alone and holds bursts back
    (as in AutoClip, Seetharaman et al. 2020, which takes a low percentile instead and so normalises most steps).

    Parameters
    ----------
    norms : iterable of float
        Norms of gradients before clipping, in the order of the steps: what `torch.nn.utils.clip_grad_norm_` returns.
    clip : float, optional
        A cap to judge.
    percentile : float
        Percentile at which the cap advised lies, in (0, 100].

    Returns
    -------
    ClipAdvice

    Raises
    ------
    InvalidInput
        If there is no norm, one is negative, or a number is out of range.
    InvalidType
        If the norms are not several, or one is no number.
    NotFinite
        If no norm is finite.

    Examples
    --------
    >>> from surefoot.recipes import clip_advice
    >>> print(clip_advice([4.0, 5.0, 6.0, 7.0] * 25, clip=1.0))
    clip at 7: the 95th percentile of 100 norms (median 5.5, largest 7), cuts 0% of steps
      clip=1 would cut 100% of steps: every step is a normalised gradient; plain SGD then sees rate x clip only
    """
    given = [_norm(value, i) for i, value in enumerate(norms)]
    if not given:
        raise InvalidInput("there are no norms; collect what clip_grad_norm_(parameters, inf) returns at each step")
    finite = np.array([value for value in given if math.isfinite(value)])
    if not finite.size:
        raise NotFinite(f"none of {len(given)} norms is finite: no cap fixes that; look at the loss, or use Guard")
    value = float(np.percentile(finite, percentile))
    clip_cut = None if clip is None else _above(finite, clip)
    return ClipAdvice(
        steps=len(finite),
        not_finite=len(given) - len(finite),
        median=float(np.median(finite)),
        largest=float(finite.max()),
        value=value,
        percentile=percentile,
        cut=_above(finite, value),
        clip=clip,
        clip_percentile=None if clip_cut is None else 100 * (1 - clip_cut),
        clip_cut=clip_cut,
        reasons=tuple(_reasons(finite, len(given) - len(finite), value, clip)),
    )


def _reasons(finite: Array, broken: int, value: float, clip: float | None) -> Iterable[str]:
    if value == 0:
        yield "most gradients are 0 and give no cap; measure where the model learns"
    if len(finite) < FEW:
        yield f"{len(finite)} norms are few for an upper percentile; give {FEW} or more"
    if broken:
        yield f"{broken} of {broken + len(finite)} norms are not finite: clipping does not fix those; skip such steps"
    third = len(finite) // 3
    if third:
        ends = finite[:third], finite[-third:]
        first, last = (float(np.median(end)) for end in ends)
        cut_first, cut_last = (_percent(_above(end, value)) for end in ends)
        if max(first, last) > DRIFT * min(first, last):
            yield (
                f"norms go from {first:.3g} (median of the first third) to {last:.3g} (of the last): one cap cuts "
                f"{cut_first} of the first and {cut_last} of the last; measure again along the run"
            )
    if clip is not None:
        yield f"clip={clip:g} would cut {_percent(_above(finite, clip))} of steps: {_verdict(finite, clip)}"


def _verdict(finite: Array, clip: float) -> str:
    cut = _above(finite, clip)
    if cut == 1:
        return "every step is a normalised gradient; plain SGD then sees rate x clip only"
    if cut > MOSTLY:
        return "most steps are normalised; it sets the length of moves rather than guarding against bursts"
    if cut == 0:
        return f"it never acts; the largest norm is {finite.max():.4g}"
    return "it holds back the larger gradients and leaves most alone"


def _norm(value: Any, place: int) -> float:
    try:
        norm = float(value)
    except (TypeError, ValueError):
        raise InvalidType(f"norm {place} is no number: {value!r} of type {type(value).__name__}") from None
    if norm < 0:
        raise InvalidInput(f"norm {place} is negative: {norm!r}; give norms of gradients")
    return norm


def _above(values: Array, cap: float) -> float:
    return float(np.mean(values > cap))


def _percent(share: float) -> str:
    """Never 0% or 100% by rounding."""
    if 0 < share < 0.001:
        return "less than 0.1%"
    if 0.999 < share < 1:
        return "more than 99.9%"
    return f"{100 * share:.3g}%"
