"""A log file as rows of named values, whatever its format."""

import csv
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from surefoot.errors import InvalidInput, UnknownTarget
from surefoot.logs._events import is_events, read_events

__all__ = ["LogFile", "Row", "read_log"]

Row = Mapping[str, Any]

_TABLES = (".csv", ".tsv")
_LINES = (".jsonl", ".ndjson")
_FORMATS = "a .csv, .tsv, .jsonl or .json file, or TensorBoard's event file (or the folder that it is in)"
# transformers' Trainer keeps its log in trainer_state.json under this name.
_HISTORY = "log_history"


@dataclass(frozen=True, slots=True)
class LogFile:
    """What a log file holds.

    Parameters
    ----------
    rows : tuple of mapping
        In the order of the file: name to value, numbers as they were read, text as text.
    notes : tuple of str
        What was odd about the file, for a person.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def read_log(path: str | os.PathLike[str]) -> LogFile:
    """The rows of a log.

    Parameters
    ----------
    path : path
        A table with a header (.csv, .tsv), a record a line (.jsonl), a list of records or transformers'
        trainer_state.json (.json), one of TensorBoard's event files, or a folder of those.

    Returns
    -------
    LogFile

    Raises
    ------
    UnknownTarget
        If nothing is there.
    InvalidInput
        If it is of another kind, empty, or cannot be read.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise UnknownTarget(f"{path}: there is no such file; check the path")
    if path.is_dir():
        return _folder(path)
    if path.stat().st_size == 0:
        raise InvalidInput(f"{path} is empty (0 bytes); give the log of a run that logged something")
    if is_events(path):
        return _events([path])
    kind = path.suffix.lower()
    if kind not in (*_TABLES, *_LINES, ".json"):
        raise InvalidInput(f"{path}: cannot read {kind or 'a file without suffix'}; give {_FORMATS}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read ({error}); check that it is text in UTF-8") from error
    if kind in _TABLES:
        return _table(path, text, "\t" if kind == ".tsv" else ",")
    return _json(path, text) if kind == ".json" else _lines(path, text)


def _folder(path: Path) -> LogFile:
    files = sorted(file for file in path.iterdir() if file.is_file() and is_events(file))
    if not files:
        raise InvalidInput(f"{path} is a folder without TensorBoard's event files; give {_FORMATS}")
    return _events(files)


def _events(files: list[Path]) -> LogFile:
    """Event files in the order of their names, which begin with the time: a resumed run writes one more."""
    rows: list[Row] = []
    notes: list[str] = []
    for file in files:
        scalars, whole = read_events(file)
        # one row a scalar: tags are logged at steps of their own
        rows.extend({"step": step, tag: value} for tag, step, value in scalars)
        if not whole:
            notes.append(f"the last record of {file.name} is cut off, as in a run that was killed")
    return LogFile(tuple(rows), tuple(notes))


def _table(path: Path, text: str, delimiter: str) -> LogFile:
    lines = list(csv.reader(text.splitlines(), delimiter=delimiter))
    header = [name.strip() for name in lines[0]] if lines else []
    if not any(header) or all(_is_number(name) for name in header):
        raise InvalidInput(f"{path}: the first line must name the columns, such as step,lr; got {','.join(header)!r}")
    rows = [
        {name: cell.strip() for name, cell in zip(header, line, strict=False) if cell.strip()}
        for line in lines[1:]
        if line
    ]
    return LogFile(tuple(rows))


def _lines(path: Path, text: str) -> LogFile:
    rows: list[Row] = []
    notes: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            if line.startswith("{") and not line.endswith("}"):
                notes.append(f"line {number} is cut off, as in a run that was killed")
                continue
            raise InvalidInput(f"{path}, line {number}: not JSON ({error}); one record a line") from error
        if not isinstance(record, dict):
            raise InvalidInput(f"{path}, line {number}: expected a record such as {{...}}; got {line.strip()[:40]!r}")
        rows.append(cast("Row", record))
    return LogFile(tuple(rows), tuple(notes))


def _json(path: Path, text: str) -> LogFile:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{path}: not JSON ({error})") from error
    if isinstance(content, dict) and _HISTORY in content:
        content = cast("dict[str, Any]", content)[_HISTORY]
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in cast("list[Any]", content)):
        raise InvalidInput(f"{path}: expected a list of records, or transformers' trainer_state.json")
    return LogFile(tuple(cast("list[Row]", content)))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
