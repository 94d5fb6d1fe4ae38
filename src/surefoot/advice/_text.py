"""An advice in words: what to take, how sure that is, the methods in a table, and what the numbers rest on."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from surefoot.tables import align
from surefoot.trials.bracket import SAME_FLOOR

if TYPE_CHECKING:
    from surefoot.advice._types import Advice, Recommendation

# Columns of the table, as the report has them too.
HEADINGS = (
    "method",
    "suggested",
    "label",
    "loss",
    "usable in short runs",
    "linear limit",
    "checked",
    "largest curvature",
)


def rank(recommendations: "Sequence[Recommendation]", initial: float | None) -> "list[Recommendation]":
    """Recommendations, the one to take first: by the loss that their runs reached, those without a step last.

    Parameters
    ----------
    recommendations : sequence of Recommendation
    initial : float or None
        Loss at the start. Of losses that differ by less than `SAME_FLOOR` of the way down from it, none is better than
        another: there a proved step comes before one that was only tried.
    """
    lowest = min((r.reached for r in recommendations if r.suggested is not None), default=math.inf)
    same = lowest if initial is None else lowest + SAME_FLOOR * abs(initial - lowest)

    def place(r: "Recommendation") -> tuple[float, bool, float]:
        if r.suggested is None:
            return math.inf, False, 0.0
        return (lowest if r.reached <= same else r.reached), r.label_of_step != "PROVED", r.reached

    return sorted(recommendations, key=place)


def best(recommendations: "Sequence[Recommendation]", initial: float | None) -> "Recommendation | None":
    """The recommendation that ranks first; None where none has a step to suggest."""
    first = next(iter(rank(recommendations, initial)), None)
    return None if first is None or first.suggested is None else first


def answer(advice: "Advice") -> str:
    """The recommendation in a line: ``take AdamW at 0.003``."""
    chosen = advice.recommended
    if advice.abstained:
        return f"no advice for {advice.target}"
    if chosen is None:
        return f"no step to suggest for {advice.target}"
    return f"take {chosen.label} at {chosen.suggested:.3g} for {advice.target}"


def text(advice: "Advice") -> str:
    """Everything, the answer first."""
    head = [answer(advice), *_trust(advice)]
    facts = "; ".join(f"{name} {value}" for name, value in advice.description.items())
    head += [f"  {facts}"] if facts else []
    if advice.abstained:
        return "\n".join(head)
    order = rank(advice.recommendations, advice.initial_loss)
    table = align([HEADINGS, *map(_row, order)])
    findings = [f"  {r.label}: {r.finding}" + (f" ({r.note})" if r.note else "") for r in order]
    cost = f"  cost: {advice.products} curvature products, {advice.runs} short runs, {advice.seconds:.1f} s"
    return "\n".join([*head, "", *table, "", *findings, *_claims(advice.recommendations), cost])


def _trust(advice: "Advice") -> list[str]:
    """What stands behind the answer: the runs that were made, the theorem that covers it."""
    if advice.abstained:
        return [f"  {advice.abstained}"]
    chosen = advice.recommended
    lines: list[str] = []
    if chosen is not None:
        steps = next(len(t.losses) - 1 for t in chosen.trials if t.step == chosen.suggested)
        start = "" if advice.initial_loss is None else f" from {advice.initial_loss:.4g}"
        constant = "" if advice.constant_loss is None else f" (the best constant: {advice.constant_loss:.4g})"
        what = "steps" if steps != 1 else "step"
        lines.append(f"  TRIED: {steps} {what} took the loss{start} to {chosen.reached:.4g}{constant}")
    proved = [r for r in advice.recommendations if r.proved]
    if proved and (chosen is None or not chosen.proved):
        chosen_proof = min(proved, key=lambda r: r.reached)
        lines.append(f"  PROVED: {chosen_proof.label} converges at every step below {chosen_proof.proved:.4g}")
    elif chosen is not None and chosen.proved:
        here = "this one too" if chosen.label_of_step == "PROVED" else "which this one is not"
        lines.append(f"  PROVED: {chosen.label} converges at every step below {chosen.proved:.4g}, {here}")
    return lines


def _row(r: "Recommendation") -> tuple[str, ...]:
    claims = [v.agrees for v in r.verification if v.agrees is not None]
    return (
        r.label,
        "-" if r.suggested is None else f"{r.suggested:.3g}",
        r.label_of_step or "-",
        "-" if r.suggested is None else f"{r.reached:.4g}",
        _range(r.usable),
        f"{r.limits.curvature_limit:.4g}",
        f"{sum(claims)}/{len(claims)} agree" if claims else "-",
        str(r.spectrum.largest),
    )


def _range(usable: tuple[float, float] | None) -> str:
    """A range; one step alone is not called a range."""
    if usable is None:
        return "-"
    low, high = (f"{end:.3g}" for end in usable)
    return f"{low} only" if low == high else f"{low} .. {high}"


def _claims(recommendations: "Sequence[Recommendation]") -> list[str]:
    """How far the curvatures can be trusted, once for all methods that see the same one."""
    claims = {
        f"  curvature: {r.spectrum.provenance}, {r.spectrum.scope}; largest {r.spectrum.largest}, "
        f"smallest {r.spectrum.smallest}"
        + (f", wrong with probability <= {r.spectrum.failure:g}" if r.spectrum.failure else "")
        + (f"; {r.spectrum.note}" if r.spectrum.note else ""): r.label
        for r in reversed(recommendations)
    }
    return [f"{line} ({label})" if len(claims) > 1 else line for line, label in reversed(claims.items())]
