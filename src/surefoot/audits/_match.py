"""A plan laid over a log: the convention of its warm-up, its scale, and the drops of a plateau that show there."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from surefoot.audits._explanation import Variant
from surefoot.audits._plan import Plan
from surefoot.audits._rows import Array, Rows
from surefoot.audits._shapes import Table

# Parts of the log at whose beginning the scale of a plan without a rate is looked for.
_BEGINNINGS = (1.0, 0.5, 0.25, 0.1, 0.05, 0.02)


class Match(NamedTuple):
    """A plan as it fits a log: `scale * variant.rates(steps)` are the first `agreed` rates."""

    variant: Variant
    scale: float
    agreed: int


def closest_convention(rows: Rows, plan: Plan, scale: float | None) -> Match:
    """The convention of the warm-up, and the scale, under which the most rows from the first on are as planned."""
    best, key = Match(Variant(plan=plan), 1.0 if scale is None else scale, 0), (-1, 0.0)
    for each in plan.conventions():
        variant = Variant(plan=each)
        values = variant.rates(rows.steps)
        for factor in [scale] if scale is not None else _scales(rows, values):
            agreed = rows.count_agreeing(values, factor, rows.loose)
            worst = float(rows.part(0, agreed).fit(values[:agreed], factor)[0]) if agreed else 0.0
            if (agreed, -worst) > key:
                best, key = Match(variant, factor, agreed), (agreed, -worst)
            if agreed == len(rows) and worst <= rows.tight:
                return best
    return best


def _scales(rows: Rows, values: Array) -> list[float]:
    """Factors that a plan without a rate may have: the best ones for beginnings of the log."""
    counts = [max(round(part * len(rows)), min(2, len(rows))) for part in _BEGINNINGS]
    # the log may depart early, and then only its beginning shows the scale
    fitted = [float(rows.part(0, count).fit(values[:count])[1]) for count in counts]
    highest = float(values.max())
    return [scale for scale in [*fitted, rows.largest / highest if highest > 0 else 1.0] if scale > 0] or [1.0]


def follow_plateau(plan: Plan, rows: Rows) -> Plan:
    """A plan that drops with the run, as it would have gone: it drops when the log does, if it may.

    When torch's ReduceLROnPlateau drops depends on a metric; that it drops by its factor only, and never sooner than
    its patience after the last time, does not.
    """
    factor, patience = plan.plateau or (0.1, 0.0)
    level = 1.0 if plan.rated else float(rows.rates[0])
    first = float(plan.rates(np.zeros(1))[0]) if plan.rated else level
    rates = np.empty(len(rows))
    level, since = first, -math.inf
    for i, (step, rate) in enumerate(zip(rows.steps.tolist(), rows.rates.tolist(), strict=True)):
        lower = level * factor
        while rate < level * math.sqrt(factor) and abs(rate - lower) > rows.loose * rows.largest and lower > rate:
            lower *= factor  # the log has fewer rows than there were drops
        if abs(rate - lower) <= rows.loose * rows.largest and lower < level and step - since > patience:
            level, since = lower, step
        rates[i] = level
    return replace(plan, shape=Table(rates, rows.steps), plateau=None, rated=True)
