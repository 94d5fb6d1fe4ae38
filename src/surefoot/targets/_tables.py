"""Comma-separated tables: rows of cells that remember where they stood in the file."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surefoot.errors import InvalidInput
from surefoot.operators import Array

# The first of equally frequent ones is taken: a comma, unless the first line has more of another.
DELIMITERS = ",;\t"
# By convention: as cells, text takes ten to twenty times as much memory as in a file.
MOST_BYTES = 128 * 2**20
# Columns, and characters of a cell, that fit in a line of a message.
NAMES_SHOWN, CELL_SHOWN = 8, 40


@dataclass(frozen=True, slots=True)
class Table:
    """A rectangle of cells.

    Parameters
    ----------
    names : tuple of str, or None
        The header, if there is one.
    rows : list of lists of str
        All of one length, stripped of blanks.
    lines : list of int
        Where each row stands in the file, from 1.
    """

    names: tuple[str, ...] | None
    rows: list[list[str]]
    lines: list[int]

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.rows[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (without the header) and columns."""
        return len(self.rows), self.width

    def numbers(self, columns: Sequence[int]) -> Array:
        """Some columns as finite float64 numbers, shape (rows, len(columns)).

        Raises
        ------
        InvalidInput
            If a cell is not a finite number; the message says which is the first.
        """
        cells = [[row[column] for column in columns] for row in self.rows]
        try:
            values = np.array(cells, dtype=np.float64)
        except ValueError:
            values = np.array([[number(cell) for cell in row] for row in cells])
        bad = np.argwhere(~np.isfinite(values))
        if bad.size:
            row, column = (int(i) for i in bad[0])
            raise InvalidInput(
                f"line {self.lines[row]}, {self.column_name(columns[column])}: "
                f"{_show(cells[row][column])} where a finite number is needed ({len(bad)} such cells); "
                "drop or impute them, or name the label column with --label"
            )
        return values

    def labels(self, column: int) -> Array:
        """One column, shape (rows,): numbers if all cells are, else text.

        Raises
        ------
        InvalidInput
            If a cell is empty.
        """
        cells = [row[column] for row in self.rows]
        if "" in cells:
            raise InvalidInput(
                f"line {self.lines[cells.index('')]}, {self.column_name(column)}: the label is empty; drop that row"
            )
        values = np.array([number(cell) for cell in cells])
        return np.array(cells) if np.isnan(values).any() else values

    def column_name(self, column: int) -> str:
        """What to call a column in a message."""
        return f"column {column}" if self.names is None else f"column {column} ({self.names[column][:CELL_SHOWN]!r})"


def read_table(path: Path) -> Table:
    """Read a table in UTF-8, its cells separated by commas, semicolons or tabs.

    The separator is the most frequent one of the first line.
    The first row is a header if some column has no number there and a number below.

    Raises
    ------
    InvalidInput
        If it is no text, has no rows of data, or rows of different lengths.
    """
    if path.stat().st_size > MOST_BYTES:
        raise InvalidInput(
            f"{path} holds {path.stat().st_size >> 20} MB, and at most {MOST_BYTES >> 20} MB of text are read; save "
            "it as .npy"
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next((line for line in file if not line.startswith("#")), "")
            file.seek(0)
            delimiter = max(DELIMITERS, key=first.count)
            reader = csv.reader(file, delimiter=delimiter)
            numbered = [
                ([cell.strip() for cell in row], reader.line_num)
                for row in reader
                if any(map(str.strip, row)) and not row[0].startswith("#")
            ]
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    if not numbered:
        raise InvalidInput(f"{path}: holds blank lines only")
    rows = [row for row, _ in numbered]
    lines = [line for _, line in numbered]
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(rows[0]):
            raise InvalidInput(f"{path}: line {line} has {len(row)} cells where line {lines[0]} has {len(rows[0])}")
    if not _has_header(rows):
        return Table(None, rows, lines)
    if rows[0][0] == "" and [row[0] for row in rows[1:]] == [str(i) for i in range(len(rows) - 1)]:
        rows = [row[1:] for row in rows]  # the index that pandas writes beside the columns
    if len(rows) == 1:
        raise InvalidInput(f"{path}: holds a header and no rows of data")
    return Table(tuple(rows[0]), rows[1:], lines[1:])


def column_index(label: str | None, width: int, names: Sequence[str] | None = None) -> int:
    """The column that a label names: a header's name first, then an index; the last by default.

    Raises
    ------
    InvalidInput
        If there is no such column.
    """
    if label is None:
        return width - 1
    if names is not None and label in names:
        if names.count(label) > 1:
            raise InvalidInput(f"--label {label}: the header has {names.count(label)} such columns; give the index")
        return names.index(label)
    try:
        index = int(label)
    except ValueError:
        has = "there is no header" if names is None else f"the header has {_list_names(names)}"
        raise InvalidInput(f"--label {label}: no such column; {has}; give a name or an index from 0") from None
    if not -width <= index < width:
        raise InvalidInput(f"--label {label}: no such column; there are {width}, counted from 0")
    return index % width


def number(cell: str) -> float:
    """The number in a cell; NaN if there is none."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _has_header(rows: list[list[str]]) -> bool:
    absent = [_is_text(cell) for cell in rows[0]]
    if len(rows) == 1:
        return all(absent)
    return any(above and not _is_text(below) for above, below in zip(absent, rows[1], strict=True))


def _is_text(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return True
    return False


def _show(cell: str) -> str:
    shown = cell if len(cell) <= CELL_SHOWN else f"{cell[:CELL_SHOWN]}..."
    return repr(shown) if cell else "an empty cell"


def _list_names(names: Sequence[str]) -> str:
    more = f", ... ({len(names)} columns)" if len(names) > NAMES_SHOWN else ""
    return ", ".join(name[:CELL_SHOWN] for name in names[:NAMES_SHOWN]) + more
