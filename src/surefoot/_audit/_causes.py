"""What could have made the rates that ran: each cause is a curve, tried on the rows.

A cause is accepted if its curve explains every row. Of several the simplest is taken, and the others that explain the
log as well are named.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

from surefoot._audit._plan import Plan
from surefoot._audit._rows import Curve, Match, Rows
from surefoot.rules import Cosine

__all__ = ["Cause", "simplest", "whole_run"]

# Processes, micro-batches: more than so many are looked for by search only.
MOST = 64
# A length is looked for between so many times shorter and longer.
FAR = 100
# Rows that a staircase must hold a rate for, at least, to be one.
HELD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One explanation of the rates.

    Parameters
    ----------
    word : str
        The cause in a few words, always the same ones.
    says : str
        A sentence with its numbers.
    mend : str
        What would mend it.
    burden : int
        How much it assumes: of two that fit, the lighter is taken.
    worst : float
        Largest difference that it leaves, as a part of the largest rate.
    scale : float
        Factor between its curve and the rates.
    whole : bool
        Whether that factor is the whole run's, so that the plan's own rates have it too.
    """

    word: str
    says: str
    mend: str
    burden: int
    worst: float = 0.0
    scale: float = 1.0
    whole: bool = False

    def fitting(self, match: Match, *, whole: bool = False) -> "Cause":
        """The same cause with how well it fits."""
        return replace(self, worst=match.worst, scale=match.scale, whole=whole)


Guess = tuple[Cause, Curve]


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
            _totals(rows, each, scale),
            _warmups(rows, each, scale),
            _factor(rows, each, scale),
        )
        for guess in guesses:
            for cause, curve in guess:
                free = None if cause.word == "constant factor" else scale
                if (match := rows.explained(curve, free)) is not None:
                    found.append(cause.fitting(match, whole=True))
        for end in _ends(each):
            found += _drifts(rows, end, scale)
    return simplest(found, rows)


def simplest(causes: list[Cause], rows: Rows) -> list[Cause]:
    """Those that leave no more than rounding first, of these the lightest, of equally light ones as they came."""
    return sorted(causes, key=lambda c: (c.worst > rows.tight, c.burden, c.worst if c.worst > rows.tight else 0.0))


def _moved(curve: Curve, factor: float, shift: float = 0.0) -> Curve:
    return lambda step: curve(factor * step + shift)


def _ends(plan: Plan) -> Iterator[Plan]:
    """The plan held at its end, and if it is a cosine, going on as torch's does."""
    yield plan
    if isinstance(plan.schedule, Cosine):
        yield replace(plan, periodic=True)


def _past(plan: Plan) -> str:
    """What becomes of a cosine after its end."""
    return ", and rose again after its end, as torch's and transformers' cosine does" if plan.periodic else ""


def _never_stepped(rows: Rows, plan: Plan) -> Iterator[Cause]:
    low, high = min(rows.rates), max(rows.rates)
    curve = plan.curve()
    if len(rows) > 1 and high - low <= rows.tight * rows.largest and len({curve(s) for s in rows.steps}) > 1:
        yield Cause(
            word="never stepped",
            says=f"the rate stayed at {high:.6g}: the schedule never advanced",
            mend="call scheduler.step() once after each optimizer.step()",
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
                mend=harmless
                if abs(shift) == 1
                else "look at the step at which the schedule was made, or logging began",
                burden=1 if abs(shift) == 1 else 2,
            ),
            _moved(curve, 1, shift),
        )
    for each in _ends(plan):
        if each.periodic:
            yield (
                Cause(
                    word="ran past its end",
                    says=f"the run went on after step {plan.total}{_past(each)}",
                    mend="end the run there, or make the schedule as long as the run",
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
    for each in _ends(plan):
        curve = each.curve()
        for n in range(2, MOST + 1):
            for begin in (0, 1, -1):
                cause = Cause(
                    word="stepped too often",
                    says=f"the schedule advanced {n} times per step{_past(each)}",
                    mend=f"step it once per optimizer step; under accelerate (num_processes={n}) leave it out of "
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
                    mend=f"its lengths were counted in micro-batches or for {n} processes: divide them by {n} "
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
                    mend="step it with every optimizer step; if the log counts micro-batches, give the plan's total in "
                    "them",
                    burden=1 + begin,
                ),
                seldom,
            )
            yield (
                Cause(
                    word="held between updates",
                    says=f"the rate follows the plan in stairs of {n} steps",
                    mend="the schedule is updated once per epoch or per accumulation: harmless where the stairs are "
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


def _totals(rows: Rows, plan: Plan, scale: float | None) -> Generator[Guess]:
    total = plan.total
    if total is None:
        return
    if plan.warmup:
        yield (
            Cause(
                word="warm-up added to the total",
                says=f"the annealing ends at {total + plan.warmup}: {total} steps after the warm-up, not with it",
                mend="a total mostly includes the warm-up: subtract it, or run so much longer",
                burden=1,
            ),
            plan.resized(total + plan.warmup).curve(),
        )
    for each in _ends(plan):

        def curve_of(length: int, each: Plan = each) -> Curve:
            return each.resized(length).curve()

        exact = {n * total: n for n in range(2, MOST + 1)} | {total // n: -n for n in range(2, MOST + 1) if total >= n}
        found = rows.best(curve_of, [*_lengths(total, plan.warmup), *exact], scale)
        if found != total:
            yield _wrong_total(rows, each, found, exact.get(found, 0)), curve_of(found)


def _lengths(total: int, warmup: int) -> list[int]:
    steps = {round(total * FAR ** (i / 60)) for i in range(-60, 61)}
    return sorted(length for length in steps if length > warmup + 1)


def _wrong_total(rows: Rows, plan: Plan, found: int, ratio: int) -> Cause:
    total = plan.total or found
    if found < total:
        times = f", {-ratio} times too few" if ratio else ""
        return Cause(
            word="total too short",
            says=f"the schedule was made for {found} steps, not {total}{times}{_past(plan)}",
            mend="give it the number of optimizer steps of the whole run"
            + (f"; or it is stepped {-ratio} times per step" if ratio and not plan.warmup else ""),
            burden=1 + (ratio == 0) + plan.periodic,
        )
    reached = max(rows.steps)
    left = plan.resized(found).at(reached) / (max(abs(plan.at(k)) for k in (0, plan.warmup)) or 1.0)
    never = f": never annealed, at step {reached} the rate was {left:.0%} of the peak"
    if ratio:
        return Cause(
            word="counted in micro-batches",
            says=f"the schedule was made for {found} steps, {ratio} times {total}{never}",
            mend=f"the total was counted in micro-batches: divide it by the {ratio} that are accumulated, or by the "
            "processes that share the data",
            burden=1,
        )
    return Cause(
        word="total too long",
        says=f"the schedule was made for {found} steps, not {total}{never if left > 0.01 else ''}",
        mend="give it the number of optimizer steps of the whole run",
        burden=2 + plan.periodic,
    )


def _warmups(rows: Rows, plan: Plan, scale: float | None) -> Generator[Guess]:
    longest = (plan.total or 2 * max(rows.steps)) - 2
    guesses = {0, *(round(longest ** (i / 40)) for i in range(41))} if longest > 1 else {0}
    guesses |= {n * plan.warmup for n in range(2, MOST + 1)} | {plan.warmup // n for n in range(2, MOST + 1)}

    def curve_of(length: int) -> Curve:
        return plan.resized(warmup=length).curve()

    found = rows.best(curve_of, [g for g in guesses if 0 <= g <= max(longest, 0)], scale)
    if found == plan.warmup:
        return
    what = f"took {found} steps" if found else "is missing"
    times = ""
    if found and plan.warmup and (found % plan.warmup == 0 or plan.warmup % found == 0):
        times = f", {found / plan.warmup:g} times the plan"
    yield (
        Cause(
            word="wrong warm-up",
            says=f"the warm-up {what}, not {plan.warmup}{times}",
            mend="count it in optimizer steps, as the total",
            burden=2,
        ),
        curve_of(found),
    )


def _factor(rows: Rows, plan: Plan, scale: float | None) -> Generator[Guess]:
    if scale is None:
        return
    curve = plan.curve()
    factor = rows.match(curve).scale
    yield (
        Cause(
            word="constant factor",
            says=f"all rates are {factor:.6g} times the plan's",
            mend="the base rate was scaled (by the number of processes or the batch size?), or it is another parameter "
            "group's",
            burden=1,
        ),
        curve,
    )


def _drifts(rows: Rows, plan: Plan, scale: float | None) -> Generator[Cause]:
    """The schedule gets ahead of the steps, or behind them, by a step now and then."""
    curve = plan.curve()
    if scale is None:
        highest = max(map(curve, rows.steps))
        scale = rows.largest / highest if highest > 0 else 1.0
    for sign in (1, -1):
        drift = _drift(rows, curve, scale, sign)
        if drift is None:
            continue
        first, last, times = drift
        extra = sign * (last - first)
        if sign > 0:
            says = f"the schedule got ahead of the steps by {extra}, at {times} places"
            mend = (
                "it advanced on steps that were skipped (AMP's GradScaler leaves out those that overflow): step it "
                "only when the scale did not fall"
            )
        else:
            says = f"the schedule fell behind the steps by {extra}, at {times} places"
            mend = "it did not advance on some steps that the log counts: skipped steps (AMP), or an exception caught"
        yield Cause(word="skipped steps", says=says, mend=mend, burden=3, worst=rows.tight, scale=scale)


def _drift(rows: Rows, curve: Curve, scale: float, sign: int) -> tuple[int, int, int] | None:
    """(first lag, last lag, places where it grew), if a lag that only grows explains every row to its rounding."""
    allowed = max(rows.tight * rows.largest, 1e-300)

    def differs(step: int, rate: float, lag: int) -> bool:
        return abs(rate - scale * curve(step + lag)) > allowed

    lag, first, times = 0, None, 0
    most = max(abs(rows.steps[-1] - rows.steps[0]) // 5, 2)
    previous = rows.steps[0]
    for step, rate in zip(rows.steps, rows.rates, strict=True):
        reach = max(2, (step - previous) // 2)
        found = next((lag + sign * j for j in range(reach + 1) if not differs(step, rate, lag + sign * j)), None)
        if found is None or abs(found) > most:
            return None
        times += found != lag and first is not None
        lag, previous = found, step
        first = lag if first is None else first
    return None if first is None or lag == first else (first, lag, times)
