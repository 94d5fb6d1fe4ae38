"""Changes that set in at some step, mostly where a run was resumed and its schedule was not."""

from dataclasses import replace

import numpy as np

from surefoot.audits._explanation import Explanation, Variant, sift
from surefoot.audits._rows import FEWEST, Rows, distances, nearest_whole
from surefoot.audits._whole import lengths

# Most resumes in a row that are followed. By convention: a longer chain explains any log.
MOST_RESTARTS = 50
# Most steps between two rows at which a new start of the schedule is tried.
BEGINS = 512
# Rows before the first departure where it may have begun: near its end a schedule and a new warm-up can agree.
BEFORE = 6
# The advice that most causes of a resumed run share.
_SAVE = "save the scheduler's state_dict() in the checkpoint and load it again"


def changes_from(rows: Rows, variant: Variant, scale: float, first: int) -> list[Explanation]:
    """Causes that explain the rates from an index on, where those before it are as the variant says.

    Parameters
    ----------
    rows : Rows
    variant : Variant
        What the rows before follow.
    scale : float
        Factor of its rates.
    first : int
        Index of the first row that departs.
    """
    tail = rows.part(first)
    before = float(rows.steps[first - 1]) if first else float(rows.steps[0]) - 1
    return [
        *_restarts(rows, variant, scale, first),
        *_stop(tail, variant),
        *_lost_position(tail, variant, scale),
        *_carried_rate(tail, variant),
        *_other_total(tail, variant, scale),
        *_new_schedule(tail, variant, scale, before),
    ]


def _restarts(rows: Rows, variant: Variant, scale: float, first: int) -> list[Explanation]:
    """The schedule started again, perhaps more than once."""
    at, worst, places = first, 0.0, list[float]()
    plain = replace(variant, shift=0.0)
    last = plain
    while at < len(rows):
        if len(places) == MOST_RESTARTS:
            return []
        tail = rows.part(at)
        here = float(tail.steps[0])
        # near its end a schedule and a new warm-up may agree for some rows: it began before them
        low = float(rows.steps[max(at - BEFORE, 0)]) if at else here - 1
        begins = np.unique(np.round(np.linspace(max(low, here - BEGINS), here + 1, BEGINS)))
        # a few rows tell where it began; whether it went on so is seen on all
        head = tail.part(0, 32)
        values = plain.rates(head.steps - begins[:, None])
        off = np.abs(scale * values - head.rates) > rows.loose * rows.largest
        reach = np.where(off.any(axis=1), np.argmax(off, axis=1), len(head))
        close = np.max(np.where(np.arange(len(head)) < reach[:, None], np.abs(scale * values - head.rates), 0), axis=1)
        best = float(begins[np.lexsort((close, -reach))[0]])
        last = replace(variant, shift=best)
        agreed = tail.count_agreeing(last.rates(tail.steps), scale, rows.loose)
        if not agreed:
            return []
        worst = max(worst, float(rows.part(at, at + agreed).fit(last.rates(tail.steps[:agreed]), scale)[0]))
        places.append(here)
        at += agreed
    # one row at a time can be explained by a new beginning at each: that explains nothing
    if len(places) * 4 > len(rows) - first and len(places) > 1:
        return []
    where = f"step {places[0]:g}" if len(places) == 1 else f"steps {', '.join(f'{p:g}' for p in places[:5])}"
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    return [
        Explanation(
            word="restarted",
            says=f"the schedule began again from its start at {where}{more}",
            fix=f"the resumed run made a new scheduler: {_SAVE}",
            burden=1,
            variant=last,
            worst=worst,
            scale=scale,
        )
    ]


def _stop(tail: Rows, variant: Variant) -> list[Explanation]:
    level = tail.level
    if level is None or np.ptp(variant.rates(tail.steps)) == 0:
        return []
    return [
        Explanation(
            word="stopped",
            says=f"from step {tail.steps[0]:g} on the rate stayed at {level:.6g}: the schedule no longer advanced",
            fix="after a resume, give the scheduler the optimizer that is stepped, and step both",
            burden=1,
            scale=level,
        )
    ]


def _lost_position(tail: Rows, variant: Variant, scale: float) -> list[Explanation]:
    """The schedule went on from another position."""
    far = distances(tail)
    fitting: list[Explanation] = []
    # each side by itself: near the start of a schedule both fit the first rows
    for side in (-far, far):
        lag = nearest_whole(tail, lambda steps, lag: variant.rates(steps + lag), scale, side)
        changed = replace(variant, shift=variant.shift - lag)
        says = f"from step {tail.steps[0]:g} on the schedule is {abs(lag):g} steps "
        explanation = Explanation(
            word="position lost",
            says=says + ("behind" if lag < 0 else "ahead of") + " the plan",
            fix=f"its position and the run's went apart on a resume: {_SAVE} with the step",
            burden=2,
            variant=changed,
        )
        fitting += sift(tail, [explanation], scale)
    return fitting


def _carried_rate(tail: Rows, variant: Variant) -> list[Explanation]:
    """The schedule went on at the right place from the wrong rate."""
    worst, factor = tail.fit(variant.rates(tail.steps))
    # any single row is a multiple of the plan's, and two often are
    if len(tail) < FEWEST or worst > tail.loose:
        return []
    return [
        Explanation(
            word="rate carried over",
            says=f"from step {tail.steps[0]:g} on the rates are {float(factor):.6g} times the plan's",
            fix="the resumed scheduler counts on from the optimizer's current rate: load the optimizer's and the "
            "scheduler's state, or keep initial_lr when last_epoch is given",
            burden=2,
            variant=variant,
            worst=float(worst),
            scale=float(factor),
        )
    ]


def _other_total(tail: Rows, variant: Variant, scale: float) -> list[Explanation]:
    total = variant.plan.total
    if total is None:
        return []
    length = nearest_whole(tail, variant.rates, scale, lengths(total), least=variant.plan.warmup + 1)
    if length == total:
        return []
    changed = variant.with_plan(total=length)
    explanation = Explanation(
        word="total changed",
        says=f"from step {tail.steps[0]:g} on the rates are those of a schedule of {length:g} steps, not {total:g}",
        fix="the resumed run has another number of steps (epochs, devices or batch size changed): give it the same "
        "total, or plan anew from there",
        burden=3,
        variant=changed,
    )
    return sift(tail, [explanation], scale)


def _new_schedule(tail: Rows, variant: Variant, scale: float, before: float) -> list[Explanation]:
    """The schedule began again, over another number of steps, perhaps those that were left."""
    total = variant.plan.total
    if total is None or len(tail) < FEWEST:
        return []
    fitting: list[Explanation] = []
    here = float(tail.steps[0])
    # the log does not show the step between two rows at which it began
    for begin in sorted({before, before + 1, here - 1, here, here + 1}):
        for warmup in dict.fromkeys((variant.plan.warmup, 0.0)):
            fresh = replace(variant.with_plan(warmup=warmup), shift=begin)
            guesses = np.append(lengths(total), max(total - begin, 1.0))
            length = nearest_whole(tail, fresh.rates, scale, guesses, least=warmup + 1)
            changed = fresh.with_plan(total=length)
            left = ", the steps that were left" if length == total - begin else ""
            explanation = Explanation(
                word="restarted",
                says=f"at step {begin:g} a new schedule of {length:g} steps began{left}"
                + ("" if warmup == variant.plan.warmup else ", without warm-up"),
                fix=f"the resumed run made a new scheduler: {_SAVE}",
                burden=3 + (warmup != variant.plan.warmup),
                variant=changed,
            )
            fitting += sift(tail, [explanation], scale)
    return fitting
