"""Changes of the plan that last for the whole run: each is a family of curves, tried at once."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from surefoot.audits._drifts import drifts
from surefoot.audits._explanation import Explanation, Variant, sift
from surefoot.audits._rows import Array, Rows, distances, nearest_whole

# Most processes or micro-batches that are tried one by one; larger numbers are left to the search for lengths.
MOST = 64
# Lengths are searched from this many times shorter to this many times longer than planned.
FAR = 100.0
# Lengths that a search starts from: over that range they are 8% apart.
GUESSES = 121
# A rate must be held for this many steps at least to be a stair.
HELD = 2


def changes_throughout(rows: Rows, variant: Variant, scale: float | None, *, stand: bool = True) -> list[Explanation]:
    """Causes that explain all of the rows.

    Parameters
    ----------
    rows : Rows
    variant : Variant
        The plan in one convention of its warm-up, perhaps with a change already.
    scale : float or None
        Factor of the plan's rates; None if the plan names no rate, so that any will do.
    stand : bool
        Whether to try that the rates stood still or drifted, which makes no sense on top of another change.
    """
    fitting = standstill(rows, variant) if stand else []
    # families without a search are one matrix of curves
    fitting += sift(rows, [*paces(rows, variant), *stairs(rows, variant), *past_the_end(variant)], scale)
    for search in (shifts, totals, warmups):
        fitting += sift(rows, search(rows, variant, scale), scale)
    if scale is not None:
        worst, factor = rows.fit(variant.rates(rows.steps))
        if worst <= rows.loose:
            fitting.append(constant_factor(variant, float(factor), float(worst)))
    if stand:
        for each in _ends(variant):
            fitting += drifts(rows, each, scale)
    return [replace(explanation, whole=True) for explanation in fitting]


def standstill(rows: Rows, variant: Variant) -> list[Explanation]:
    """The rate never moved, although the plan's does."""
    level = rows.level
    if level is None or np.ptp(variant.rates(rows.steps)) == 0:
        return []
    return [
        Explanation(
            word="never stepped",
            says=f"the rate stayed at {level:.6g}: the schedule never advanced",
            fix="call scheduler.step() once after each optimizer.step()",
            burden=0,
            scale=level,
        )
    ]


def constant_factor(variant: Variant | None, factor: float, worst: float) -> Explanation:
    """The plan's rates times a number."""
    return Explanation(
        word="constant factor",
        says=f"all rates are {factor:.6g} times the plan's",
        fix="the base rate was scaled (by the number of processes or the batch size?), or it is another parameter "
        "group's",
        burden=1,
        variant=variant,
        scale=factor,
        worst=worst,
    )


def _ends(variant: Variant) -> Iterable[Variant]:
    """The plan as it is, held at its end; and, for a cosine, periodic as torch's is."""
    yield variant
    if variant.plan.is_cosine and not variant.plan.periodic:
        yield variant.with_plan(periodic=True)


def _past(variant: Variant) -> str:
    """In words, that a cosine rose again after its end; empty where it did not."""
    return ", and rose again after its end, as torch's and transformers' cosine does" if variant.plan.periodic else ""


def paces(rows: Rows, variant: Variant) -> list[Explanation]:
    """N positions for each step, or one for N steps, counted from the log's 0 or 1."""
    # on top of another pace they would explain one run in many ways
    if variant.pace != 1 or variant.stair != 1:
        return []
    last = rows.steps[-1]
    explanations: list[Explanation] = []
    for n in range(2, MOST + 1):
        for begin in (0, 1, -1):
            for each in _ends(variant):
                explanations.append(
                    Explanation(
                        word="stepped too often",
                        says=f"the schedule advanced {n} times per step{_past(each)}",
                        fix=f"step it once per optimizer step; under accelerate (num_processes={n}) leave it out of "
                        f"prepare(), or give it {n} times the total and the warm-up; with accumulation, step it only "
                        "when the optimizer steps",
                        burden=1 + abs(begin) + each.plan.periodic,
                        variant=replace(each, pace=float(n), shift=variant.shift + begin),
                    )
                )
            explanations.append(
                Explanation(
                    word="counted in micro-batches",
                    says=f"the schedule is {n} times too long, warm-up included: at step {last:g} it stood where the "
                    f"plan is at {last / n:.0f}",
                    fix=f"its lengths were counted in micro-batches or for {n} processes: divide them by {n} (gradient "
                    "accumulation), or step it so often",
                    burden=1 + abs(begin) + (variant.plan.warmup == 0),
                    variant=replace(variant, pace=1 / n, shift=variant.shift + begin),
                )
            )
    return explanations


def stairs(rows: Rows, variant: Variant) -> list[Explanation]:
    """One position for N steps, or the plan's own, the rate held in between."""
    if variant.pace != 1 or variant.stair != 1:
        return []
    held = _stair_length(rows)
    explanations: list[Explanation] = []
    for n in sorted({*range(2, MOST + 1), held} if held >= HELD else set()):
        for begin in (0, 1):
            shift = variant.shift + begin
            explanations += [
                Explanation(
                    word="stepped too seldom",
                    says=f"the schedule advanced once every {n:g} steps",
                    fix="step it with every optimizer step; if the log counts micro-batches, give the plan's total in "
                    "them",
                    burden=1 + begin,
                    variant=replace(variant, pace=1 / n, stair=float(n), shift=shift),
                ),
                Explanation(
                    word="held between updates",
                    says=f"the rate follows the plan in stairs of {n:g} steps",
                    fix="the schedule is updated once per epoch or per accumulation: harmless where the stairs are "
                    "short",
                    burden=2 + begin,
                    variant=replace(variant, stair=float(n), shift=shift),
                ),
            ]
    return explanations


def _stair_length(rows: Rows) -> float:
    """The number of steps for which rates were most often held; 0 if none was."""
    moved = np.nonzero(np.diff(rows.rates) != 0)[0]
    if not len(moved):
        return 0.0
    since = np.concatenate([[0], moved[:-1] + 1])
    # the most frequent one: at the end of an epoch, or of the log, a stair is cut short
    lengths, counts = np.unique(rows.steps[moved + 1] - rows.steps[since], return_counts=True)
    return float(lengths[np.argmax(counts)])


def shifts(rows: Rows, variant: Variant, scale: float | None) -> list[Explanation]:
    """The same rates, a few steps late or early."""
    far = distances(rows)
    guesses = np.concatenate([-far, [0.0], far])
    best = nearest_whole(rows, lambda steps, ahead: variant.rates(steps + ahead), scale, guesses)
    explanations: list[Explanation] = []
    # the small ones by themselves: in a flat stretch the best fit may be a larger one by rounding
    for ahead in (-1.0, 1.0, -2.0, 2.0, best):
        if ahead == 0:
            continue
        late = "behind" if ahead < 0 else "ahead of"
        by = "one step" if abs(ahead) == 1 else f"{abs(ahead):g} steps"
        harmless = "harmless if the log counts from 1" if ahead < 0 else "harmless if the log is written after the step"
        explanations.append(
            Explanation(
                word="offset",
                says=f"the rates are {by} {late} the plan, all along",
                fix=harmless
                if abs(ahead) == 1
                else "look at the step at which the schedule was made, or logging began",
                burden=1 if abs(ahead) == 1 else 2,
                variant=replace(variant, shift=variant.shift - ahead),
            )
        )
    return explanations


def past_the_end(variant: Variant) -> list[Explanation]:
    """A cosine that rose again."""
    total = variant.plan.total
    return [
        Explanation(
            word="ran past its end",
            says=f"the run went on after step {total or 0:g}{_past(each)}",
            fix="end the run there, or make the schedule as long as the run",
            burden=1,
            variant=each,
        )
        for each in _ends(variant)
        if each is not variant
    ]


def lengths(around: float, least: float = 1.0) -> Array:
    """Lengths from 100 times shorter to 100 times longer."""
    return np.maximum(np.round(around * FAR ** np.linspace(-1, 1, GUESSES)), least)


def totals(rows: Rows, variant: Variant, scale: float | None) -> list[Explanation]:
    """A schedule made for another number of steps."""
    total, warmup = variant.plan.total, variant.plan.warmup
    if total is None:
        return []
    explanations: list[Explanation] = []
    if warmup:
        explanations.append(
            Explanation(
                word="warm-up added to the total",
                says=f"the annealing ends at {total + warmup:g}: {total:g} steps after the warm-up, not with it",
                fix="a total usually includes the warm-up: subtract it, or run that much longer",
                burden=1,
                variant=variant.with_plan(total=total + warmup),
            )
        )
    n = np.arange(2, MOST + 1)
    exact = {float(m * total): int(m) for m in n} | {float(total // m): -int(m) for m in n if total >= m}
    for each in _ends(variant):
        guesses = np.concatenate([lengths(total), np.array(list(exact))])
        length = nearest_whole(rows, each.rates, scale, guesses, least=warmup + 1)
        if length != total:
            explanations.append(_wrong_total(rows, each, length, exact.get(length, 0)))
    return explanations


def _wrong_total(rows: Rows, each: Variant, length: float, ratio: int) -> Explanation:
    plan = each.plan
    total = plan.total or length
    changed = each.with_plan(total=length)
    if length < total:
        times = f", {-ratio} times too few" if ratio else ""
        return Explanation(
            word="total too short",
            says=f"the schedule was made for {length:g} steps, not {total:g}{times}{_past(each)}",
            fix="give it the number of optimizer steps of the whole run"
            + (f"; or it is stepped {-ratio} times per step" if ratio and not plan.warmup else ""),
            burden=1 + (ratio == 0) + plan.periodic,
            variant=changed,
        )
    reached = float(rows.steps.max())
    left = float(changed.rates(np.array([reached]))[0]) / (changed.peak(rows) or 1.0)
    never = f": never annealed, at step {reached:g} the rate was {left:.0%} of the peak"
    if ratio:
        return Explanation(
            word="counted in micro-batches",
            says=f"the schedule was made for {length:g} steps, {ratio} times {total:g}{never}",
            fix=f"the total was counted in micro-batches: divide it by the {ratio} that are accumulated, or by the "
            "processes that share the data",
            burden=1,
            variant=changed,
        )
    return Explanation(
        word="total too long",
        says=f"the schedule was made for {length:g} steps, not {total:g}{never if left > 0.01 else ''}",
        fix="give it the number of optimizer steps of the whole run",
        burden=2 + plan.periodic,
        variant=changed,
    )


def warmups(rows: Rows, variant: Variant, scale: float | None) -> list[Explanation]:
    """A warm-up of another length, however much longer than the run."""
    planned, total = variant.plan.warmup, variant.plan.total
    reach = max(float(rows.steps.max()), total or 0.0, 2.0)
    # without a total a warm-up may be longer than the run; with one it leaves a step for the rest
    longest = FAR * reach if total is None else max(total - 2, 2.0)
    n = np.arange(2, MOST + 1)
    guesses = np.concatenate(
        [[0.0], np.round(np.geomspace(1, longest, GUESSES)), n * planned, np.floor(planned / n), np.arange(1, 9)]
    )

    def curve(steps: Array, length: Array) -> Array:
        return variant.rates(steps, warmup=length)

    fitted = nearest_whole(rows, curve, scale, guesses[guesses <= longest])
    # beyond the total the schedule is all warm-up: that too is a warm-up of another length
    if total is not None and rows.steps.max() < FAR * reach:
        beyond = nearest_whole(rows, curve, scale, np.geomspace(max(total, 2.0), FAR * reach, GUESSES))
        few = rows.some()
        better, best = few.fit(curve(few.steps, np.array([[beyond], [fitted]])), scale)[0]
        fitted = beyond if better < 0.5 * best else fitted
    if fitted == planned:
        return []
    what = f"took {fitted:g} steps" if fitted else "is missing"
    times = ""
    if fitted and planned and (fitted % planned == 0 or planned % fitted == 0):
        times = f", {fitted / planned:g} times the plan"
    inside = f"; the log ends inside it, at step {rows.steps.max():g}" if fitted > rows.steps.max() else ""
    return [
        Explanation(
            word="wrong warm-up",
            says=f"the warm-up {what}, not {planned:g}{times}{inside}",
            fix="count it in optimizer steps, as the total",
            burden=2,
            variant=variant.with_plan(warmup=fitted),
        )
    ]
