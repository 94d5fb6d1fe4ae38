"""Results as tables: rows for a file, aligned columns for print, and which of many rows to show."""

import csv
import os
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from surefoot.checks import as_path
from surefoot.records import Record

# Letters of a name in a message: columns of hostile files have thousands. By convention.
LONGEST = 60
# For users; the functions below serve the other rooms.
__all__ = ["Table"]


class Table(Record):
    """A result that is a table as well; a mixin for frozen dataclasses.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from surefoot.dynamics import diagram
    >>> found = diagram(lambda x, r: r * x * (1 - x), [2.5, 3.2], 0.3, keep=2)  # a `Table`
    >>> with TemporaryDirectory() as folder:
    ...     found.to_csv(Path(folder) / "orbits.csv").read_text().splitlines()[0]
    'parameter,period,exponent,point_0,point_1'
    """

    __slots__ = ()

    @abstractmethod
    def rows(self) -> Iterable[Sequence[Any]]:
        """The rows, the heading first."""

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write `rows` to a file.

        Returns
        -------
        Path
        """
        return write_csv(self.rows(), path)


def write_csv(rows: Iterable[Sequence[Any]], path: str | os.PathLike[str]) -> Path:
    """Write rows with commas between their cells."""
    target = as_path(path)
    with target.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return target


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose columns are as wide as they have to be."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def spread(length: int, most: int, *, powers: bool = False) -> list[int]:
    """Indices of at most `most` of `length` rows, the first and the last among them.

    Evenly spread, or with `powers` evenly over the powers of ten.
    """
    if length <= most:
        return list(range(length))
    parts = [i / (most - 1) for i in range(most)]
    return sorted({round(length**part) - 1 if powers else round(part * (length - 1)) for part in parts})


def abridge(names: Sequence[str], most: int = 4) -> str:
    """The first names with commas between them, and dots for the others and in those that are very long."""
    shown = [name if len(name) <= LONGEST else f"{name[:LONGEST]}..." for name in names[:most]]
    return ", ".join([*shown, "..."] if len(names) > most else shown)
