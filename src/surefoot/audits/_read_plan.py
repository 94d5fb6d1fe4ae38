"""A plan from whatever says one: a text, a schedule, rates, a callable, a scheduler, another log."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from surefoot.audits._named_plan import EXAMPLE, NAMES, parse_plan
from surefoot.audits._plan import Plan, Ramp
from surefoot.audits._sampled_plan import ask, step_through
from surefoot.audits._series import read_series
from surefoot.audits._shapes import Interpolated, Table, shape_of
from surefoot.errors import InvalidInput, InvalidType
from surefoot.rules import Schedule, Warmup

# Endings of what `surefoot.logs` reads: a text with one of these is the path of a log.
_LOGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".gz", ".parquet", ".txt", ".log")


def read_plan(plan: Any, last: float = 0.0) -> Plan:
    """A plan from its text, a schedule, rates, a callable, a scheduler, or another log.

    Parameters
    ----------
    plan : str, path, Schedule, Warmup, sequence, callable, or scheduler
        ``NAME[:RATE][,key=value...]``: total (steps, warm-up included), warmup (steps), start (part of the peak at
        which the warm-up begins), rate, and any field of the schedule such as final, every or factor; for one-cycle as
        torch's OneCycleLR has them; ``multi-step:0.1,milestones=30+60,factor=0.1``;
        ``plateau:0.1,factor=0.1,patience=10``. Without a rate the scale is read off the log. A path is another log. A
        sequence holds the rate of each position; a callable takes the position. Of a torch scheduler a copy is stepped
        from its start.
    last : float
        Last step of the log: up to there a callable or a scheduler is asked.

    Returns
    -------
    Plan

    Raises
    ------
    InvalidInput
        If the name or a key is unknown, or a value is wrong or missing.
    InvalidType
        If it is none of these, or a rule that looks at what it sees.
    """
    if isinstance(plan, Plan):
        return plan
    if isinstance(plan, Warmup):
        if not isinstance(plan.rule, Schedule):
            raise InvalidType(f"only a schedule can be audited; {type(plan.rule).__name__} adapts to what it sees")
        return replace(_from_schedule(plan.rule), text=repr(plan), warmup=float(plan.steps), ramp=Ramp(False, 1, 0))
    if isinstance(plan, Schedule):
        return _from_schedule(plan)
    if isinstance(plan, os.PathLike) or (isinstance(plan, str) and _is_log(plan)):
        return _from_log(cast("Any", plan))
    if isinstance(plan, str):
        return parse_plan(plan)
    if hasattr(plan, "optimizer") and hasattr(plan, "step"):
        return Plan(text=type(plan).__name__, shape=Table(step_through(plan, last)))
    if callable(plan):
        return Plan(text=getattr(plan, "__name__", "callable"), shape=Table(ask(plan, last)))
    if isinstance(plan, Mapping) or hasattr(plan, "columns"):
        return _from_log(plan)
    if isinstance(plan, Iterable) and not isinstance(plan, bytes) and getattr(plan, "ndim", 1) == 1:
        return _from_list(list(cast("Iterable[Any]", plan)))
    raise InvalidType(
        f"a plan is a text or a schedule, rates, a callable or a log; got {type(plan).__name__}; {EXAMPLE}"
    )


def _from_schedule(schedule: Schedule) -> Plan:
    shape = shape_of(schedule)
    return Plan(text=repr(schedule), shape=shape, total=shape.total)


def _is_log(text: str) -> bool:
    return text.lower().endswith(_LOGS) and text.partition(":")[0] not in NAMES


def _from_log(log: Any) -> Plan:
    series = read_series(log)
    steps, rates = np.array(series.steps, dtype=float), np.array(series.rates)
    order = np.argsort(steps, kind="stable")
    return Plan(text=f"the rates of {series.name}", shape=Interpolated(steps[order], rates[order]))


def _from_list(values: Sequence[Any]) -> Plan:
    if values and isinstance(values[0], Mapping | tuple | list):
        return _from_log(values)
    try:
        rates = np.array([float(value) for value in values])
    except (TypeError, ValueError, OverflowError):
        raise InvalidType("a plan as a sequence holds the rate of each step, numbers") from None
    if not len(rates) or not np.isfinite(rates).all():
        raise InvalidInput("a plan as a sequence holds finite rates, one at least; look for NaN in it")
    return Plan(text=f"{len(rates)} rates", shape=Table(rates))
