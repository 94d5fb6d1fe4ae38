"""Whether the schedule that ran is the one that was planned, and if not, what made the difference."""

from dataclasses import replace
from typing import Any

import numpy as np

from surefoot.audits._explanation import Explanation, Variant, simplest
from surefoot.audits._later import changes_from
from surefoot.audits._match import Match, closest_convention, follow_plateau
from surefoot.audits._pairs import pairs
from surefoot.audits._plan import RAMPS, Plan
from surefoot.audits._read_plan import read_plan
from surefoot.audits._rows import FEWEST, Rows
from surefoot.audits._series import Series, read_series
from surefoot.audits._types import Audit
from surefoot.audits._whole import changes_throughout
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
# Alternatives that are named beside the cause: by convention, more would be no answer.
_OTHERS = 2
# Heavier than any cause that is known.
_UNKNOWN = 99
# Further columns of rates that are tried: by convention, more groups than people tune by hand.
_MOST_GROUPS = 8
# Stands for a cause where nothing departs from the plan.
_AS_PLANNED = Explanation(word="", says="", fix="", burden=0)


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
    series = read_series(file, column)
    # rates near the largest number there is overflow in a curve's square: that curve then does not fit
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        result = _compare(series, plan, tol)
        if result.verdict == "as planned" or not series.others:
            return result
        # a plan is one group's; which one the log does not say
        fitting = [name for name in series.others[:_MOST_GROUPS] if _is_as_planned(file, plan, name, tol)]
        chooses = (f"{', '.join(fitting)} is as planned: column= (--column) chooses it",) if fitting else ()
        return replace(result, evidence=(*chooses, *result.evidence))


def _is_as_planned(file: LogFile, plan: Any, column: str, tol: float) -> bool:
    """Whether another column of rates follows the plan; causes are not looked for."""
    try:
        rows = _rows(read_series(file, column), tol)
        wanted = read_plan(plan, float(rows.steps.max()))
        match = closest_convention(rows, wanted, 1.0 if wanted.rated else None)
    except InvalidInput:
        return False
    return match.agreed == len(rows) and wanted.plateau is None and bool(rows.rates.any())


def _compare(series: Series, plan: Any, tol: float) -> Audit:
    rows = _rows(series, tol)
    wanted = read_plan(plan, float(rows.steps.max()))
    if wanted.plateau is not None:
        wanted = follow_plateau(wanted, rows)
    # before anything else: a scale of 0 makes every plan fit
    if not rows.rates.any():
        return _result(series, rows, Match(Variant(plan=wanted), 1.0, 0), _all_zero(rows), [])
    given = 1.0 if wanted.rated else None
    match = closest_convention(rows, wanted, given)
    # where the log's own counter began again, a schedule that did so too looks as planned
    began_again = any(series.steps[i] <= series.steps[0] for i in series.resumes)
    if match.agreed == len(rows) and not began_again:
        return _result(series, rows, match, _AS_PLANNED, _evidence_as_planned(rows, match))
    few = replace(rows, marked=min(match.agreed, len(rows) - 1)).thin(_LOOKED_AT)
    match = _count_again(few, match, match.scale)
    explanations = _explanations(series, few, wanted, given, match)
    cause = explanations[0] if explanations else _unknown(few, min(match.agreed, len(few) - 1))
    if not wanted.rated and cause.whole:
        match = _count_again(few, match, cause.scale)
    others = _rivals(few, explanations)
    return _result(series, rows, match, cause, _evidence(few, match, explanations, others), others)


def _rows(series: Series, tol: float) -> Rows:
    steps, rates = np.array(series.steps, dtype=float), np.array(series.rates)
    largest = float(np.abs(rates).max()) or 1.0
    tight = series.coarse + _ROUNDING
    # a log too coarse for the tolerance cannot be held to it
    return Rows(steps=steps, rates=rates, largest=largest, tight=tight, loose=max(tol, tight))


def _count_again(rows: Rows, match: Match, scale: float) -> Match:
    """The match on other rows, or at another scale."""
    return Match(match.variant, scale, rows.count_agreeing(match.variant.rates(rows.steps), scale, rows.loose))


def _explanations(series: Series, rows: Rows, plan: Plan, given: float | None, match: Match) -> list[Explanation]:
    """What explains every row, the simplest first: single causes if there are any, else pairs."""
    if match.agreed == len(rows):
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
    explanations: list[Explanation] = []
    for i, each in enumerate(plan.conventions()):
        explanations += changes_throughout(rows, Variant(plan=each), given, stand=i == 0)
    if FEWEST <= match.agreed <= len(rows) - FEWEST:
        explanations += changes_from(rows, *match)
    return simplest(explanations or pairs(rows, match, given), rows)


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


def _evidence_as_planned(rows: Rows, match: Match) -> list[str]:
    variant, plan = match.variant, match.variant.plan
    worst = float(rows.fit(variant.rates(rows.steps), match.scale)[0])
    evidence = [f"largest difference {_share(worst)} of the largest rate"]
    last, total = float(rows.steps.max()), plan.total
    if total is not None and last < total - max(2, rows.loose * total):
        left = float(variant.rates(np.array([last]))[0]) / (variant.peak(rows) or 1.0)
        evidence.append(
            f"the log ends at step {last:g} of {total:g}: the rate is at {left:.0%} of its peak, not annealed yet"
        )
    if plan.warmup and plan.ramp in RAMPS:
        evidence.append(f"the warm-up that fits best: {plan.ramp}")
    return evidence


def _rivals(rows: Rows, explanations: list[Explanation]) -> list[Explanation]:
    """Other causes than the first that explain the rows as simply and as well."""
    rivals: dict[str, Explanation] = {}
    for each in explanations[1:]:
        best = explanations[0]
        as_well = (each.worst <= rows.tight) == (best.worst <= rows.tight)
        if each.burden <= best.burden and as_well and each.word != best.word:
            rivals.setdefault(each.word, each)
    return list(rivals.values())[:_OTHERS]


def _evidence(rows: Rows, match: Match, explanations: list[Explanation], others: list[Explanation]) -> list[str]:
    """What speaks for the cause, and what else could be it."""
    evidence: list[str] = []
    if explanations:
        worst = _share(explanations[0].worst)
        evidence.append(f"with that, all {len(rows)} rates agree to within {worst} of the largest")
        evidence += [f"or: {other.says}; the log cannot tell" for other in others]
    if FEWEST <= match.agreed < len(rows):
        evidence.append(f"as planned until step {rows.steps[match.agreed - 1]:g} ({match.agreed} rates)")
    if not match.variant.plan.rated:
        peak = match.scale * match.variant.peak(rows)
        evidence.append(f"the plan names no rate: its scale was read off the log, {peak:.6g} at the peak")
    return evidence


def _result(
    series: Series,
    rows: Rows,
    match: Match,
    cause: Explanation,
    evidence: list[str],
    others: list[Explanation] | None = None,
) -> Audit:
    planned = match.scale * match.variant.rates(rows.steps)
    differences = np.abs(rows.rates - planned)
    departs = np.nonzero(differences > rows.loose * rows.largest)[0]
    first = int(departs[0]) if len(departs) else None
    kept = sorted({*spread(len(rows), _KEPT), *(() if first is None else (first,))})
    return Audit(
        log=series.name,
        column=series.column,
        plan=match.variant.plan.text,
        verdict="as planned" if cause is _AS_PLANNED else "departs",
        cause=cause.word,
        explanation=cause.says,
        fix=cause.fix,
        others=tuple(other.word for other in others or ()),
        evidence=(*evidence, *series.notes),
        rows=len(rows),
        first_departure=None if first is None else _whole(series.steps[first]),
        largest_departure=float(differences.max()) / rows.largest,
        steps=tuple(_whole(series.steps[i]) for i in kept),
        planned=tuple(planned[kept].tolist()),
        ran=tuple(rows.rates[kept].tolist()),
    )


def _whole(step: float) -> float:
    return int(step) if step == int(step) else step


def _share(difference: float) -> str:
    return f"{difference:.2g}" if difference >= 1e-12 else "rounding"
