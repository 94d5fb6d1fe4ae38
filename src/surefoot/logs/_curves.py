"""The curves of a run: what was logged of its rate, its loss, its gradient and its loss scale, against the step."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from surefoot.checks import checked
from surefoot.errors import InvalidInput
from surefoot.logs._read import LogFile, read_log
from surefoot.logs._roles import EPOCHS, STEPS, Role, bare, role_of
from surefoot.tables import abridge

Array = NDArray[np.float64]

# torch prints tensor(2.3, device='cuda:0') into a table.
_TENSOR = re.compile(r"tensor\(\s*([-+\w.]+)")
# A column with fewer numbers than this gives way to one that is named less plainly and has more.
_FEW = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """One column against the step.

    Parameters
    ----------
    column : str
        Name in the log.
    steps, values : array, shape (n,)
        Numbers in the order of the log; values may be NaN or infinite.
    written : tuple
        The values as they stood in the log: text shows with how many digits.
    """

    column: str
    steps: Array
    values: Array
    written: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """What a log holds of a run.

    Parameters
    ----------
    name : str
        Name of the log.
    unit : str
        What steps are: "step", "epoch", or "row" where the log has no position.
    loss, validation, norm, rate, scale : Curve or None
        The training loss, the held-out loss, the norm of the gradient, the learning rate, the loss scale.
    epochs : Curve or None
        The epoch at each step, where both are there.
    others : mapping
        Further columns that could have been each of these, by role.
    notes : tuple of str
        Oddities, for a person to read.
    """

    name: str
    unit: str
    loss: Curve | None
    validation: Curve | None
    norm: Curve | None
    rate: Curve | None
    scale: Curve | None
    epochs: Curve | None
    others: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]

    def by_role(self) -> dict[str, Curve]:
        """The curves that there are, by "loss", "validation", "norm", "rate" and "scale"."""
        curves = {
            "loss": self.loss,
            "validation": self.validation,
            "norm": self.norm,
            "rate": self.rate,
            "scale": self.scale,
        }
        return {role: curve for role, curve in curves.items() if curve is not None}


@checked
def read_curves(log: Any, names: Mapping[str, str | None] | None = None) -> Curves:
    """The curves in a log.

    Parameters
    ----------
    log : path, DataFrame, mapping, sequence or LogFile
        What `read_log` takes.
    names : mapping, optional
        Column of a role ("rate", "loss", "validation", "norm", "scale") where its name does not say so.

    Returns
    -------
    Curves

    Raises
    ------
    InvalidInput
        If the log is empty, a column that was named is not there, or a value is no number.

    Examples
    --------
    >>> from surefoot.logs import read_curves
    >>> curves = read_curves({"step": [0, 10], "train_loss": [2.0, 1.0], "lr": [0.1, 0.1]})
    >>> curves.unit, curves.loss.column, curves.rate.values
    ('step', 'train_loss', array([0.1, 0.1]))
    """
    file = read_log(log)
    if not file.rows:
        raise InvalidInput(f"{file.name} holds no rows; give the log of a run that logged something")
    counts: dict[str, int] = {}
    for row in file.rows:
        for key, value in row.items():
            counts[key] = counts.get(key, 0) + (value not in (None, ""))
    # an empty column is kept: where it is needed, the error can say that it is empty
    chosen, others = _choose(file, counts, names or {})
    step = _position(counts, STEPS)
    epoch = _position(counts, EPOCHS)
    if step is not None and epoch is not None and 2 * _count_different(file, step) < _count_different(file, epoch):
        step = None  # a step that stands still while epochs go on was carried on from another line
    unit = "row" if step is None and epoch is None else "epoch" if step is None else "step"
    position = step if step is not None else epoch
    curves = {role: _curve(file, role, column, position) for role, column in chosen.items()}
    return Curves(
        name=file.name,
        unit=unit,
        loss=curves.get("loss"),
        validation=curves.get("validation"),
        norm=curves.get("norm"),
        rate=curves.get("rate"),
        scale=curves.get("scale"),
        epochs=_curve(file, "epoch", epoch, step) if step is not None and epoch is not None else None,
        others=others,
        notes=file.notes,
    )


def _choose(
    log: LogFile, counts: Mapping[str, int], names: Mapping[str, str | None]
) -> tuple[dict[Role, str], dict[str, tuple[str, ...]]]:
    """The column of each role, and those that could have been it."""
    ranked: dict[Role, list[tuple[bool, int, int, str]]] = {}
    for order, column in enumerate(counts):
        if (known := role_of(column)) is not None:
            role, rank = known
            ranked.setdefault(role, []).append((counts[column] < _FEW, rank, order, column))
    chosen: dict[Role, str] = {}
    others: dict[str, tuple[str, ...]] = {}
    for role, columns in ranked.items():
        ordered = [column for *_, column in sorted(columns)]
        chosen[role], others[role] = ordered[0], tuple(ordered[1:])
    for role, column in names.items():
        if column is None:
            continue
        if column not in counts:
            raise InvalidInput(f"{log.name}: no column {column!r}; there are {abridge(list(counts), 20)}")
        chosen[cast("Role", role)], others[role] = column, ()
    return chosen, others


def _position(counts: Mapping[str, int], known: Sequence[str]) -> str | None:
    columns = [column for column in counts if bare(column) in known and counts[column]]
    return min(columns, key=lambda column: known.index(bare(column)), default=None)


def _count_different(log: LogFile, column: str) -> int:
    return len({str(row[column]) for row in log.rows if column in row})


def _curve(log: LogFile, role: str, column: str, position: str | None) -> Curve:
    steps: list[float] = []
    values: list[float] = []
    written: list[Any] = []
    here: float | None = None
    for number, row in enumerate(log.rows):
        if position is not None and (at := row.get(position)) not in (None, ""):
            here = _step(log.name, number, at)
        if column not in row or not _has_value(role, row, column):
            continue
        value = as_number(row[column])
        where = len(steps) if position is None else here
        if where is None:
            where = float(number)  # before the first row that has a position
        if value is None:
            what = {"rate": "rate", "norm": "norm"}.get(role, role)
            raise InvalidInput(
                f"{log.name}, step {where:g}: the {what} must be a number; got {str(row[column])[:40]!r}"
            )
        steps.append(where)
        values.append(value)
        written.append(row[column])
    return Curve(column=column, steps=np.array(steps), values=np.array(values), written=tuple(written))


def _has_value(role: str, row: Mapping[str, Any], column: str) -> bool:
    """Whether the row has a value of the column. None is a NaN that JSON cannot hold, except of a rate, which has none.

    One of our own records with an event and a rate of 0 is an update that was not made.
    """
    value = row[column]
    if value == "" or (value is None and role not in ("loss", "norm", "validation")):
        return False
    return not (role == "rate" and value == 0 and bool(row.get("event")))


def _step(name: str, row: int, value: Any) -> float:
    step = as_number(value)
    if step is None or not math.isfinite(step):
        raise InvalidInput(f"{name}, row {row}: the step must be a number; got {str(value)[:40]!r}")
    return step


def as_number(value: Any) -> float | None:
    """A number as loggers write it; NaN for None, and None for what is no number."""
    if value is None:
        return math.nan
    if isinstance(value, str):
        if match := _TENSOR.match(value):
            value = match[1]
        elif len(value) > 400:
            return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
