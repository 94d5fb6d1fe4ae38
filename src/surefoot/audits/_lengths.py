"""A schedule whose total or warm-up is another one."""

from collections.abc import Generator

from surefoot.audits._cause import FAR, MOST, Cause, Guess, continued, past
from surefoot.audits._plan import Plan
from surefoot.audits._rows import Curve, Rows

__all__ = ["totals", "warmups"]


def totals(rows: Rows, plan: Plan, scale: float | None) -> Generator[Guess]:
    total = plan.total
    if total is None:
        return
    if plan.warmup:
        yield (
            Cause(
                word="warm-up added to the total",
                says=f"the annealing ends at {total + plan.warmup}: {total} steps after the warm-up, not with it",
                fix="a total mostly includes the warm-up: subtract it, or run so much longer",
                burden=1,
            ),
            plan.resized(total + plan.warmup).curve(),
        )
    for each in continued(plan):

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
            says=f"the schedule was made for {found} steps, not {total}{times}{past(plan)}",
            fix="give it the number of optimizer steps of the whole run"
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
            fix=f"the total was counted in micro-batches: divide it by the {ratio} that are accumulated, or by the "
            "processes that share the data",
            burden=1,
        )
    return Cause(
        word="total too long",
        says=f"the schedule was made for {found} steps, not {total}{never if left > 0.01 else ''}",
        fix="give it the number of optimizer steps of the whole run",
        burden=2 + plan.periodic,
    )


def warmups(rows: Rows, plan: Plan, scale: float | None) -> Generator[Guess]:
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
            fix="count it in optimizer steps, as the total",
            burden=2,
        ),
        curve_of(found),
    )
