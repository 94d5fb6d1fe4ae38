"""What could have happened to the rates from one step on: a run that was resumed, and a schedule that was not."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from surefoot.audits._cause import FAR, Cause, simplest
from surefoot.audits._plan import Plan
from surefoot.audits._rows import Curve, Rows

__all__ = ["from_there_on"]

# Resumes in a row that are followed.
MOST_RESTARTS = 50
# Points at which a curve is looked at to find where it has a given value.
GRID = 2048
_SAVE = "save the scheduler's state_dict() in the checkpoint and load it again"


def from_there_on(rows: Rows, plan: Plan, scale: float, first: int) -> list[Cause]:
    """Causes that explain the rates from an index on, where those before it are as planned; the best first.

    Parameters
    ----------
    rows : Rows
    plan : Plan
        In the convention that the rows before follow.
    scale : float
        Factor of the plan's rates.
    first : int
        Index of the first row that departs.
    """
    tail = rows.part(first)
    begin = range(rows.steps[first - 1], rows.steps[first] + 2) if first else range(2)
    found = [
        *_restarts(rows, plan, scale, first),
        *_stopped(tail, plan, scale),
        *_lost(tail, plan, scale),
        *_carried(tail, plan),
        *_other_total(tail, plan, scale),
        *_shorter_restart(tail, plan, scale, begin),
    ]
    return simplest(found, rows)


def _restarts(rows: Rows, plan: Plan, scale: float, first: int) -> Iterator[Cause]:
    """The schedule began again, perhaps more than once."""
    curve, at = plan.curve(), first
    worst, places = 0.0, list[int]()
    while at < len(rows):
        if len(places) == MOST_RESTARTS:
            return
        tail = rows.part(at)
        low = rows.steps[at - 1] if at else rows.steps[at] - 1
        begins = range(max(low, rows.steps[at] - GRID), rows.steps[at] + 2)
        reach, _, best = max(
            (
                tail.agreeing(_shifted(curve, b), scale, rows.loose),
                tail.agreeing(_shifted(curve, b), scale, rows.tight),
                b,
            )
            for b in begins
        )
        if not reach:
            return
        worst = max(worst, rows.part(at, at + reach).match(_shifted(curve, best), scale).worst)
        places.append(rows.steps[at])
        at += reach
    # one row at a time can be explained by a new beginning at each: that explains nothing
    if len(places) * 4 > len(rows) - first and len(places) > 1:
        return
    where = f"step {places[0]}" if len(places) == 1 else f"steps {', '.join(map(str, places[:5]))}"
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    yield Cause(
        word="restarted",
        says=f"the schedule began again from its start at {where}{more}",
        fix=f"the resumed run made a new scheduler: {_SAVE}",
        burden=1,
        worst=worst,
        scale=scale,
    )


def _shifted(curve: Curve, begin: int) -> Curve:
    return lambda step: curve(step - begin)


def _stopped(tail: Rows, plan: Plan, scale: float) -> Iterator[Cause]:
    low, high = min(tail.rates), max(tail.rates)
    curve = plan.curve()
    if len(tail) < 2 or high - low > tail.tight * tail.largest:
        return
    if len({curve(step) for step in tail.steps}) > 1:
        yield Cause(
            word="stopped",
            says=f"from step {tail.steps[0]} on the rate stayed at {high:.6g}: the schedule no longer advanced",
            fix="after a resume, give the scheduler the optimizer that is stepped, and step both",
            burden=1,
            scale=scale,
        )


def _lost(tail: Rows, plan: Plan, scale: float) -> Iterator[Cause]:
    """The schedule went on from another position."""
    curve = plan.curve()
    end = (plan.total or tail.steps[-1]) + tail.steps[-1]
    for position in _where(curve, tail.rates[0] / scale, end):
        for candidate in (math.floor(position), math.ceil(position)):
            lag = candidate - tail.steps[0]
            match = tail.explained(_shifted(curve, -lag), scale) if lag else None
            if match is not None:
                side = "behind" if lag < 0 else "ahead of"
                yield Cause(
                    word="position lost",
                    says=f"from step {tail.steps[0]} on the schedule is {abs(lag)} steps {side} the plan",
                    fix=f"its position and the run's went apart on a resume: {_SAVE} with the step",
                    burden=2,
                ).fitting(match)


def _where(curve: Curve, value: float, end: int) -> list[float]:
    """Positions at which the curve has a value, by bisection between the points of a grid."""
    points = [end * i / GRID for i in range(GRID + 1)]
    found: list[float] = []
    for low, high in pairwise(points):
        at_low, at_high = curve(low) - value, curve(high) - value
        if at_low * at_high > 0 or at_low == at_high:
            continue
        for _ in range(60):
            middle = (low + high) / 2
            if (curve(middle) - value) * at_low > 0:
                low = middle
            else:
                high = middle
        found.append(high)
    return found


def _carried(tail: Rows, plan: Plan) -> Iterator[Cause]:
    """The schedule went on at the right place from the wrong rate."""
    if (match := tail.explained(plan.curve())) is not None and len(tail) > 2:
        yield Cause(
            word="rate carried over",
            says=f"from step {tail.steps[0]} on the rates are {match.scale:.6g} times the plan's",
            fix="the resumed scheduler counts on from the optimizer's current rate: load the optimizer's and the "
            "scheduler's state, or keep initial_lr when last_epoch is given",
            burden=2,
        ).fitting(match)


def _other_total(tail: Rows, plan: Plan, scale: float) -> Iterator[Cause]:
    total = plan.total
    if total is None:
        return

    def curve_of(length: int) -> Curve:
        return plan.resized(length).curve()

    lengths = [round(total * FAR ** (i / 60)) for i in range(-60, 61)]
    found = tail.best(curve_of, [n for n in lengths if n > plan.warmup + 1], scale)
    if found != total and (match := tail.explained(curve_of(found), scale)) is not None:
        yield Cause(
            word="total changed",
            says=f"from step {tail.steps[0]} on the rates are those of a schedule of {found} steps, not {total}",
            fix="the resumed run has another number of steps (epochs, devices or batch size changed): give it the "
            "same total, or plan anew from there",
            burden=3,
        ).fitting(match)


def _shorter_restart(tail: Rows, plan: Plan, scale: float, begins: range) -> Iterator[Cause]:
    """The schedule began again, over another number of steps, perhaps those that were left."""
    total = plan.total
    if total is None or len(tail) < 3:
        return
    for begin in begins[-4:]:
        warmups = dict.fromkeys((plan.warmup, 0))
        for warmup in warmups:
            fresh = replace(plan, warmup=warmup)

            def curve_of(length: int, fresh: Plan = fresh, begin: int = begin) -> Curve:
                return _shifted(fresh.resized(length).curve(), begin)

            lengths = {total - begin, *(round(total * FAR ** (i / 60)) for i in range(-60, 61))}
            found = tail.best(curve_of, [n for n in lengths if n > warmup + 1], scale)
            if (match := tail.explained(curve_of(found), scale)) is None:
                continue
            left = ", the steps that were left" if found == total - begin else ""
            yield Cause(
                word="restarted",
                says=f"at step {begin} a new schedule of {found} steps began{left}"
                + ("" if warmup == plan.warmup else ", without warm-up"),
                fix=f"the resumed run made a new scheduler: {_SAVE}",
                burden=3 + (warmup != plan.warmup),
            ).fitting(match)
