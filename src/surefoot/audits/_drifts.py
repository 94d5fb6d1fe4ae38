"""A schedule that gets ahead of the steps, or behind them, by a step now and then."""

from collections.abc import Generator

from surefoot.audits._cause import Cause
from surefoot.audits._plan import Plan
from surefoot.audits._rows import Curve, Rows

__all__ = ["drifts"]


def drifts(rows: Rows, plan: Plan, scale: float | None) -> Generator[Cause]:
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
            fix = (
                "it advanced on steps that were skipped (AMP's GradScaler leaves out those that overflow): step it "
                "only when the scale did not fall"
            )
        else:
            says = f"the schedule fell behind the steps by {extra}, at {times} places"
            fix = "it did not advance on some steps that the log counts: skipped steps (AMP), or an exception caught"
        yield Cause(word="skipped steps", says=says, fix=fix, burden=3, worst=rows.tight, scale=scale)


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
