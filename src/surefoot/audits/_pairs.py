"""Two causes at once, where no single one explains the log."""

import math
from dataclasses import replace

import numpy as np

from surefoot.audits._explanation import PAIR, Explanation, Variant, sift, simplest
from surefoot.audits._later import changes_from
from surefoot.audits._match import Match
from surefoot.audits._rows import FEWEST, Array, Rows
from surefoot.audits._whole import (
    changes_throughout,
    constant_factor,
    lengths,
    past_the_end,
    shifts,
    totals,
    warmups,
)

# Parts of the log whose beginnings a first cause may explain, where a second one set in later.
_FIRST_PARTS = (0.7, 0.5, 0.3, 0.15)
# First causes that are followed to a second: the simplest ones.
_MOST_FIRST = 6


def pairs(rows: Rows, match: Match, given: float | None) -> list[Explanation]:
    """Pairs of causes that explain every row.

    Parameters
    ----------
    rows : Rows
    match : Match
        The plan in the convention that fits best.
    given : float or None
        Factor of the plan's rates; None if the plan names no rate.
    """
    plan = match.variant.plan
    # in the convention that fits best, and in the most common one
    first = plan.conventions()[0]
    likely = [match.variant, *([Variant(plan=first)] if first.ramp != plan.ramp else [])]
    return _both_throughout(rows, likely, given) + _one_after_the_other(rows, likely, given, match)


def _both_throughout(rows: Rows, variants: list[Variant], given: float | None) -> list[Explanation]:
    """Two changes of the whole run: one of them a factor, a step's offset, another pace, or another length."""
    both: list[Explanation] = []
    if given is not None:
        for variant in variants:
            for explanation in changes_throughout(rows, variant, None, stand=False):
                if not math.isclose(explanation.scale, 1, rel_tol=rows.loose):
                    factor = constant_factor(explanation.variant, explanation.scale, explanation.worst)
                    both.append(explanation.and_then(factor))
    for variant in variants:
        both += _two_lengths(rows, variant, given)
        firsts = [
            *shifts(rows, variant, given)[:2],
            *past_the_end(variant),
            *[s for s in totals(rows, variant, given) if s.word == "warm-up added to the total"],
        ]
        for first in firsts:
            if first.variant is not None:
                both += [
                    first.and_then(second) for second in changes_throughout(rows, first.variant, given, stand=False)
                ]
        # numbers of processes and of accumulated batches that people have
        for pace in (2, 3, 4, 6, 8, 16, 32, 64):
            for factor in (float(pace), 1 / pace):
                both += _pace_and_length(rows, variant, given, factor)
    return both


def _pace_and_length(rows: Rows, variant: Variant, given: float | None, factor: float) -> list[Explanation]:
    """Another pace, and another total or warm-up."""
    n = factor if factor > 1 else 1 / factor
    first = Explanation(
        word="stepped too often" if factor > 1 else "counted in micro-batches",
        says=f"the schedule advanced {n:g} times per step" if factor > 1 else f"the schedule is {n:g} times too long",
        fix="step it once per optimizer step" if factor > 1 else f"divide its lengths by {n:g}",
        burden=1,
    )
    paced = replace(variant, pace=factor)
    seconds = sift(rows, totals(rows, paced, given), given) + sift(rows, warmups(rows, paced, given), given)
    return [first.and_then(second) for second in seconds]


def _two_lengths(rows: Rows, variant: Variant, given: float | None) -> list[Explanation]:
    """Another total and another warm-up: a grid of both, laid ever closer about its best point."""
    total, planned = variant.plan.total, variant.plan.warmup
    if total is None:
        return []
    few = rows.some()
    reach = max(float(rows.steps.max()), total)
    t: Array = np.unique(lengths(total)[::2])
    w: Array = np.unique(np.round(np.append(np.geomspace(1.0, reach, 60), 0.0))).astype(np.float64)

    def worst(t: Array, w: Array) -> Array:
        values = variant.rates(
            few.steps, total=np.maximum(t[:, None, None], w[None, :, None] + 1), warmup=w[None, :, None]
        )
        return few.fit(values, given)[0]

    while True:
        i, j = (int(k) for k in np.unravel_index(int(np.argmin(worst(t, w))), (len(t), len(w))))
        edges = [(grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)], grid[k]) for grid, k in ((t, i), (w, j))]
        if all(high - low <= 2 for low, high, _ in edges):
            break
        t, w = (np.unique(np.append(np.round(np.linspace(low, high, 13)), best)) for low, high, best in edges)
    length, warmup = float(max(t[i], w[j] + 1)), float(w[j])
    if length == total or warmup == planned:
        return []
    changed = variant.with_plan(total=length, warmup=warmup)
    fit, scale = rows.fit(changed.rates(rows.steps), given)
    if fit > rows.loose:
        return []
    ratio = length / total
    # both lengths times one whole number is a cause of its own, and was tried
    if 1 < ratio <= 64 and ratio == round(ratio) and planned and warmup == planned * ratio:
        return []
    word = "total too long" if length > total else "total too short"
    return [
        Explanation(
            word=f"{word} and wrong warm-up",
            says=f"the schedule was made for {length:g} steps, not {total:g}; and the warm-up took "
            f"{warmup:g} steps, not {planned:g}",
            fix="give it the number of optimizer steps of the whole run, and count the warm-up in them",
            burden=3 + PAIR,
            variant=changed,
            worst=float(fit),
            scale=float(scale),
            whole=True,
        )
    ]


def _one_after_the_other(rows: Rows, variants: list[Variant], given: float | None, match: Match) -> list[Explanation]:
    """A change all along, or an event, and an event after it."""
    variant, scale, agreed = match
    firsts: list[tuple[Explanation, int]] = []
    for part in _FIRST_PARTS:
        head = rows.part(0, max(int(part * len(rows)), 2 * FEWEST))
        if len(head) == len(rows):
            continue
        for each in variants:
            likeliest = simplest(changes_throughout(head, each, given, stand=False), rows)[:_MOST_FIRST]
            firsts += [(explanation, 0) for explanation in likeliest]
    if FEWEST <= agreed <= len(rows) - 2 * FEWEST:
        # an event that explains the rates only up to a second one
        for part in _FIRST_PARTS:
            end = agreed + max(int(part * (len(rows) - agreed)), 2 * FEWEST)
            if end < len(rows):
                head = rows.part(0, end)
                firsts += [
                    (explanation, agreed)
                    for explanation in simplest(changes_from(head, variant, scale, agreed), rows)[:_MOST_FIRST]
                ]
    both: list[Explanation] = []
    seen: set[tuple[str, int]] = set()
    for explanation, begin in firsts:
        if explanation.variant is None or (explanation.says, begin) in seen:
            continue
        seen.add((explanation.says, begin))
        values = explanation.variant.rates(rows.steps[begin:])
        until = begin + rows.part(begin).count_agreeing(values, explanation.scale, rows.loose)
        # with fewer rows on either side the second event would explain anything
        if not begin + FEWEST <= until <= len(rows) - FEWEST:
            continue
        both += [
            explanation.and_then(event) for event in changes_from(rows, explanation.variant, explanation.scale, until)
        ]
    return both
