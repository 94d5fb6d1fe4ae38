"""The rates in a log: which column, at which steps, and how exactly they were written."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from surefoot.errors import InvalidInput, NotFinite
from surefoot.logs import Curve, Curves, LogFile, read_curves, read_log
from surefoot.tables import abridge

# A log with more backward moves than this part of its rows is out of order, not resumed that often.
_SHUFFLED = 0.05
# Backward moves that even a short log may have. By convention.
_FEW = 20
# Half of the last bit of single precision, which is what TensorBoard keeps, relative.
_SINGLE = 2.0**-24
# Rates with at most 8 digits were rounded, if there are at least 8 different ones: a few may be short by chance.
_DIGITS, _DIFFERENT = 8, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Rates at steps, in the order they were logged.

    Parameters
    ----------
    name : str
        Name of the log.
    column : str
        Column of the rate; empty if it had no name.
    steps : tuple of float
    rates : tuple of float
        Finite, one for each step.
    coarse : float
        Half a unit of the last digit written, relative to the largest rate: smaller differences do not show.
    resumes : tuple of int
        Indices at which the step went back.
    others : tuple of str
        Other columns of rates, such as those of further parameter groups.
    notes : tuple of str
        Oddities, for a person to read.
    """

    name: str
    column: str
    steps: tuple[float, ...]
    rates: tuple[float, ...]
    coarse: float
    resumes: tuple[int, ...]
    others: tuple[str, ...]
    notes: tuple[str, ...]


def read_series(log: Any, column: str | None = None) -> Series:
    """The rates that ran.

    Parameters
    ----------
    log : path, DataFrame, mapping, sequence or LogFile
        What loggers write, as `surefoot.logs.read_log` takes it.
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
    file = read_log(log)
    curves = read_curves(file, {"rate": column})
    curve = curves.rate
    columns = list(dict.fromkeys(key for row in file.rows for key in row))
    if curve is None:
        raise InvalidInput(
            f"{file.name}: no column of rates among {abridge(columns, 20)}; name it with column= (--column)"
        )
    if not len(curve):
        raise InvalidInput(
            f"{file.name}: the column {curve.column} is empty; name another of {abridge(columns, 20)} with column= "
            "(--column)"
        )
    bad = np.nonzero(~np.isfinite(curve.values))[0]
    if len(bad):
        step, rate = curve.steps[bad[0]], curve.values[bad[0]]
        raise NotFinite(f"{file.name}, step {step:g}: the rate is {rate}: no optimizer can have used it; fix the log")
    whole: list[float] = [int(step) if step == int(step) else step for step in curve.steps.tolist()]
    steps, rates, resumes, more = _put_in_order(whole, curve.values.tolist())
    coarse, digits = _coarseness(curve)
    rounded = [f"the rates were written with {digits} digits: differences below {coarse:.1g} are not seen"]
    return Series(
        name=file.name,
        column=curve.column,
        steps=tuple(steps),
        rates=tuple(rates),
        coarse=coarse,
        resumes=tuple(resumes),
        others=curves.others.get("rate", ()),
        notes=(
            *file.notes,
            *_describe_columns(file, curves, columns),
            *(rounded if digits else ()),
            *more,
            *_count_broken(curves),
        ),
    )


def _describe_columns(log: LogFile, curves: Curves, columns: Sequence[str]) -> list[str]:
    """Which columns were taken for what."""
    notes: list[str] = []
    if curves.others.get("rate"):
        notes.append(f"also there: {', '.join(curves.others['rate'])}; column= (--column) chooses")
    if curves.unit == "row" and (len(columns) > 1 or any(isinstance(value, str) for value in log.rows[0].values())):
        notes.append("no column of steps (step, global_step, iteration): rows are counted from 0")
    if curves.unit == "epoch":
        notes.append("no column of steps: epochs are taken for them, so the plan must be in epochs")
    return notes


def _count_broken(curves: Curves) -> list[str]:
    """What is not finite beside the rates: the schedule is not all that matters."""
    notes: list[str] = []
    for name, curve in (("loss", curves.loss), ("gradient's norm", curves.norm)):
        if curve is not None and len(bad := np.nonzero(~np.isfinite(curve.values))[0]):
            notes.append(
                f"the {name} is not finite in {len(bad)} of {len(curve)} rows, first at step {curve.steps[bad[0]]:g}: "
                "surefoot why looks at that"
            )
    return notes


def _coarseness(curve: Curve) -> tuple[float, int]:
    """Half of the last digit relative to the largest rate, and the digits if the log was rounded to few."""
    texts = {
        value if isinstance(value, str) else repr(rate)
        for value, rate in zip(curve.written, curve.values.tolist(), strict=True)
    }
    digits = max(map(_digits, texts))
    largest = float(np.abs(curve.values).max())
    if digits > _DIGITS or len(texts) < _DIFFERENT or not largest:
        return _SINGLE, 0
    return 0.5 * 10.0 ** (math.floor(math.log10(largest)) - digits + 1) / largest, digits


def _digits(text: str) -> int:
    """Significant digits of a number as it was written."""
    return len(text.lower().partition("e")[0].replace(".", "").lstrip("+-0"))


def _put_in_order(steps: list[float], rates: list[float]) -> tuple[list[float], list[float], list[int], list[str]]:
    """Repeated rows dropped, shuffled ones sorted; where the step goes back, the run was resumed."""
    notes: list[str] = []
    back = sum(b < a for a, b in pairwise(steps))
    if back > max(_FEW, _SHUFFLED * len(steps)):
        order = sorted(range(len(steps)), key=lambda i: steps[i])
        steps, rates = [steps[i] for i in order], [rates[i] for i in order]
        notes.append(f"the steps were out of order ({back} times): sorted")
    kept = [i for i in range(len(steps)) if i == 0 or (steps[i], rates[i]) != (steps[i - 1], rates[i - 1])]
    steps, rates = [steps[i] for i in kept], [rates[i] for i in kept]
    twice = sum(b == a for a, b in pairwise(steps))
    if twice:
        notes.append(f"{twice} steps have several rates: of parameter groups, or of runs that share a log")
    return steps, rates, [i for i in range(1, len(steps)) if steps[i] < steps[i - 1]], notes
