"""The rates of a callable or a torch scheduler, evaluated at every step."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from surefoot.audits._named_plan import EXAMPLE
from surefoot.audits._rows import Array
from surefoot.errors import InvalidInput

# By convention: a callable or a scheduler is evaluated at each position, and this many take about a second.
MOST_ASKED = 200_000


def _positions(last: float) -> int:
    if last > MOST_ASKED:
        raise InvalidInput(
            f"a callable or a scheduler is asked at every step, at most {MOST_ASKED:,} times, and the log ends at "
            f"{last:g}; {EXAMPLE}"
        )
    # further than the log goes: a schedule may have been stepped more often than once per row
    return int(min(4 * max(int(last), 1), MOST_ASKED)) + 1


def ask(plan: Callable[[int], Any], last: float) -> Array:
    """The rates of a callable at positions 0, 1, 2, ...; where it fails beyond the log, up to there."""
    count = _positions(last)
    values: list[float] = []
    try:
        for k in range(count):
            values.append(float(plan(k)))
    except Exception as error:  # somebody else's code
        if len(values) <= last:
            raise InvalidInput(f"the plan fails: {type(error).__name__}: {error}; it takes the step, from 0") from error
    rates = np.array(values)
    if not np.isfinite(rates).all():
        raise InvalidInput(f"the plan is not finite at step {int(np.argmin(np.isfinite(rates)))}; look at it there")
    return rates


class _Stub:
    """An optimizer with nothing but groups: a scheduler's copy is stepped on it, and the real one stays as it is."""

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        self.param_groups = groups
        self.defaults: dict[str, Any] = {}
        self.state: dict[str, Any] = {}

    def step(self) -> None:
        """Nothing to step."""


def step_through(scheduler: Any, last: float) -> Array:
    """The rates of the first group if a torch scheduler were stepped from its start once per step."""
    count = _positions(last)
    # parameters are left out: a scheduler reads the numbers of a group alone, and a model may be large
    groups = [
        {key: value for key, value in group.items() if key != "params"} for group in scheduler.optimizer.param_groups
    ]
    stub = _Stub(groups)
    fresh = copy.copy(scheduler)
    fresh.optimizer = stub
    parts = [copy.copy(part) for part in getattr(scheduler, "_schedulers", ())]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for group in groups:
                group["lr"] = group.get("initial_lr", group["lr"])
            if parts:
                fresh._schedulers = parts
                fresh.last_epoch = 0
                one_after_another = hasattr(scheduler, "_milestones")
                for i, part in enumerate(parts):
                    _begin(part, stub, step=i == 0 or not one_after_another)
            else:
                _begin(fresh, stub)
            rates = [float(groups[0]["lr"])]
            for k in range(1, count):
                try:
                    fresh.step()
                except ValueError:
                    if k <= last:
                        raise
                    break  # OneCycleLR has no rate beyond its end
                rates.append(float(groups[0]["lr"]))
    except Exception as error:  # a scheduler of somebody else's
        raise InvalidInput(
            f"{type(scheduler).__name__} cannot be stepped by itself ({type(error).__name__}: {error}); give its rates "
            "as a list, or a plan by name"
        ) from error
    return np.array(rates)


def _begin(scheduler: Any, stub: _Stub, *, step: bool = True) -> None:
    """Put a scheduler to its start, on the stub; torch's constructor makes the first step."""
    scheduler.optimizer = stub
    scheduler.last_epoch = -1
    scheduler._step_count = 0
    if step:
        getattr(scheduler, "_initial_step", scheduler.step)()
