"""Whether the schedule that ran is the one that was planned, and if not, what made the difference."""

import math
from dataclasses import replace
from typing import Any

from surefoot.audits._cause import Cause, simplest
from surefoot.audits._causes import whole_run
from surefoot.audits._plan import Plan, plan_of
from surefoot.audits._resumes import from_there_on
from surefoot.audits._rows import Rows, thinned
from surefoot.audits._series import Series, series_of
from surefoot.audits._types import Audit
from surefoot.errors import InvalidInput

__all__ = ["audit"]

# What double precision may lose in a schedule that counts on from the last rate, and single precision in writing it.
_ROUNDING = 1e-6
# Rows of a long log that causes are tried on; all are compared with the plan.
_LOOKED_AT = 20_000
# Rows kept for a table and a figure.
_KEPT = 400
# Parts of the log at whose beginning the scale of a plan without a rate is looked for.
_BEGINNINGS = (1.0, 0.5, 0.25, 0.1, 0.05, 0.02)
# With fewer rows from there on, too many stories would fit.
_FEW = 3


def audit(log: Any, plan: Any, *, column: str | None = None, tol: float = 1e-3) -> Audit:
    """Compare the rates that ran with a plan, and say what made the difference.

    A departure is a difference of more than `tol` times the largest rate that ran. The causes (docs/audit.md) are
    curves that are tried on the log: one is named only if it explains every rate to within the same tolerance, and of
    several the simplest; where the log cannot tell two apart, it says so.

    Parameters
    ----------
    log : path, mapping, or sequence
        A file (.csv, .tsv, .jsonl, .json such as transformers' trainer_state.json), one of TensorBoard's event files or
        a folder of them; or columns by name, records, (step, rate) pairs, or rates alone at steps 0, 1, 2, ...
    plan : str, Schedule or Warmup
        ``NAME[:RATE][,key=value...]`` such as ``cosine:total=10000,warmup=500`` or ``step-decay:0.1,every=30``:
        names as in `surefoot.rules.named_rules`; total and warmup in steps, the total with the warm-up in it. Without a
        rate the scale is read off the log. Both usual first rates of a warm-up count as planned.
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
    if not 0 < tol < 1:
        raise InvalidInput(f"tol is a part of the largest rate, in (0, 1); got {tol!r}")
    wanted, series = plan_of(plan), series_of(log, column)
    rows = _rows(series, tol)
    given = 1.0 if wanted.rated else None
    held, scale, agreed = _closest(rows, wanted, given)
    curve = held.curve()
    worst = rows.match(curve, scale).worst
    if agreed == len(rows) and not _went_back_to_the_start(series):
        return _result(series, rows, held, scale, cause=None, evidence=_as_planned(rows, held, worst))
    few = rows if agreed == len(rows) else replace(rows, marked=agreed).some(_LOOKED_AT)
    agreed = agreed if few is rows else few.agreeing(curve, scale, few.loose)
    causes = _explanations(series, few, wanted, given, (held, scale, agreed))
    cause = causes[0] if causes else _unknown(few, agreed)
    if not wanted.rated and cause.whole:
        scale, agreed = cause.scale, few.agreeing(curve, cause.scale, few.loose)
    return _result(series, rows, held, scale, cause=cause, evidence=_why(few, held, causes, agreed, scale))


def _rows(series: Series, tol: float) -> Rows:
    largest = max(map(abs, series.rates)) or 1.0
    tight = series.coarse + _ROUNDING
    # a log too coarse for the tolerance cannot be held to it
    steps: Any = series.steps
    return Rows(steps, series.rates, largest, tight, max(tol, tight))


def _closest(rows: Rows, plan: Plan, scale: float | None) -> tuple[Plan, float, int]:
    """The convention of the warm-up, and the scale, under which the most rows from the first on are as planned."""
    best, key = (plan, 1.0 if scale is None else scale, 0), (-1, 0.0)
    for each in plan.conventions():
        curve = each.curve()
        for factor in [scale] if scale is not None else _scales(rows, each):
            agreed = rows.agreeing(curve, factor, rows.loose)
            worst = rows.part(0, agreed).match(curve, factor).worst
            if (agreed, -worst) > key:
                best, key = (each, factor, agreed), (agreed, -worst)
            if agreed == len(rows) and worst <= rows.tight:
                return best
    return best


def _scales(rows: Rows, plan: Plan) -> list[float]:
    """Factors that a plan without a rate may have: the best ones for beginnings of the log."""
    curve = plan.curve()
    some = rows.some(_KEPT)
    found = [some.part(0, max(round(part * len(some)), 2)).match(curve).scale for part in _BEGINNINGS]
    highest = max(map(curve, some.steps))
    return [scale for scale in [*found, rows.largest / highest if highest > 0 else 1.0] if scale > 0] or [1.0]


def _went_back_to_the_start(series: Series) -> bool:
    """Whether the log's own counter began again, so that a schedule that did so too looks as planned."""
    return any(series.steps[i] <= series.steps[0] for i in series.resumes)


def _explanations(
    series: Series, rows: Rows, plan: Plan, given: float | None, closest: tuple[Plan, float, int]
) -> list[Cause]:
    held, scale, agreed = closest
    if agreed == len(rows):
        again = [series.steps[i - 1] for i in series.resumes if series.steps[i] <= series.steps[0]]
        return [
            Cause(
                word="restarted",
                says=f"after step {again[0]} the run's own counter went back to {series.steps[0]}, and the schedule "
                "with it",
                fix="the resumed run began anew: load the checkpoint with its step, and the scheduler's state",
                burden=1,
            )
        ]
    found = whole_run(rows, plan, given)
    if _FEW <= agreed <= len(rows) - _FEW:
        found += from_there_on(rows, held, scale, agreed)
    if not found and given is not None:
        factor = rows.largest / (max(map(held.curve(), rows.steps)) or 1.0)
        found = [
            replace(cause, says=f"{cause.says}; and all rates are {cause.scale:.6g} times the plan's", burden=9)
            for cause in whole_run(rows, plan, None)
            if not math.isclose(cause.scale, 1, rel_tol=rows.loose) and factor > 0
        ]
    return simplest(found, rows)


def _unknown(rows: Rows, agreed: int) -> Cause:
    return Cause(
        word="unknown",
        says=f"from step {rows.steps[agreed]} on the rates follow no variation of the plan that is known",
        fix="look at what happened there; or the plan is not the one that was meant",
        burden=99,
    )


def _as_planned(rows: Rows, plan: Plan, worst: float) -> list[str]:
    said = [f"largest difference {_part(worst)} of the largest rate"]
    last, total = max(rows.steps), plan.total
    if total is not None and last < total - max(2, rows.loose * total):
        left = plan.at(last) / (max(plan.at(k) for k in {0, plan.warmup, *rows.steps[:: max(len(rows) // 50, 1)]}) or 1)
        said.append(f"the log ends at step {last} of {total}: the rate is at {left:.0%} of its peak, not annealed yet")
    return said


def _why(rows: Rows, plan: Plan, causes: list[Cause], agreed: int, scale: float) -> list[str]:
    said: list[str] = []
    if causes:
        best = causes[0]
        said.append(f"with that, all {len(rows)} rates agree to within {_part(best.worst)} of the largest")
        as_good = [
            c for c in causes[1:] if c.burden == best.burden and (c.worst <= rows.tight) == (best.worst <= rows.tight)
        ]
        others = list(dict.fromkeys(c.says for c in as_good if c.word != best.word))
        said += [f"or: {other}; the log cannot tell" for other in others[:2]]
    if _FEW <= agreed < len(rows):
        said.append(f"as planned until step {rows.steps[agreed - 1]} ({agreed} rates)")
    if not plan.rated:
        said.append(
            f"the plan names no rate: its scale was read off the log, {scale * _peak(plan, rows):.6g} at the peak"
        )
    return said


def _peak(plan: Plan, rows: Rows) -> float:
    curve = plan.curve()
    return max(map(curve, (0, plan.warmup, *rows.some(_KEPT).steps)))


def _result(series: Series, rows: Rows, plan: Plan, scale: float, *, cause: Cause | None, evidence: list[str]) -> Audit:
    curve = plan.curve()
    allowed = rows.loose * rows.largest
    differences = [abs(r - scale * curve(s)) for s, r in zip(rows.steps, rows.rates, strict=True)]
    departs = next((i for i, difference in enumerate(differences) if difference > allowed), None)
    kept = sorted({*thinned(len(rows), _KEPT), *(() if departs is None else (departs,))})
    notes = [f"the warm-up that fits best: {plan.ramp}"] if plan.ramp and cause is None else []
    return Audit(
        log=series.name,
        column=series.column,
        plan=plan.text,
        verdict="as planned" if cause is None else "departs",
        cause="" if cause is None else cause.word,
        explanation="" if cause is None else cause.says,
        fix="" if cause is None else cause.fix,
        evidence=(*evidence, *notes, *series.notes),
        rows=len(rows),
        first_departure=None if departs is None else rows.steps[departs],
        largest_departure=max(differences) / rows.largest,
        steps=tuple(rows.steps[i] for i in kept),
        planned=tuple(scale * curve(rows.steps[i]) for i in kept),
        ran=tuple(rows.rates[i] for i in kept),
    )


def _part(part: float) -> str:
    return f"{part:.2g}" if part >= 1e-12 else "rounding"
