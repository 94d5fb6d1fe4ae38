"""The rates in a log: which column, at which steps, and how exactly they were written."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from surefoot.errors import InvalidInput, InvalidType, NotFinite

__all__ = ["Series", "series_of"]

_RATES = ("lr", "learning_rate", "learningrate", "rate")
_STEPS = ("step", "global_step", "_step", "steps", "iteration", "iter", "k")
_EPOCHS = ("epoch",)
# More backward moves than this part of the rows is a log out of order, not a run resumed so often.
_SHUFFLED = 0.05
_FEW = 20
# Half of the last bit of single precision, which is what TensorBoard keeps, relative.
_SINGLE = 2.0**-24
# A log whose rates all have at most so many digits was rounded; fewer different rates may be short by themselves.
_DIGITS, _DIFFERENT = 8, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Rates at steps, in the order they were logged.

    Parameters
    ----------
    name : str
        Of the log.
    column : str
        Of the rate; empty if it had no name.
    steps : tuple of int
    rates : tuple of float
        Finite, one for each step.
    coarse : float
        Half of the last digit that was written, relative to the largest rate: what the log cannot show.
    resumes : tuple of int
        Indices at which the step went back.
    notes : tuple of str
        What was odd, for a person.
    """

    name: str
    column: str
    steps: tuple[int, ...]
    rates: tuple[float, ...]
    coarse: float
    resumes: tuple[int, ...]
    notes: tuple[str, ...]


def series_of(log: Any, column: str | None = None) -> Series:
    """The rates that ran.

    Parameters
    ----------
    log : path, mapping, sequence of records, of (step, rate) pairs or of rates
        A path is read by `surefoot.logs.read_log`. Rates by themselves are at steps 0, 1, 2, ...
    column : str, optional
        The rate's, if its name does not say so or there are several.

    Returns
    -------
    Series

    Raises
    ------
    InvalidInput
        If there are no rates, or no such column.
    NotFinite
        If a rate is NaN or infinite.
    InvalidType
        If it is no log.
    """
    if isinstance(log, str | os.PathLike):
        from surefoot.logs import read_log  # `import surefoot` does not pay for it

        path = Path(cast("str | os.PathLike[str]", log))
        found = read_log(path)
        return _from_rows(path.name, found.rows, column, found.notes)
    if isinstance(log, Mapping):
        columns = cast("Mapping[str, Any]", log)
        try:
            cells = zip(*columns.values(), strict=True)
            rows = [dict(zip(columns, line, strict=True)) for line in cells]
        except (TypeError, ValueError) as error:
            raise InvalidType(f"a mapping must hold columns of one length: {error}") from None
        return _from_rows("log", rows, column, ())
    if not isinstance(log, Iterable):
        raise InvalidType(f"a log is a path, columns, records or rates; got {type(log).__name__}")
    return _from_rows("log", [_record(item) for item in cast("Iterable[Any]", log)], column, ())


def _record(item: Any) -> Mapping[str, Any]:
    if isinstance(item, Mapping):
        return cast("Mapping[str, Any]", item)
    if isinstance(item, Sequence) and not isinstance(item, str) and len(cast("Sequence[Any]", item)) == 2:
        step, rate = cast("Sequence[Any]", item)
        return {"step": step, "lr": rate}
    try:
        return {"lr": float(cast("Any", item))}
    except (TypeError, ValueError):
        pass
    if not hasattr(item, "to_dict"):
        raise InvalidType(f"a log holds records, (step, rate) pairs or rates; got a {type(cast('Any', item)).__name__}")
    return cast("Any", item).to_dict()  # a record of ours, such as an entry of Pilot.history


def _from_rows(name: str, rows: Sequence[Mapping[str, Any]], column: str | None, notes: tuple[str, ...]) -> Series:
    if not rows:
        raise InvalidInput(f"{name} holds no rows; give the log of a run that logged something")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    rate, others = _rate_column(name, columns, column)
    said = list(notes)
    if others:
        said.append(f"also there: {', '.join(others)}; --column chooses")
    step = next((c for known in (_STEPS, _EPOCHS) for c in columns if _bare(c) in known), None)
    kept = [(row.get(step) if step else i, row[rate]) for i, row in enumerate(rows) if _ran(row, rate)]
    if step is None:
        kept = [(i, value) for i, (_, value) in enumerate(kept)]
        if any(isinstance(row.get(rate), str) for row in rows) or len(columns) > 1:
            said.append(f"no column of steps ({', '.join(_STEPS[:3])}): rows are counted from 0")
    elif _bare(step) in _EPOCHS:
        said.append("no column of steps: epochs are taken for them, so the plan must be in epochs")
    if not kept:
        raise InvalidInput(f"{name}: the column {rate} is empty; --column names another of {', '.join(columns)}")
    steps = [_step(name, i, at) for i, (at, _) in enumerate(kept)]
    rates = [_rate(name, steps[i], value) for i, (_, value) in enumerate(kept)]
    coarse, digits = _coarse([(rate, value) for rate, (_, value) in zip(rates, kept, strict=True)])
    if digits:
        said.append(f"the rates were written with {digits} digits: differences below {coarse:.1g} are not seen")
    steps, rates, resumes, more = _ordered(steps, rates)
    return Series(
        name=name,
        column=rate,
        steps=tuple(steps),
        rates=tuple(rates),
        coarse=coarse,
        resumes=tuple(resumes),
        notes=(*said, *more),
    )


def _rate_column(name: str, columns: Sequence[str], wanted: str | None) -> tuple[str, list[str]]:
    """The column of the rate, and others that look like one."""
    if wanted is not None:
        if wanted not in columns:
            raise InvalidInput(f"{name}: no column {wanted!r}; there are {', '.join(columns)}")
        return wanted, []
    found = [c for c in columns if _bare(c) in _RATES]
    # Lightning's LearningRateMonitor writes lr-AdamW, lr-SGD/pg1
    found += [c for c in columns if c not in found and any(part.lower().startswith("lr-") for part in c.split("/"))]
    if not found:
        raise InvalidInput(f"{name}: no column of rates among {', '.join(columns)}; name it with --column")
    return found[0], found[1:]


def _ran(row: Mapping[str, Any], column: str) -> bool:
    """Whether the row has a rate; one of ours with an event and a rate of 0 is an update that was not made."""
    value = row.get(column)
    return value not in (None, "") and not (value == 0 and bool(row.get("event")))


def _bare(column: str) -> str:
    """The last part of a tag, in lower case: train/learning_rate is learning_rate."""
    return column.rpartition("/")[2].strip().lower().replace(" ", "_")


def _step(name: str, row: int, value: Any) -> int:
    try:
        step = float(value)
    except (TypeError, ValueError):
        step = math.nan
    if not math.isfinite(step):
        raise InvalidInput(f"{name}, rate {row}: the step must be a number; got {value!r}")
    return round(step)


def _rate(name: str, step: int, value: Any) -> float:
    if isinstance(value, Sequence) and not isinstance(value, str):  # a rate for each parameter group: the first one's
        value = cast("Sequence[Any]", value)[0] if value else None
    try:
        rate = float(value)
    except (TypeError, ValueError):
        raise InvalidInput(f"{name}, step {step}: the rate must be a number; got {value!r}") from None
    if not math.isfinite(rate):
        raise NotFinite(f"{name}, step {step}: the rate is {rate}: an optimizer cannot have used it; mend the log")
    return rate


def _coarse(written: Sequence[tuple[float, Any]]) -> tuple[float, int]:
    """Half of the last digit relative to the largest rate, and the digits if the log was rounded to few."""
    texts = {value if isinstance(value, str) else repr(rate) for rate, value in written}
    digits = max(map(_digits, texts))
    largest = max(abs(rate) for rate, _ in written)
    if digits > _DIGITS or len(texts) < _DIFFERENT or not largest:
        return _SINGLE, 0
    return 0.5 * 10.0 ** (math.floor(math.log10(largest)) - digits + 1) / largest, digits


def _digits(text: str) -> int:
    """Significant digits of a number as it was written."""
    return len(text.lower().partition("e")[0].replace(".", "").lstrip("+-0"))


def _ordered(steps: list[int], rates: list[float]) -> tuple[list[int], list[float], list[int], list[str]]:
    """Repeated rows dropped, shuffled ones sorted; where the step goes back, the run was resumed."""
    said: list[str] = []
    back = sum(b < a for a, b in pairwise(steps))
    if back > max(_FEW, _SHUFFLED * len(steps)):
        order = sorted(range(len(steps)), key=lambda i: steps[i])
        steps, rates = [steps[i] for i in order], [rates[i] for i in order]
        said.append(f"the steps were out of order ({back} times): sorted")
    kept = [i for i in range(len(steps)) if i == 0 or (steps[i], rates[i]) != (steps[i - 1], rates[i - 1])]
    steps, rates = [steps[i] for i in kept], [rates[i] for i in kept]
    twice = sum(b == a for a, b in pairwise(steps))
    if twice:
        said.append(f"{twice} steps have several rates: of parameter groups, or of runs that share a log")
    return steps, rates, [i for i in range(1, len(steps)) if steps[i] < steps[i - 1]], said
