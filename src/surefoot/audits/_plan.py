"""The plan: a schedule, its length and its warm-up, as rates for arrays of positions."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, cast

import numpy as np

from surefoot.audits._rows import Array
from surefoot.audits._shapes import Interpolated, MultiStep, Shape, Table, of_schedule
from surefoot.errors import InvalidInput, InvalidType
from surefoot.rules import (
    WSD,
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    OneCycle,
    Schedule,
    StepDecay,
    Warmup,
)
from surefoot.rules.names import Name, parse_name, parse_number

# Under the names that `surefoot run --rule` knows them by, and the three that need more than a rate.
NAMES: dict[str, Any] = {
    "constant": Constant,
    "cosine": Cosine,
    "linear": Linear,
    "one-cycle": OneCycle,
    "wsd": WSD,
    "inverse-time": InverseTime,
    "inverse-sqrt": InverseSqrt,
    "step-decay": StepDecay,
    "exponential": Exponential,
    "multi-step": MultiStep,
}
# torch's ReduceLROnPlateau: when it drops depends on the run, so it is no function of the position.
PLATEAU = "plateau"
_EXAMPLE = "write cosine:total=10000,warmup=500 or linear:3e-4,total=1000"
# By convention: a callable or a scheduler is asked at each position, which takes a second for so many.
MOST_ASKED = 200_000
_LOGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".gz", ".parquet", ".txt", ".log")


class Ramp(NamedTuple):
    """A convention of a warm-up of W steps: its rates are (p + first)/(W + more) of the schedule's.

    `waits`: annealing begins when the warm-up ends, not with it.
    """

    waits: bool
    first: int
    more: int

    def __str__(self) -> str:
        start = {(0, 0): "from 0", (1, 0): "from peak/warmup", (1, 1): "from peak/(warmup + 1)"}[self.first, self.more]
        return f"ramp {start}, annealing {'after it' if self.waits else 'with it'}"


# The most common first: transformers, most others, nanoGPT; then those whose annealing does not wait.
RAMPS = tuple(Ramp(waits, first, more) for waits in (True, False) for first, more in ((0, 0), (1, 0), (1, 1)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """A rate for every position in a schedule.

        rate(p) = min((p + first)/(warmup + more), 1) * schedule(p - warmup)

    Parameters
    ----------
    text : str
        The plan as it was given.
    shape : Shape
        The schedule, its length with the warm-up in it.
    total : float or None
        Length in positions, warm-up included.
    warmup : float
        Positions; 0 for none.
    start : float
        Part of the peak at which the warm-up begins, as LinearLR's start_factor.
    rated : bool
        Whether the plan names a rate; otherwise its scale is read off the log.
    ramp : Ramp
        The convention of the warm-up.
    periodic : bool
        Whether a cosine goes up again after its end, as torch's and transformers' do.
    plateau : tuple of (factor, patience) or None
        Settings of a plan that drops when the run stands still; `shape` then holds the first rate.
    """

    text: str
    shape: Shape
    total: float | None = None
    warmup: float = 0.0
    start: float = 0.0
    rated: bool = True
    ramp: Ramp = RAMPS[0]
    periodic: bool = False
    plateau: tuple[float, float] | None = None

    @property
    def is_cosine(self) -> bool:
        """Whether it could go up again after its end."""
        return isinstance(getattr(self.shape, "schedule", None), Cosine)

    def conventions(self) -> "tuple[Plan, ...]":
        """The same plan under each convention of the warm-up."""
        return tuple(replace(self, ramp=ramp) for ramp in RAMPS) if self.warmup else (self,)

    def rates(self, positions: Array, total: Any = None, warmup: Any = None) -> Array:
        """Rates at positions; before the beginning, the first one.

        Parameters
        ----------
        positions : array
        total, warmup : float or array, optional
            Others than the plan's own, broadcast with the positions.
        """
        total = self.total if total is None else total
        warmup = self.warmup if warmup is None else warmup
        p = np.maximum(positions, 0.0)
        wait = warmup if self.ramp.waits else 0.0
        # a run that is all warm-up has one step left for the rest
        length = None if total is None else np.maximum(np.asarray(total, dtype=float) - wait, 1.0)
        into = np.maximum(p - wait, 0.0)
        if self.periodic and length is not None:
            part = into / length % 2
            into = length * np.minimum(part, 2 - part)
        rates = self.shape.rates(into, length)
        # where there is no warm-up the quotient is not looked at; it only has to be a number
        climb = (p + self.ramp.first) / np.maximum(np.asarray(warmup, dtype=float) + self.ramp.more, 1e-9)
        climb = self.start + (1 - self.start) * climb
        return np.where(p >= warmup, 1.0, np.minimum(climb, 1.0)) * rates


def plan_of(plan: Any, last: float = 0.0) -> Plan:
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
        return _parse(plan)
    if hasattr(plan, "optimizer") and hasattr(plan, "step"):
        return Plan(text=type(plan).__name__, shape=Table(_step_through(plan, last)))
    if callable(plan):
        return Plan(text=getattr(plan, "__name__", "callable"), shape=Table(_ask(plan, last)))
    if isinstance(plan, Mapping) or hasattr(plan, "columns"):
        return _from_log(plan)
    if isinstance(plan, Iterable) and not isinstance(plan, bytes) and getattr(plan, "ndim", 1) == 1:
        return _from_list(list(cast("Iterable[Any]", plan)))
    raise InvalidType(
        f"a plan is a text or a schedule, rates, a callable or a log; got {type(plan).__name__}; {_EXAMPLE}"
    )


def _from_schedule(schedule: Schedule) -> Plan:
    shape = of_schedule(schedule)
    return Plan(text=repr(schedule), shape=shape, total=shape.total)


def _is_log(text: str) -> bool:
    return text.lower().endswith(_LOGS) and text.partition(":")[0] not in NAMES


def _from_log(log: Any) -> Plan:
    from surefoot.audits._series import series_of

    series = series_of(log)
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


def _positions(last: float) -> int:
    if last > MOST_ASKED:
        raise InvalidInput(
            f"a callable or a scheduler is asked at every step, at most {MOST_ASKED:,} times, and the log ends at "
            f"{last:g}; {_EXAMPLE}"
        )
    # further than the log goes: a schedule may have been stepped more often than once per row
    return int(min(4 * max(int(last), 1), MOST_ASKED)) + 1


def _ask(plan: Callable[[int], Any], last: float) -> Array:
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


def _step_through(scheduler: Any, last: float) -> Array:
    """The rates of the first group if a torch scheduler were stepped from its start once per step."""
    import copy
    import warnings

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


def _parse(text: str) -> Plan:
    name = parse_name(text, dict.fromkeys((*NAMES, PLATEAU), "RATE,KEY=VALUE"))
    word = name.word
    values, milestones = _values(text, name)
    if word == PLATEAU:
        return _plateau(text, values)
    kind = NAMES[word]
    rate, warmup, start = (values.pop(key, None) for key in ("rate", "warmup", "start_factor"))
    known = {field.name for field in fields(kind)}
    if "start" in values and "start" not in known:
        start = values.pop("start")
    scale = "peak" if "peak" in known else "step"
    given: dict[str, Any] = {scale: 1.0 if rate is None else rate}
    total = values.pop("total", None)
    if "steps" in known:
        if total is None:
            raise InvalidInput(f"plan {text!r}: how long is it? add total=, such as {word}:total=10000")
        given["steps"] = _whole(text, "total", total)
    if milestones is not None and "milestones" in known:
        given["milestones"] = milestones
    for key, value in values.items():
        if key not in known - {scale, "steps", "warmup"}:
            keys = ("total", "warmup", "rate", *sorted(known - {scale, "steps", "warmup"}))
            raise InvalidInput(f"plan {text!r}: unknown key {key!r}; there are {', '.join(keys)}")
        given[key] = _whole(text, key, value) if key == "every" else value
    if warmup is not None and "warmup" in known:
        given["warmup"] = 0.0  # in steps here, so outside of the schedule
    if kind is OneCycle:
        given = _as_torch(text, given)
    try:
        schedule = kind(**given)
    except TypeError as error:
        missing = str(error).partition("argument")[2].strip(" s:")
        raise InvalidInput(f"plan {text!r}: {word} also needs {missing}; {_EXAMPLE}") from None
    length = _whole(text, "warmup", warmup or 0)
    if total is not None and length >= total:
        raise InvalidInput(f"plan {text!r}: a warm-up of {length} steps leaves nothing of a total of {total:g}")
    if start is not None and not 0 <= start < 1:
        raise InvalidInput(f"plan {text!r}: start is a part of the peak, in [0, 1); got {start:g}")
    # MultiStep is a shape itself; the rules' own are wrapped
    shape: Shape = cast("Shape", schedule) if kind is MultiStep else of_schedule(schedule)
    return Plan(
        text=text.strip(),
        shape=shape,
        total=None if "steps" not in known else float(given["steps"]),
        warmup=float(length),
        start=start or 0.0,
        rated=rate is not None,
    )


def _values(text: str, name: Name) -> tuple[dict[str, float], tuple[float, ...] | None]:
    """Numbers by key, and the milestones, which are several."""
    texts = ({"rate": name.argument} if name.argument else {}) | dict(name.options)
    several = texts.pop("milestones", None)
    values = {key: _number(text, key, each) for key, each in texts.items()}
    if several is None:
        return values, None
    return values, tuple(_number(text, "milestones", each) for each in several.replace("/", "+").split("+"))


def _plateau(text: str, values: dict[str, float]) -> Plan:
    rate, factor, patience = values.pop("rate", None), values.pop("factor", 0.1), values.pop("patience", 10.0)
    if values:
        raise InvalidInput(f"plan {text!r}: unknown key {next(iter(values))!r}; there are rate, factor, patience")
    if not 0 < factor < 1 or patience < 0:
        raise InvalidInput(f"plan {text!r}: factor lies in (0, 1) and patience is >= 0; got {factor:g}, {patience:g}")
    first = 1.0 if rate is None else rate
    shape = of_schedule(Constant(step=first))
    return Plan(text=text.strip(), shape=shape, rated=rate is not None, plateau=(factor, patience))


def _as_torch(text: str, given: dict[str, Any]) -> dict[str, Any]:
    """OneCycle's fields for torch's OneCycleLR: pct_start, div_factor and final_div_factor are rise, start and end.

    Its peak is a step earlier, at pct_start * total - 1, and its end is a part of the first rate.
    """
    total, rise, start = given["steps"], given.get("rise", 0.3), given.get("start", 25.0)
    if rise * total <= 1:
        raise InvalidInput(f"plan {text!r}: a rise of {rise:g} of {total:g} steps is less than one; make it longer")
    return {**given, "rise": (rise * total - 1) / (total - 1), "start": start, "end": start * given.get("end", 1e4)}


def _number(text: str, key: str, value: str) -> float:
    return parse_number(value, f"plan {text!r}: {key} takes a number", hint=_EXAMPLE)


def _whole(text: str, key: str, value: float) -> int:
    if value != int(value) or value < 0:
        raise InvalidInput(f"plan {text!r}: {key} takes a whole number of steps; got {value:g}")
    return int(value)
