"""How long to warm up, from the limits that were measured along a run, or from Adam's own memory."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from surefoot.checks import Count, Fraction, Positive, Range, checked
from surefoot.errors import InvalidInput, InvalidType
from surefoot.records import Record

# A warm-up longer than this part of the run is worth a word: by convention, most recipes warm up for 1 to 10 percent.
LONG = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupAdvice(Record):
    """Length of a linear warm-up, eta_k = min((k + 1)/steps, 1) rate.

    Parameters
    ----------
    steps : int or None
        1 for none needed; None where nothing measured supports a length.
    rate : float
        The rate that it climbs to.
    source : "limits", "second moment" or "none"
        What it is from: measured limits; the time that Adam's second moment takes; nothing.
    reasons : tuple of str
        What speaks for the length, for a person.
    """

    steps: int | None
    rate: float
    source: Literal["limits", "second moment", "none"]
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        if self.steps is None:
            head = f"no warm-up length for rate {self.rate:g}"
        elif self.steps == 1:
            head = f"no warm-up needed for rate {self.rate:g}"
        else:
            head = f"warm up to rate {self.rate:g} over {self.steps} steps"
        return "\n".join([head, *(f"  {reason}" for reason in self.reasons)])


@checked
def warmup_advice(
    rate: Positive,
    *,
    limits: Iterable[tuple[int, float]] | None = None,
    beta2: Fraction | None = None,
    total: Count | None = None,
    margin: Annotated[float, Range("(0, 1]")] = 1.0,
) -> WarmupAdvice:
    """The shortest linear warm-up that keeps the rate under the measured limit; else Adam's rule of thumb.

        limits:  (k + 1)/W rate <= margin limit_k   at every step k of the record before the rate fits
        Adam:    W = 2/(1 - beta2)                  (Ma, Yarats 2021, section 5: untuned linear warm-up)

    Between two readings the lower one counts. The record is of one run: another warm-up meets another curvature,
    and limits are linear claims (a rate above one need not ruin a run). The rule of thumb knows nothing of curvature:
    it lasts as long as Adam's second moment is mostly noise.

    Parameters
    ----------
    rate : float
        Peak rate.
    limits : iterable of (int, float), optional
        Step (from 0) and the largest stable rate there, such as ``(step, reading.limit)`` of a `SharpnessTracker`; inf
        where nothing limits.
    beta2 : float, optional
        Adam's second beta; used where there are no limits.
    total : int, optional
        Length of the run, to say how much of it the warm-up takes.
    margin : float
        Part of the limit that the rate may take, in (0, 1].

    Returns
    -------
    WarmupAdvice
        Without limits and beta2 it says that nothing was measured.

    Raises
    ------
    InvalidInput
        If a number is out of range, steps repeat, or the record is empty.
    InvalidType
        If the record does not hold pairs.

    References
    ----------
    J. Ma, D. Yarats, On the adequacy of untuned warmup for adaptive optimization, AAAI 2021.

    Examples
    --------
    >>> from surefoot.recipes import warmup_advice
    >>> print(warmup_advice(0.1, limits=[(0, 0.02), (50, 0.05), (100, 0.3)]))
    warm up to rate 0.1 over 250 steps
      at step 49 the limit is 0.02 and allows 20% of the rate
    >>> warmup_advice(1e-3, beta2=0.999).steps
    2000
    """
    if limits is not None:
        source, (steps, reason) = "limits", _from_limits(rate, _record(limits), margin)
    elif beta2 is not None:
        source, steps = "second moment", max(1, round(2 / (1 - beta2)))
        reason = f"2/(1 - beta2) with beta2 = {beta2:g}: until then Adam's second moment is mostly noise"
    else:
        source, steps = "none", None
        reason = "nothing was measured; give limits along a run (SharpnessTracker), or Adam's beta2"
    reasons = [reason]
    if total is not None and steps is not None and steps > LONG * total:
        reasons.append(f"that is {100 * steps / total:.3g}% of a run of {total} steps")
        if source == "second moment":
            beta = max(1 - 2 / max(LONG * total, 3), 0.0)
            reasons[-1] += f"; with beta2 = {beta:.4g} it would be {100 * LONG:g}%"
    return WarmupAdvice(steps=steps, rate=rate, source=source, reasons=tuple(reasons))


def _from_limits(rate: float, record: list[tuple[int, float]], margin: float) -> tuple[int | None, str]:
    last_step, last = record[-1]
    if rate > margin * last:
        return None, (
            f"the record ends at step {last_step} with the limit {last:.4g}: the rate never fits; "
            f"{margin * last:.4g} is the most it supports"
        )
    needed, reason = 1, f"the limit is {min(limit for _, limit in record):.4g} or more all along"
    for step, limit in _stretches(record):
        allowed = margin * limit / rate
        # the last step of a stretch is the one that has climbed the most
        if allowed < 1 and (length := math.ceil((step + 1) / allowed * (1 - 1e-12))) > needed:
            needed = length
            reason = f"at step {step} the limit is {limit:.4g} and allows {100 * allowed:.3g}% of the rate"
    return needed, reason


def _stretches(record: list[tuple[int, float]]) -> Iterable[tuple[int, float]]:
    """The last step of each stretch between readings, and the least limit on it."""
    first, limit = record[0]
    yield first, limit
    for (_, before), (step, after) in pairwise(record):
        yield step - 1, min(before, after)
        yield step, after


def _record(limits: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    try:
        record = sorted((int(step), float(limit)) for step, limit in limits)
    except (TypeError, ValueError):
        raise InvalidType("limits must be pairs (step, limit), such as [(0, 0.02), (50, 0.05)]") from None
    if not record:
        raise InvalidInput("limits is an empty record; measure at least once")
    steps = [step for step, _ in record]
    if steps[0] < 0 or len(set(steps)) < len(steps):
        raise InvalidInput("steps of the record must be at least 0 and differ from each other")
    bad = next((limit for _, limit in record if not limit > 0), None)
    if bad is not None:
        raise InvalidInput(f"a limit must be positive (inf where nothing limits); got {bad!r}")
    return record
