"""Plans as text: ``NAME[:RATE][,key=value...]``."""

from dataclasses import fields
from typing import Any, cast

from surefoot.audits._plan import Plan
from surefoot.audits._shapes import MultiStep, Shape, shape_of
from surefoot.errors import InvalidInput
from surefoot.rules import (
    WSD,
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    OneCycle,
    StepDecay,
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
# Ends errors about plans: an example says more than the grammar.
EXAMPLE = "write cosine:total=10000,warmup=500 or linear:3e-4,total=1000"


def parse_plan(text: str) -> Plan:
    """The plan that a text stands for; see `surefoot.audit`."""
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
        raise InvalidInput(f"plan {text!r}: {word} also needs {missing}; {EXAMPLE}") from None
    length = _whole(text, "warmup", warmup or 0)
    if total is not None and length >= total:
        raise InvalidInput(f"plan {text!r}: a warm-up of {length} steps leaves nothing of a total of {total:g}")
    if start is not None and not 0 <= start < 1:
        raise InvalidInput(f"plan {text!r}: start is a part of the peak, in [0, 1); got {start:g}")
    # MultiStep is a shape itself; the rules' own are wrapped
    shape: Shape = cast("Shape", schedule) if kind is MultiStep else shape_of(schedule)
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
    shape = shape_of(Constant(step=first))
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
    return parse_number(value, f"plan {text!r}: {key} takes a number", hint=EXAMPLE)


def _whole(text: str, key: str, value: float) -> int:
    if value != int(value) or value < 0:
        raise InvalidInput(f"plan {text!r}: {key} takes a whole number of steps; got {value:g}")
    return int(value)
