"""Whether the schedule that ran is the one that was planned, and if not, what made the difference."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from surefoot.audits._explanation import PAIR, Explanation, Variant, simplest
from surefoot.audits._later import from_there_on
from surefoot.audits._plan import RAMPS, Plan, plan_of
from surefoot.audits._rows import Array, Rows
from surefoot.audits._series import Series, series_of
from surefoot.audits._shapes import Table
from surefoot.audits._types import Audit
from surefoot.audits._whole import constant_factor, lengths, past_the_end, shifts, totals, warmups, whole_run
from surefoot.checks import Fraction, checked
from surefoot.errors import InvalidInput
from surefoot.logs import LogFile, read_log
from surefoot.tables import spread

# What double precision may lose in a schedule that counts on from the last rate, and single precision in writing it.
_ROUNDING = 1e-6
# Rows of a long log that causes are tried on; all are compared with the plan.
_LOOKED_AT = 20_000
# Rows kept for a table and a figure.
_KEPT = 400
# Parts of the log at whose beginning the scale of a plan without a rate is looked for.
_BEGINNINGS = (1.0, 0.5, 0.25, 0.1, 0.05, 0.02)
# With fewer rows from there on, too many explanations would fit.
_FEW = 3
# Parts of the log whose beginnings a first cause may explain, where a second one set in later.
_FIRST_PARTS = (0.7, 0.5, 0.3, 0.15)
# First causes that are followed to a second: the simplest ones.
_MOST_FIRST = 6
# Alternatives that are named beside the cause.
_OTHERS = 2
# Heavier than any cause that is known.
_UNKNOWN = 99
# Further columns of rates that are tried: by convention, more groups than people tune by hand.
_MOST_GROUPS = 8


@checked
def audit(log: Any, plan: Any, *, column: str | None = None, tol: Fraction = 1e-3) -> Audit:
    """Compare the rates that ran with a plan, and say what made the difference.

    A departure is a difference of more than `tol` times the largest rate that ran. The causes (docs/audit.md) are
    curves that are tried on the log: single ones first, then pairs. One is named only if it explains every rate to
    within the same tolerance, and of several the simplest; where the log cannot tell two apart, it says so.

    Parameters
    ----------
    log : path, DataFrame, mapping, or sequence
        What loggers write, as `surefoot.logs.read_log` takes it: a file, the folder of a run, several of those; a
        DataFrame, columns by name, records, (step, rate) pairs, or rates alone at steps 0, 1, 2, ...
    plan : str, path, Schedule, Warmup, sequence, callable, or scheduler
        ``NAME[:RATE][,key=value...]`` such as ``cosine:total=10000,warmup=500`` or ``step-decay:0.1,every=30``:
        names as in `surefoot.rules.named_rules`, and ``multi-step`` and ``plateau``; total and warmup in steps, the
        total with the warm-up in it. Without a rate the scale is read off the log. All usual first rates of a warm-up
        count as planned. Or the rate of each step as a list, a callable of the step, a torch scheduler (a copy is
        stepped), or the path of another log.
    column : str, optional
        The column of the rate (default: the one whose name says so).
    tol : float
        Part of the largest rate, in (0, 1).

    Returns
    -------
    Audit

    Raises
    ------
    InvalidInput
        If the plan cannot be read, the log is empty or has no such column, or a rate is not finite.
    InvalidType
        If the log or the plan is of another type.

    Examples
    --------
    >>> import math
    >>> from surefoot import audit
    >>> ran = [3e-4 * (1 + math.cos(math.pi * min(4 * k / 1000, 1))) / 2 for k in range(1000)]
    >>> result = audit(ran, "cosine:total=1000,rate=3e-4")
    >>> result.verdict, result.cause, result.first_departure
    ('departs', 'stepped too often', 6)
    """
    file = read_log(log)
    series = series_of(file, column)
    # rates near the largest number there is overflow in a curve's square: that curve then does not fit
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        result = _compare(series, plan, tol)
        if result.verdict == "as planned" or not series.others:
            return result
        # a plan is one group's; which one the log does not say
        fitting = [name for name in series.others[:_MOST_GROUPS] if _is_as_planned(file, plan, name, tol)]
        said = (f"{', '.join(fitting)} is as planned: --column chooses it",) if fitting else ()
        return replace(result, evidence=(*said, *result.evidence))


def _is_as_planned(file: LogFile, plan: Any, column: str, tol: float) -> bool:
    """Whether another column of rates follows the plan; causes are not looked for."""
    try:
        rows = _rows(series_of(file, column), tol)
        wanted = plan_of(plan, float(rows.steps.max()))
        _, _, agreed = _closest_convention(rows, wanted, 1.0 if wanted.rated else None)
    except InvalidInput:
        return False
    return agreed == len(rows) and wanted.plateau is None and bool(rows.rates.any())


def _compare(series: Series, plan: Any, tol: float) -> Audit:
    rows = _rows(series, tol)
    wanted = plan_of(plan, float(rows.steps.max()))
    if wanted.plateau is not None:
        wanted = _follow_plateau(wanted, rows)
    # before anything else: a scale of 0 makes every plan fit
    if not rows.rates.any():
        return _result(series, rows, Variant(plan=wanted), 1.0, explanation=_all_zero(rows), evidence=[])
    given = 1.0 if wanted.rated else None
    held, scale, agreed = _closest_convention(rows, wanted, given)
    # where the log's own counter began again, a schedule that did so too looks as planned
    began_again = any(series.steps[i] <= series.steps[0] for i in series.resumes)
    if agreed == len(rows) and not began_again:
        worst = float(rows.fit(held.rates(rows.steps), scale)[0])
        return _result(series, rows, held, scale, explanation=None, evidence=_as_planned(rows, held, worst))
    few = replace(rows, marked=min(agreed, len(rows) - 1)).thin(_LOOKED_AT)
    agreed = few.count_agreeing(held.rates(few.steps), scale, few.loose)
    explanations = _explanations(series, few, wanted, given, (held, scale, agreed))
    explanation = explanations[0] if explanations else _unknown(few, min(agreed, len(few) - 1))
    if not wanted.rated and explanation.whole:
        scale = explanation.scale
        agreed = few.count_agreeing(held.rates(few.steps), scale, few.loose)
    evidence, others = _why(few, held, explanations, agreed, scale)
    return _result(series, rows, held, scale, explanation=explanation, evidence=evidence, others=others)


def _rows(series: Series, tol: float) -> Rows:
    steps, rates = np.array(series.steps, dtype=float), np.array(series.rates)
    largest = float(np.abs(rates).max()) or 1.0
    tight = series.coarse + _ROUNDING
    # a log too coarse for the tolerance cannot be held to it
    return Rows(steps=steps, rates=rates, largest=largest, tight=tight, loose=max(tol, tight))


def _closest_convention(rows: Rows, plan: Plan, scale: float | None) -> tuple[Variant, float, int]:
    """The convention of the warm-up, and the scale, under which the most rows from the first on are as planned."""
    best, key = (Variant(plan=plan), 1.0 if scale is None else scale, 0), (-1, 0.0)
    for each in plan.conventions():
        variant = Variant(plan=each)
        values = variant.rates(rows.steps)
        for factor in [scale] if scale is not None else _scales(rows, values):
            agreed = rows.count_agreeing(values, factor, rows.loose)
            worst = float(rows.part(0, agreed).fit(values[:agreed], factor)[0]) if agreed else 0.0
            if (agreed, -worst) > key:
                best, key = (variant, factor, agreed), (agreed, -worst)
            if agreed == len(rows) and worst <= rows.tight:
                return best
    return best


def _scales(rows: Rows, values: Array) -> list[float]:
    """Factors that a plan without a rate may have: the best ones for beginnings of the log."""
    counts = [max(round(part * len(rows)), min(2, len(rows))) for part in _BEGINNINGS]
    # the log may depart early, and then only its beginning shows the scale
    fitted = [float(rows.part(0, count).fit(values[:count])[1]) for count in counts]
    highest = float(values.max())
    return [scale for scale in [*fitted, rows.largest / highest if highest > 0 else 1.0] if scale > 0] or [1.0]


def _follow_plateau(plan: Plan, rows: Rows) -> Plan:
    """A plan that drops with the run, as it would have gone: it drops when the log does, if it may.

    When torch's ReduceLROnPlateau drops depends on a metric; that it drops by its factor only, and never sooner than
    its patience after the last time, does not.
    """
    factor, patience = plan.plateau or (0.1, 0.0)
    level = 1.0 if plan.rated else float(rows.rates[0])
    first = float(plan.rates(np.zeros(1))[0]) if plan.rated else level
    rates = np.empty(len(rows))
    level, since = first, -math.inf
    for i, (step, rate) in enumerate(zip(rows.steps.tolist(), rows.rates.tolist(), strict=True)):
        lower = level * factor
        while rate < level * math.sqrt(factor) and abs(rate - lower) > rows.loose * rows.largest and lower > rate:
            lower *= factor  # the log has fewer rows than there were drops
        if abs(rate - lower) <= rows.loose * rows.largest and lower < level and step - since > patience:
            level, since = lower, step
        rates[i] = level
    return replace(plan, shape=Table(rates, rows.steps), plateau=None, rated=True)


def _explanations(
    series: Series, rows: Rows, plan: Plan, given: float | None, closest: tuple[Variant, float, int]
) -> list[Explanation]:
    held, scale, agreed = closest
    if agreed == len(rows):
        again = [series.steps[i - 1] for i in series.resumes if series.steps[i] <= series.steps[0]]
        return [
            Explanation(
                word="restarted",
                says=f"after step {again[0]:g} the run's own counter went back to {series.steps[0]:g}, and the "
                "schedule with it",
                fix="the resumed run began anew: load the checkpoint with its step, and the scheduler's state",
                burden=1,
            )
        ]
    variants = [Variant(plan=each) for each in plan.conventions()]
    explanations = [
        explanation
        for i, variant in enumerate(variants)
        for explanation in whole_run(rows, variant, given, stand=i == 0)
    ]
    if _FEW <= agreed <= len(rows) - _FEW:
        explanations += from_there_on(rows, held, scale, agreed)
    if explanations:
        return simplest(explanations, rows)
    # pairs are tried in the convention that fits best, and in the most common one
    likely = [held, *(variant for variant in variants[:1] if variant.plan.ramp != held.plan.ramp)]
    explanations = _pairs_all_along(rows, likely, given)
    explanations += _one_after_the_other(rows, likely, given, closest)
    return simplest(explanations, rows)


def _pairs_all_along(rows: Rows, variants: list[Variant], given: float | None) -> list[Explanation]:
    """Two changes of the whole run: one of them a factor, a step's offset, another pace, or another length."""
    pairs: list[Explanation] = []
    if given is not None:
        for variant in variants:
            for explanation in whole_run(rows, variant, None, stand=False):
                if not math.isclose(explanation.scale, 1, rel_tol=rows.loose):
                    factor = constant_factor(explanation.variant, explanation.scale, explanation.worst)
                    pairs.append(explanation.and_then(factor))
    for variant in variants:
        pairs += _two_lengths(rows, variant, given)
        firsts = [
            *shifts(rows, variant, given)[:2],
            *past_the_end(rows, variant, given),
            *[s for s in totals(rows, variant, given) if s.word == "warm-up added to the total"],
        ]
        for first in firsts:
            if first.variant is None:
                continue
            pairs += [first.and_then(second) for second in whole_run(rows, first.variant, given, stand=False)]
        # numbers of processes and of accumulated batches that people have
        for pace in (2, 3, 4, 6, 8, 16, 32, 64):
            for factor in (float(pace), 1 / pace):
                pairs += _pace_and_length(rows, variant, given, factor)
    return pairs


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
    pairs: list[Explanation] = []
    few = rows.some()
    for search in (totals, warmups):
        explanations = search(rows, paced, given)
        for explanation in explanations:
            if explanation.variant is None or few.fit(explanation.variant.rates(few.steps), given)[0] > 2 * rows.loose:
                continue
            worst, scale = rows.fit(explanation.variant.rates(rows.steps), given)
            if worst <= rows.loose:
                fitted = replace(explanation, worst=float(worst), scale=float(scale), whole=True)
                pairs.append(first.and_then(fitted))
    return pairs


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
    found_total, found_warmup = float(max(t[i], w[j] + 1)), float(w[j])
    if found_total == total or found_warmup == planned:
        return []
    changed = variant.with_plan(total=found_total, warmup=found_warmup)
    fit, scale = rows.fit(changed.rates(rows.steps), given)
    if fit > rows.loose:
        return []
    ratio = found_total / total
    # both lengths times one whole number is a cause of its own, and was tried
    if 1 < ratio <= 64 and ratio == round(ratio) and planned and found_warmup == planned * ratio:
        return []
    word = "total too long" if found_total > total else "total too short"
    return [
        Explanation(
            word=f"{word} and wrong warm-up",
            says=f"the schedule was made for {found_total:g} steps, not {total:g}; and the warm-up took "
            f"{found_warmup:g} steps, not {planned:g}",
            fix="give it the number of optimizer steps of the whole run, and count the warm-up in them",
            burden=3 + PAIR,
            variant=changed,
            worst=float(fit),
            scale=float(scale),
            whole=True,
        )
    ]


def _one_after_the_other(
    rows: Rows, variants: list[Variant], given: float | None, closest: tuple[Variant, float, int]
) -> list[Explanation]:
    """A change all along, or an event, and an event after it."""
    held, scale, agreed = closest
    firsts: list[tuple[Explanation, int]] = []
    for part in _FIRST_PARTS:
        head = rows.part(0, max(int(part * len(rows)), 2 * _FEW))
        if len(head) == len(rows):
            continue
        for variant in variants:
            for explanation in simplest(whole_run(head, variant, given, stand=False), rows)[:_MOST_FIRST]:
                firsts.append((explanation, 0))
    if _FEW <= agreed <= len(rows) - 2 * _FEW:
        # an event that explains the rates only up to a second one
        for part in _FIRST_PARTS:
            end = agreed + max(int(part * (len(rows) - agreed)), 2 * _FEW)
            if end < len(rows):
                head = rows.part(0, end)
                firsts += [
                    (explanation, agreed)
                    for explanation in simplest(from_there_on(head, held, scale, agreed), rows)[:_MOST_FIRST]
                ]
    pairs: list[Explanation] = []
    seen: set[tuple[str, int]] = set()
    for explanation, begin in firsts:
        if explanation.variant is None or (explanation.says, begin) in seen:
            continue
        seen.add((explanation.says, begin))
        values = explanation.rates(rows.steps[begin:])
        until = begin + rows.part(begin).count_agreeing(values, 1.0, rows.loose)
        # with fewer rows on either side the second event would explain anything
        if not begin + _FEW <= until <= len(rows) - _FEW:
            continue
        pairs += [
            explanation.and_then(event) for event in from_there_on(rows, explanation.variant, explanation.scale, until)
        ]
    return pairs


def _all_zero(rows: Rows) -> Explanation:
    return Explanation(
        word="rate is 0",
        says=f"the rate is 0 in all {len(rows)} rows: no step was taken",
        fix="look at the first rate of the warm-up, and whether scheduler.step() is called; a total of 0 does it too",
        burden=0,
    )


def _unknown(rows: Rows, agreed: int) -> Explanation:
    return Explanation(
        word="unknown",
        says=f"from step {rows.steps[agreed]:g} on the rates follow no variation of the plan that is known, nor two "
        "at once",
        fix="look at what happened there; or the plan is not the one that was meant",
        burden=_UNKNOWN,
    )


def _as_planned(rows: Rows, held: Variant, worst: float) -> list[str]:
    said = [f"largest difference {_part(worst)} of the largest rate"]
    last, total, warmup = float(rows.steps.max()), held.plan.total, held.plan.warmup
    if total is not None and last < total - max(2, rows.loose * total):
        high = float(held.rates(np.array([0.0, warmup, *rows.some().steps])).max()) or 1.0
        left = float(held.rates(np.array([last]))[0]) / high
        said.append(
            f"the log ends at step {last:g} of {total:g}: the rate is at {left:.0%} of its peak, not annealed yet"
        )
    return said


def _why(
    rows: Rows, held: Variant, explanations: list[Explanation], agreed: int, scale: float
) -> tuple[list[str], list[Explanation]]:
    said: list[str] = []
    others: list[Explanation] = []
    if explanations:
        best = explanations[0]
        said.append(f"with that, all {len(rows)} rates agree to within {_part(best.worst)} of the largest")
        for explanation in explanations[1:]:
            as_good = explanation.burden <= best.burden and (explanation.worst <= rows.tight) == (
                best.worst <= rows.tight
            )
            if as_good and explanation.word != best.word and explanation.word not in {other.word for other in others}:
                others.append(explanation)
        said += [f"or: {other.says}; the log cannot tell" for other in others[:_OTHERS]]
    if _FEW <= agreed < len(rows):
        said.append(f"as planned until step {rows.steps[agreed - 1]:g} ({agreed} rates)")
    if not held.plan.rated:
        steps = np.array([0.0, held.plan.warmup, *rows.some().steps])
        peak = scale * float(held.rates(steps).max())
        said.append(f"the plan names no rate: its scale was read off the log, {peak:.6g} at the peak")
    return said, others[:_OTHERS]


def _result(
    series: Series,
    rows: Rows,
    held: Variant,
    scale: float,
    *,
    explanation: Explanation | None,
    evidence: list[str],
    others: list[Explanation] | None = None,
) -> Audit:
    planned = scale * held.rates(rows.steps)
    differences = np.abs(rows.rates - planned)
    departs = np.nonzero(differences > rows.loose * rows.largest)[0]
    first = int(departs[0]) if len(departs) else None
    kept = sorted({*spread(len(rows), _KEPT), *(() if first is None else (first,))})
    ramp = held.plan.ramp
    notes = (
        [f"the warm-up that fits best: {ramp}"] if held.plan.warmup and explanation is None and ramp in RAMPS else []
    )
    return Audit(
        log=series.name,
        column=series.column,
        plan=held.plan.text,
        verdict="as planned" if explanation is None else "departs",
        cause="" if explanation is None else explanation.word,
        explanation="" if explanation is None else explanation.says,
        fix="" if explanation is None else explanation.fix,
        others=tuple(other.word for other in others or ()),
        evidence=(*evidence, *notes, *series.notes),
        rows=len(rows),
        first_departure=None if first is None else _whole(series.steps[first]),
        largest_departure=float(differences.max()) / rows.largest,
        steps=tuple(_whole(series.steps[i]) for i in kept),
        planned=tuple(float(planned[i]) for i in kept),
        ran=tuple(float(rows.rates[i]) for i in kept),
    )


def _whole(step: float) -> float:
    return int(step) if step == int(step) else step


def _part(part: float) -> str:
    return f"{part:.2g}" if part >= 1e-12 else "rounding"
