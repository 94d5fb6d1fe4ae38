"""What could have made the rates that ran: each cause is a curve, tried on the rows.

A cause is accepted if its curve explains every row. Of several the simplest is taken, and the others that explain the
log as well are named.
"""

from collections.abc import Generator, Iterator

from surefoot.audits._cause import MOST, Cause, Guess, continued, past, simplest
from surefoot.audits._drifts import drifts
from surefoot.audits._lengths import totals, warmups
from surefoot.audits._plan import Plan
from surefoot.audits._rows import Curve, Rows

__all__ = ["whole_run"]

# Rows that a staircase must hold a rate for, at least, to be one.
HELD = 2


def whole_run(rows: Rows, plan: Plan, scale: float | None) -> list[Cause]:
    """Causes that explain the run from its first row to its last, the best first.

    Parameters
    ----------
    rows : Rows
    plan : Plan
    scale : float or None
        Factor of the plan's rates; None if the plan names no rate, so that any will do.
    """
    found = list(_never_stepped(rows, plan))
    for each in plan.conventions():
        guesses = (
            _offsets(rows, each, scale),
            _faster(each),
            _slower(rows, each),
            _stairs(rows, each),
            totals(rows, each, scale),
            warmups(rows, each, scale),
            _factor(rows, each, scale),
        )
        for guess in guesses:
            for cause, curve in guess:
                free = None if cause.word == "constant factor" else scale
                if (match := rows.explained(curve, free)) is not None:
                    found.append(cause.fitting(match, whole=True))
        for end in continued(each):
            found += drifts(rows, end, scale)
    return simplest(found, rows)


def _moved(curve: Curve, factor: float, shift: float = 0.0) -> Curve:
    return lambda step: curve(factor * step + shift)


def _never_stepped(rows: Rows, plan: Plan) -> Iterator[Cause]:
    low, high = min(rows.rates), max(rows.rates)
    curve = plan.curve()
    if len(rows) > 1 and high - low <= rows.tight * rows.largest and len({curve(s) for s in rows.steps}) > 1:
        yield Cause(
            word="never stepped",
            says=f"the rate stayed at {high:.6g}: the schedule never advanced",
            fix="call scheduler.step() once after each optimizer.step()",
            burden=0,
            scale=high,
        )


def _offsets(rows: Rows, plan: Plan, scale: float | None) -> Generator[Guess]:
    curve = plan.curve()
    for shift in (-1, 1, -2, 2, _best_shift(rows, curve, scale)):
        if not shift:
            continue
        late = "behind" if shift < 0 else "ahead of"
        steps = "one step" if abs(shift) == 1 else f"{abs(shift)} steps"
        harmless = "harmless if the log counts from 1" if shift < 0 else "harmless if the log is written after the step"
        yield (
            Cause(
                word="offset",
                says=f"the rates are {steps} {late} the plan, all along",
                fix=harmless
                if abs(shift) == 1
                else "look at the step at which the schedule was made, or logging began",
                burden=1 if abs(shift) == 1 else 2,
            ),
            _moved(curve, 1, shift),
        )
    for each in continued(plan):
        if each.periodic:
            yield (
                Cause(
                    word="ran past its end",
                    says=f"the run went on after step {plan.total}{past(each)}",
                    fix="end the run there, or make the schedule as long as the run",
                    burden=1,
                ),
                each.curve(),
            )


def _best_shift(rows: Rows, curve: Curve, scale: float | None) -> int:
    reach = max(abs(rows.steps[0]), abs(rows.steps[-1]), 1)
    guesses = sorted({0, *(sign * round(1.3**i) for i in range(60) for sign in (1, -1) if 1.3**i <= reach)})
    return rows.best(lambda shift: _moved(curve, 1, shift), guesses, scale)


def _faster(plan: Plan) -> Generator[Guess]:
    """N positions for each step, counted from the log's 0 or 1."""
    for each in continued(plan):
        curve = each.curve()
        for n in range(2, MOST + 1):
            for begin in (0, 1, -1):
                cause = Cause(
                    word="stepped too often",
                    says=f"the schedule advanced {n} times per step{past(each)}",
                    fix=f"step it once per optimizer step; under accelerate (num_processes={n}) leave it out of "
                    f"prepare(), or give it {n} times the total and the warm-up; with accumulation, step it only "
                    "when the optimizer steps",
                    burden=1 + abs(begin) + each.periodic,
                )
                yield cause, _moved(curve, n, -n * begin)


def _slower(rows: Rows, plan: Plan) -> Generator[Guess]:
    """One position for N steps: total and warm-up were counted in something smaller than the log's step."""
    curve = plan.curve()
    for n in range(2, MOST + 1):
        for begin in (0, 1, -1):
            yield (
                Cause(
                    word="counted in micro-batches",
                    says=f"the schedule is {n} times too long, warm-up included: at step {rows.steps[-1]} it stood "
                    f"where the plan is at {rows.steps[-1] / n:.0f}",
                    fix=f"its lengths were counted in micro-batches or for {n} processes: divide them by {n} "
                    "(gradient accumulation), or step it so often",
                    burden=1 + abs(begin) + (plan.warmup == 0),
                ),
                _moved(curve, 1 / n, -begin / n),
            )


def _stairs(rows: Rows, plan: Plan) -> Generator[Guess]:
    """One position for N steps, the rate held in between."""
    held = _held(rows)
    for n in sorted({*range(2, MOST + 1), held} if held >= HELD else set()):
        curve = plan.curve()
        for begin in (0, 1):

            def seldom(step: float, n: int = n, begin: int = begin, curve: Curve = curve) -> float:
                return curve((step - begin) // n)

            def stairs(step: float, n: int = n, begin: int = begin, curve: Curve = curve) -> float:
                return curve((step - begin) // n * n)

            yield (
                Cause(
                    word="stepped too seldom",
                    says=f"the schedule advanced once every {n} steps",
                    fix="step it with every optimizer step; if the log counts micro-batches, give the plan's total in "
                    "them",
                    burden=1 + begin,
                ),
                seldom,
            )
            yield (
                Cause(
                    word="held between updates",
                    says=f"the rate follows the plan in stairs of {n} steps",
                    fix="the schedule is updated once per epoch or per accumulation: harmless where the stairs are "
                    "short",
                    burden=2 + begin,
                ),
                stairs,
            )


def _held(rows: Rows) -> int:
    """For how many steps a rate was mostly held, by the rows."""
    lengths: dict[int, int] = {}
    since = 0
    for i in range(1, len(rows)):
        if rows.rates[i] != rows.rates[i - 1]:
            length = rows.steps[i] - rows.steps[since]
            lengths[length] = lengths.get(length, 0) + 1
            since = i
    return max(lengths, key=lambda n: lengths[n]) if lengths else 0


def _factor(rows: Rows, plan: Plan, scale: float | None) -> Generator[Guess]:
    if scale is None:
        return
    curve = plan.curve()
    factor = rows.match(curve).scale
    yield (
        Cause(
            word="constant factor",
            says=f"all rates are {factor:.6g} times the plan's",
            fix="the base rate was scaled (by the number of processes or the batch size?), or it is another parameter "
            "group's",
            burden=1,
        ),
        curve,
    )
