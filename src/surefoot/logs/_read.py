"""A log as rows of named values, whatever its format: by its name where that says it, else by how it begins."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from surefoot.checks import as_path, checked
from surefoot.errors import InvalidInput, InvalidType, MissingExtra
from surefoot.logs._events import is_events
from surefoot.logs._folder import read_event_files, read_folder, read_metric
from surefoot.logs._json import flat, read_json, read_lines
from surefoot.logs._source import Lines, check_file, too_many
from surefoot.logs._table import is_number, read_table
from surefoot.logs._text import read_text

Row = Mapping[str, Any]

# Endings of names, by how their files are read; a table with its separator, where the name says it.
_TABLES = {".csv": None, ".tsv": "\t"}
_LINES = (".jsonl", ".ndjson")
_TEXTS = (".txt", ".log", ".out", ".err", "")
_FRAMES = (".parquet", ".pq")
_FORMATS = (
    "a .csv, .tsv, .jsonl, .json, .parquet, .txt or .log file (also .gz), or TensorBoard's event file, or the folder "
    "of a run"
)
# Lines that a file without a telling name is judged by.
_PROBE = 40
# Part of a frame's column: runs whose losses are NaN now and then have fewer, and rows of validation more.
_EMPTY = 0.3


@dataclass(frozen=True, slots=True)
class LogFile:
    """What a log holds.

    Parameters
    ----------
    rows : tuple of mapping
        Rows in the order of the log: name to value, numbers as they were read, text as text.
    notes : tuple of str
        Oddities, for a person to read.
    name : str
        The file's, or "log".
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    name: str = "log"


@checked
def read_log(log: Any) -> LogFile:
    """The rows of a log.

    Parameters
    ----------
    log : path, DataFrame, mapping of columns, or sequence
        A table with a header (.csv, .tsv; commas, semicolons, tabs, decimal commas), a record a line (.jsonl), a list
        of records or transformers' trainer_state.json (.json), .parquet (needs pandas), text as trainers print it
        (.txt, .log), each of these gzipped, one of TensorBoard's event files, MLflow's metrics, or the folder of a run
        with one of those in it. Several paths are read one after the other, as of a run that was resumed. In memory:
        a DataFrame, columns by name, records, (step, rate) pairs, or rates alone at steps 0, 1, 2, ...; or what holds
        one: Keras' History, transformers' Trainer.

    Returns
    -------
    LogFile

    Raises
    ------
    UnknownTarget
        If nothing is there.
    InvalidInput
        If it is of another kind, empty, too large (the message says the bound), or cannot be read.
    InvalidType
        If it is no log.
    MissingExtra
        If pandas is needed and not installed.

    Examples
    --------
    >>> from surefoot.logs import read_log
    >>> read_log({"step": [0, 1], "lr": [0.1, 0.2]}).rows[1]
    {'step': 1, 'lr': 0.2}
    """
    # already read: `why` reads once, and its audit reads the same rows
    if isinstance(log, LogFile):
        return log
    if isinstance(log, str | os.PathLike):
        return _read_path(as_path(cast("str | os.PathLike[str]", log)))
    log = _unwrap(log)
    if isinstance(log, Sequence) and log and all(isinstance(item, str | os.PathLike) for item in cast("Any", log)):
        return _one_after_another([read_log(path) for path in cast("Sequence[Any]", log)])
    if isinstance(log, Mapping):
        return LogFile(tuple(_from_columns(cast("Mapping[str, Any]", log))))
    if hasattr(log, "columns") and hasattr(log, "__getitem__"):
        return LogFile(tuple(_from_frame(log)))
    if not isinstance(log, Iterable) or getattr(log, "ndim", 1) == 0 or hasattr(log, "tocsr"):
        raise InvalidType(f"a log is a path, a DataFrame, columns, records or rates; got {type(log).__name__}")
    rows: list[Row] = []
    for item in cast("Iterable[Any]", log):
        rows.append(_record(item))
        too_many(Path("the log"), len(rows))
    return LogFile(tuple(rows))


def _read_path(path: Path) -> LogFile:
    if _is_folder(path):
        rows, notes = read_folder(path, _read_path)
    else:
        rows, notes = _read_file(check_file(path))
    return LogFile(tuple(rows), tuple(notes), path.name)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{str(path)[:80]!r} is no path ({error}); check it") from error


def _read_file(path: Path) -> tuple[Sequence[Row], list[str]]:
    # their names end in a host and a number, which looks like a suffix: by the name before any suffix
    if is_events(path):
        return read_event_files([path])
    kind = path.suffix.lower()
    if kind == ".gz":
        kind = path.with_suffix("").suffix.lower()
    if kind in _FRAMES:
        return _from_frame(_frame(path)), []
    if kind in _TABLES:
        lines = Lines(path)
        rows, notes = read_table(lines, _TABLES[kind])
    elif kind in _LINES:
        lines = Lines(path)
        rows, notes = read_lines(lines)
    elif kind == ".json":
        lines = Lines(path)
        rows, notes = read_json(lines)
    elif kind in _TEXTS or kind[1:].isdigit():
        lines = Lines(path, strict=False)
        rows, notes = _guess_format(lines)
    else:
        raise InvalidInput(f"{path}: cannot read {kind}; give {_FORMATS}")
    return rows, notes + lines.notes


def _guess_format(lines: Lines) -> tuple[Sequence[Row], list[str]]:
    """A file whose name says nothing: records, a table, MLflow's metric, or text."""
    probe = [line.strip() for line in islice(lines, _PROBE)]
    probe = [line for line in probe if line]
    if probe and probe[0].startswith("{") and all(line.startswith("{") for line in probe[:-1]) and '"' in probe[0]:
        return read_lines(lines)
    if probe and probe[0].startswith(("[{", "[\n", "{")) and not probe[0].startswith("{'"):
        return read_json(lines)
    cells = [line.split() for line in probe]
    if cells and all(len(row) in (2, 3) and all(map(is_number, row)) for row in cells) and float(cells[0][0]) > 1e12:
        return read_metric(lines), []
    if len(probe) > 1:
        for separator in (",", ";", "\t", None):
            head, *rest = (line.lstrip("# ").split(separator) for line in probe)
            if (
                len(head) > 1
                and not any(map(is_number, head))
                and all(
                    len(row) == len(head) and all(is_number(c.replace(",", ".") or "0") for c in row) for row in rest
                )
            ):
                return read_table(lines, separator)
    rows, notes = read_text(lines)
    if not rows:
        raise InvalidInput(
            f"{lines.path}: no line has a name with a number behind it, such as 'step 10 loss 2.5'; give {_FORMATS}"
        )
    return rows, notes


def _frame(path: Path) -> Any:
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtra(f"{path}: parquet files are read by pandas; pip install pandas pyarrow") from error
    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise MissingExtra(f"{path}: pandas needs pyarrow for it; pip install pyarrow") from error
    except Exception as error:  # a damaged file makes the readers raise errors of many kinds
        raise InvalidInput(f"{path}: cannot be read ({' '.join(str(error).split())[:120]}); write it again") from error


def _unwrap(log: Any) -> Any:
    """The log in what holds one: a Trainer its state, the state its log_history, Keras' History its history."""
    for name in ("state", "log_history", "history"):
        inside = getattr(log, name, None)
        if inside is not None and not isinstance(log, Mapping | str) and not callable(inside):
            log = inside
    return log


def _from_columns(columns: Mapping[str, Any]) -> list[Row]:
    try:
        listed = [_plain(column) for column in columns.values()]
        rows: list[Row] = [dict(zip(map(str, columns), cells, strict=True)) for cells in zip(*listed, strict=True)]
    except (TypeError, ValueError) as error:
        raise InvalidType(f"a mapping must hold columns of one length: {error}") from None
    too_many(Path("the log"), len(rows))
    return rows


def _from_frame(frame: Any) -> list[Row]:
    """Rows of a DataFrame, pandas' or polars'.

    A frame has one mark for a NaN and for a cell that was left empty. Where numbers follow after NaNs in many rows of
    a column, as where training and validation have rows of their own, they are empty cells.
    """
    columns: dict[str, list[Any]] = {}
    for name in frame.columns:
        values = [None if type(value).__name__ in ("NAType", "NaTType") else value for value in _plain(frame[name])]
        missing = [value is None or value != value for value in values]
        last = max((i for i, gone in enumerate(missing) if not gone), default=-1)
        inside = sum(missing[: last + 1])
        empty = inside > _EMPTY * (last + 1)
        columns[str(name)] = [
            "" if gone and (empty or not isinstance(v, float)) else v for v, gone in zip(values, missing, strict=True)
        ]
    return _from_columns(columns)


def _plain(column: Any) -> Any:
    """As Python's numbers, which print all their digits."""
    listed = getattr(column, "tolist", None) or getattr(column, "to_list", None)
    return column if listed is None else listed()


def _record(item: Any) -> Row:
    if isinstance(item, Mapping):
        return flat(cast("Row", item))
    if isinstance(item, Sequence) and not isinstance(item, str) and len(cast("Sequence[Any]", item)) == 2:
        step, rate = cast("Sequence[Any]", item)
        return {"step": step, "lr": rate}
    try:
        return {"lr": float(cast("Any", item))}
    except (TypeError, ValueError, OverflowError):
        pass
    if not hasattr(item, "to_dict"):
        raise InvalidType(f"a log holds records, (step, rate) pairs or rates; got a {type(cast('Any', item)).__name__}")
    return cast("Any", item).to_dict()  # a record of ours, such as an entry of Pilot.history


def _one_after_another(logs: list[LogFile]) -> LogFile:
    rows = tuple(row for log in logs for row in log.rows)
    too_many(Path("the log"), len(rows))
    notes = (f"{log.name}: {note}" for log in logs for note in log.notes)
    return LogFile(rows, tuple(notes), " + ".join(log.name for log in logs))
