"""A schedule that gets ahead of the steps, or behind them, by a step now and then."""

from itertools import pairwise

import numpy as np

from surefoot.audits._explanation import Explanation, Variant
from surefoot.audits._rows import Array, Rows

# Points at which a curve is looked at to find its rising and falling stretches, and halvings of each interval.
GRID, HALVINGS = 512, 60
# A lag of more than this part of the run is another cause's.
FAR = 0.2
# Rows below which a lag can be found for anything.
FEW = 8


def drifts(rows: Rows, variant: Variant, scale: float | None) -> list[Explanation]:
    """The schedule got ahead of the steps, or fell behind them, a step at a time, and otherwise followed the plan.

    Each rate says at which position the schedule stood, where the plan rises or falls: the inverse of its curve. The
    difference to the step must be a whole number that only grows.
    """
    if len(rows) < FEW or np.any(np.diff(rows.steps) <= 0):
        return []
    if scale is None:
        highest = float(variant.rates(rows.steps).max())
        scale = rows.largest / highest if highest > 0 else 1.0
    lags = _lags(rows, variant, scale)
    if lags is None:
        return []
    for sign in (1, -1):
        followed = _follow(rows, variant, scale, lags, sign)
        if followed is None:
            continue
        first, last, times = followed
        extra = sign * (last - first)
        if sign > 0:
            says = f"the schedule got ahead of the steps by {extra:g}, at {times} places"
            fix = "it advanced on steps that were skipped (AMP's GradScaler leaves out those that overflow): step it "
            fix += "only when the scale did not fall"
        else:
            says = f"the schedule fell behind the steps by {extra:g}, at {times} places"
            fix = "it did not advance on some steps that the log counts: skipped steps (AMP), or an exception caught"
        return [
            Explanation(
                word="skipped steps",
                says=says,
                fix=fix,
                burden=3,
                variant=variant,
                worst=rows.tight,
                scale=scale,
            )
        ]
    return []


def _lags(rows: Rows, variant: Variant, scale: float) -> list[Array] | None:
    """For each stretch on which the plan rises or falls, the lag at which it has each rate; NaN where it has not."""
    span = float(rows.steps[-1] - rows.steps[0])
    far = FAR * span
    grid = np.linspace(max(rows.steps[0] - far, 0.0), rows.steps[-1] + far, GRID)
    plan = variant.plan
    corners = [plan.warmup + variant.shift, (plan.total or 0.0) + variant.shift]
    grid = np.unique(np.concatenate([grid, [c for c in corners if grid[0] < c < grid[-1]]]))
    direction = np.sign(np.diff(scale * variant.rates(grid)))
    edges = [0, *(np.nonzero(np.diff(direction))[0] + 1).tolist(), len(grid) - 1]
    if len(edges) > 12:
        return None  # a staircase: its inverse is not unique
    lags: list[Array] = []
    for a, b in pairwise(edges):
        if direction[a] == 0:
            continue
        low, high = np.full(len(rows), grid[a]), np.full(len(rows), grid[b])
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            below = (scale * variant.rates(middle) < rows.rates) == (direction[a] > 0)
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        position = (low + high) / 2
        there = np.abs(scale * variant.rates(np.round(position)) - rows.rates) <= rows.tight * rows.largest
        lags.append(np.where(there, np.round(position) - rows.steps, np.nan))
    return lags


def _follow(
    rows: Rows, variant: Variant, scale: float, lags: list[Array], sign: int
) -> tuple[float, float, int] | None:
    """(first lag, last lag, places where it grew), if a lag that only grows explains every row to its rounding."""
    allowed = max(rows.tight * rows.largest, 1e-300)
    most = max(FAR * float(rows.steps[-1] - rows.steps[0]), 2.0)
    options = np.array(lags) if lags else np.full((1, len(rows)), np.nan)
    lag, first, times, i, n = 0.0, None, 0, 0, len(rows)
    while i < n:
        # as far as the present lag goes, all at once
        off = np.abs(scale * variant.rates(rows.steps[i:] + lag) - rows.rates[i:]) > allowed
        run = int(np.argmax(off)) if off.any() else n - i
        if run and first is None:
            first = lag
        i += run
        if i == n:
            break
        ahead = options[:, i][np.isfinite(options[:, i])]
        gap = float(rows.steps[i] - rows.steps[i - 1]) if i else max(abs(float(ahead.min(initial=0.0))), 2.0)
        ahead = ahead[(sign * (ahead - lag) > 0) & (np.abs(ahead - lag) <= max(2.0, gap / 2))]
        if not len(ahead) or times > n // 3:
            return None
        lag = float(ahead[np.argmin(np.abs(ahead - lag))])
        if abs(lag) > most:
            return None
        times += first is not None
        first = lag if first is None else first
    return None if first is None or lag == first else (first, lag, times)
