"""JSON: a record a line, a list of records, columns by name, transformers' trainer_state.json."""

import json
from collections.abc import Mapping
from typing import Any, cast

from surefoot.errors import InvalidInput
from surefoot.logs._source import Lines, too_many

Row = Mapping[str, Any]
# Where records stand in documents of known kinds: transformers' Trainer, Lightning's and our own.
HISTORIES = ("log_history", "history", "rows")
# By convention: as JSON a document takes about ten times as much memory as on disk.
MOST_DOCUMENT = 64 * 2**20
# Deeper records hold configurations, longer lists histograms; parameter groups are few.
DEEPEST, MOST_GROUPS = 4, 16


def read_lines(lines: Lines) -> tuple[list[Row], list[str]]:
    """A record from each line, and notes: one that is cut off at the end of a file is left out and noted.

    Raises
    ------
    InvalidInput
        If a line is no record.
    """
    rows: list[Row] = []
    notes: list[str] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            # a run that was killed ends in the middle of a record; elsewhere a broken line is a fault
            if text.startswith("{") and not text.endswith("}"):
                notes.append(f"line {number} is cut off, as in a run that was killed")
                continue
            raise InvalidInput(
                f"{lines.path}, line {number}: not JSON ({_reason(error)}); one record a line"
            ) from error
        if not isinstance(record, dict):
            raise InvalidInput(f"{lines.path}, line {number}: expected a record such as {{...}}; got {text[:40]!r}")
        rows.append(flat(cast("Row", record)))
        too_many(lines.path, len(rows))
    return rows, notes


def read_json(lines: Lines) -> tuple[list[Row], list[str]]:
    """The records of a document; several documents in a row are a record a line (detectron2, mmengine).

    Raises
    ------
    InvalidInput
        If it is no JSON, or holds no records.
    """
    text = lines.text(MOST_DOCUMENT)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if _begins_with_record(text):
            return read_lines(lines)
        raise InvalidInput(f"{lines.path}: not JSON ({_reason(error)}); give the file as it was written") from error
    del text  # as long as the document, and no longer needed
    rows = _records(content)
    if rows is None:
        raise InvalidInput(
            f"{lines.path}: expected a list of records, columns by name, or transformers' trainer_state.json"
        )
    too_many(lines.path, len(rows))
    return [flat(row) for row in rows], []


def _records(content: Any) -> list[Row] | None:
    if isinstance(content, dict):
        content = cast("dict[str, Any]", content)
        inside = next((content[key] for key in HISTORIES if isinstance(content.get(key), list | dict)), None)
        if inside is not None:
            return _records(inside)
        return _columns(content)
    if isinstance(content, list) and all(isinstance(row, dict) for row in cast("list[Any]", content)):
        return cast("list[Row]", content)
    return None


def _columns(content: dict[str, Any]) -> list[Row] | None:
    """Columns of one length, as lists or as pandas writes them, by row."""
    lists = {
        name: list(column.values()) if isinstance(column, dict) else column
        for name, column in content.items()
        if isinstance(column, list | dict)
    }
    # a configuration has lists of all lengths: only columns of one length are a table
    lengths = {len(column) for column in lists.values()}
    if len(lengths) != 1 or not lengths.pop():
        return None
    return [dict(zip(lists, cells, strict=True)) for cells in zip(*lists.values(), strict=True)]


def flat(record: Row, depth: int = 0, prefix: str = "") -> dict[str, Any]:
    """One level of names: {"train": {"loss": 1}} is {"train/loss": 1}; a short list is its first number, [1], ..."""
    row: dict[str, Any] = {}
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            # what is nested deeper is left out rather than refused: the scalars beside it are what matters
            if depth < DEEPEST:
                row |= flat(cast("Row", value), depth + 1, f"{name}/")
        elif isinstance(value, list | tuple):
            row |= _group(name, cast("list[Any]", value))
        else:
            row[name] = value
    return row


def _group(name: str, values: list[Any]) -> dict[str, Any]:
    if not 0 < len(values) <= MOST_GROUPS or any(isinstance(value, list | dict | tuple) for value in values):
        return {}
    return {name: values[0]} | {f"{name}[{i}]": value for i, value in enumerate(values) if i}


def _begins_with_record(text: str) -> bool:
    first = next(filter(None, map(str.strip, text[:65536].splitlines())), "")
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())[:120]
