"""The plan: a schedule by name, its length and its warm-up, as a rate for every position."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

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
from surefoot.rules.named import unknown_rule

__all__ = ["NAMES", "Plan", "plan_of"]

# Under the names that `surefoot run --rule` knows them by, and the two that need more than a rate.
NAMES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "cosine": Cosine,
    "linear": Linear,
    "one-cycle": OneCycle,
    "wsd": WSD,
    "inverse-time": InverseTime,
    "inverse-sqrt": InverseSqrt,
    "step-decay": StepDecay,
    "exponential": Exponential,
}
_EXAMPLE = "write cosine:total=10000,warmup=500 or linear:3e-4,total=1000"
# Conventions of a warm-up, the most common first: (annealing waits for its end, the first rate is 0).
_RAMPS = {
    (True, True): "ramp from 0, annealing after it",
    (True, False): "ramp from peak/warmup, annealing after it",
    (False, False): "ramp from peak/warmup, over the annealing",
    (False, True): "ramp from 0, over the annealing",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A rate for every position in a schedule.

        rate(p) = min(p/warmup, 1) * schedule(p - warmup)

    Parameters
    ----------
    text : str
        As it was given.
    schedule : Schedule
        With its length, warm-up included.
    warmup : int
        Positions; 0 for none.
    rated : bool
        Whether the plan names a rate; otherwise its scale is read off the log.
    waits, from_zero : bool
        Conventions of the warm-up: whether annealing begins when it ends, and whether its first rate is 0
        (as in transformers) or peak/warmup.
    periodic : bool
        Whether a cosine goes up again after its end, as torch's and transformers' do.
    """

    text: str
    schedule: Any
    warmup: int = 0
    rated: bool = True
    waits: bool = True
    from_zero: bool = True
    periodic: bool = False

    @property
    def total(self) -> int | None:
        """Length, if it has one."""
        return getattr(self.schedule, "steps", None)

    @property
    def ramp(self) -> str:
        """The convention of the warm-up; empty without one."""
        return _RAMPS[self.waits, self.from_zero] if self.warmup else ""

    def conventions(self) -> "tuple[Plan, ...]":
        """The same plan under each convention."""
        if not self.warmup:
            return (self,)
        return tuple(replace(self, waits=waits, from_zero=from_zero) for waits, from_zero in _RAMPS)

    def resized(self, total: int | None = None, warmup: int | None = None) -> "Plan":
        """The same plan with another length or warm-up."""
        schedule = self.schedule
        if total is not None and self.total is not None:
            schedule = replace(schedule, steps=total)
        return replace(self, schedule=schedule, warmup=self.warmup if warmup is None else warmup)

    def at(self, position: float) -> float:
        """The rate there; before the beginning, the first one."""
        return self.curve()(position)

    def curve(self) -> Callable[[float], float]:
        """`at`, made ready for many positions."""
        schedule: Any = self.schedule
        wait = self.warmup if self.waits else 0
        if self.total is not None and wait:
            # a run that is all warm-up has one step left for the rest
            schedule = replace(schedule, steps=max(self.total - wait, 2 if isinstance(schedule, OneCycle) else 1))
        wave = schedule.steps if self.periodic and isinstance(schedule, Cosine) else 0
        at: Any = schedule.at
        first = 0 if self.from_zero else 1

        def rate(position: float) -> float:
            position = max(position, 0.0)
            into = max(position - wait, 0.0)
            if wave:
                part = into / wave % 2
                into = wave * min(part, 2 - part)
            warm = 1.0 if position >= self.warmup else min((position + first) / self.warmup, 1.0)
            return warm * at(into)

        return rate


def plan_of(plan: Any) -> Plan:
    """A plan from its text or from a schedule.

    Parameters
    ----------
    plan : str, Schedule or Warmup
        ``NAME[:RATE][,key=value...]``: total (steps, warm-up included), warmup (steps), rate, and any field of the
        schedule such as final, every or factor; for one-cycle as torch's OneCycleLR has them. Without a rate the scale
        is read off the log.

    Returns
    -------
    Plan

    Raises
    ------
    InvalidInput
        If the name or a key is unknown, or a value is wrong or missing.
    InvalidType
        If it is neither, or a rule that looks at what it sees.
    """
    if isinstance(plan, Warmup):
        if not isinstance(plan.rule, Schedule):
            raise InvalidType(f"only a schedule can be audited; {type(plan.rule).__name__} adapts to what it sees")
        return Plan(text=repr(plan), schedule=plan.rule, warmup=plan.steps, waits=False, from_zero=False)
    if isinstance(plan, Schedule):
        return Plan(text=repr(plan), schedule=plan)
    if not isinstance(plan, str):
        raise InvalidType(f"a plan is a text or a schedule; got {type(plan).__name__}; {_EXAMPLE}")
    return _parsed(plan)


def _parsed(text: str) -> Plan:
    word, _, rest = text.strip().partition(":")
    if word not in NAMES:
        raise unknown_rule(text, list(NAMES))
    kind, values = NAMES[word], dict[str, float]()
    for i, part in enumerate(filter(None, (part.strip() for part in rest.split(",")))):
        key, equals, number = part.partition("=")
        if not equals:
            if i:
                raise InvalidInput(f"plan {text!r}: {part!r} says nothing; {_EXAMPLE}")
            key, number = "rate", part
        values[key.strip()] = _number(text, key.strip(), number)
    rate, warmup = values.pop("rate", None), values.pop("warmup", None)
    known = {field.name for field in fields(kind)}  # pyright: ignore[reportArgumentType]
    scale = "peak" if "peak" in known else "step"
    given: dict[str, Any] = {scale: 1.0 if rate is None else rate}
    total = values.pop("total", None)
    if "steps" in known:
        if total is None:
            raise InvalidInput(f"plan {text!r}: how long is it? add total=, such as {word}:total=10000")
        given["steps"] = _whole(text, "total", total)
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
        raise InvalidInput(f"plan {text!r}: {word} also needs {missing}") from None
    length = _whole(text, "warmup", warmup or 0)
    if total is not None and length >= total:
        raise InvalidInput(f"plan {text!r}: a warm-up of {length} steps leaves nothing of a total of {total:g}")
    return Plan(text=text.strip(), schedule=schedule, warmup=length, rated=rate is not None)


def _as_torch(text: str, given: dict[str, Any]) -> dict[str, Any]:
    """OneCycle's fields for torch's OneCycleLR: pct_start, div_factor and final_div_factor are rise, start and end.

    Its peak is a step earlier, at pct_start * total - 1, and its end is a part of the first rate.
    """
    total, rise, start = given["steps"], given.get("rise", 0.3), given.get("start", 25.0)
    if rise * total <= 1:
        raise InvalidInput(f"plan {text!r}: a rise of {rise:g} of {total:g} steps is less than one; make it longer")
    return {**given, "rise": (rise * total - 1) / (total - 1), "start": start, "end": start * given.get("end", 1e4)}


def _number(text: str, key: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInput(f"plan {text!r}: {key} takes a number; got {value!r}; {_EXAMPLE}")
    return number


def _whole(text: str, key: str, value: float) -> int:
    if value != int(value) or value < 0:
        raise InvalidInput(f"plan {text!r}: {key} takes a whole number of steps; got {value:g}")
    return int(value)
