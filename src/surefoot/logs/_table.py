"""Tables with a header: commas, semicolons, tabs or blanks between the cells; a decimal comma where cells allow it."""

import csv
import re
from collections.abc import Generator, Iterable

from surefoot.errors import InvalidInput
from surefoot.logs._source import Lines, too_many

# The rarest in prose first: of equally many the first one is taken.
DELIMITERS = "\t;|,"
# A number as it is written in much of Europe.
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+(?:[eE][-+]?\d+)?")
# What TensorBoard's page calls the columns of a scalar that it lets one download; the tag is in the file's name.
DOWNLOADED = {"Wall time", "Step", "Value"}
# wandb's export has the extremes of each bin beside its mean.
EXTREMES = ("__MIN", "__MAX")


def read_table(lines: Lines, delimiter: str | None = None) -> tuple[list[dict[str, str]], list[str]]:
    """The rows of a table, empty cells left out, and what was odd about it.

    Parameters
    ----------
    lines : Lines
    delimiter : str, optional
        Default: the one that is most frequent in the header; blanks if there is none.

    Raises
    ------
    InvalidInput
        If the first line does not name the columns, or a line is no row.
    """
    numbered = _skip_comments(lines)
    head = next(numbered, None)
    if head is None:
        raise InvalidInput(f"{lines.path} holds no rows; give the log of a run that logged something")
    if delimiter is None:
        most = max(DELIMITERS, key=head[1].count)
        delimiter = most if most in head[1] else None
    names = _split(lines, head, delimiter)
    if not any(names) or all(is_number(name) for name in names if name):
        raise InvalidInput(f"{lines.path}: the first line must name the columns, such as step,lr; got {head[1][:60]!r}")
    # a file of one scalar: its name is where the tag went
    if set(names) == DOWNLOADED:
        tag = lines.path.stem.rpartition("tag-")[2]
        names = [tag if name == "Value" else name for name in names]
    rows: list[dict[str, str]] = []
    again, longer = 0, 0
    for line in numbered:
        cells = _split(lines, line, delimiter)
        # loggers that append write their header again when the run is started again
        if cells == names:
            again += 1
            continue
        longer += len(cells) > len(names)
        # a column without a name is pandas' index
        row = {
            name: _with_decimal_point(cell, delimiter)
            for name, cell in zip(names, cells, strict=False)
            if cell and name and not name.endswith(EXTREMES)
        }
        if row:
            rows.append(row)
        too_many(lines.path, len(rows))
    notes = [f"the header stands {again} more times in it: of runs that were started again"] if again else []
    if longer:
        notes.append(f"{longer} rows have more cells than the header names: what is beyond it is left out")
    return rows, notes


def is_number(text: str) -> bool:
    """Whether float() takes it."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _skip_comments(lines: Iterable[str]) -> Generator[tuple[int, str]]:
    """Lines with their numbers, without comments; a comment above numbers alone is the header (numpy.savetxt)."""
    comment, begun = None, False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if line.lstrip().startswith("#"):
            comment = (number, line.lstrip(" #"))
            continue
        if not begun and comment is not None and all(map(is_number, re.split(r"[\s,;|]+", line.strip()))):
            yield comment
        begun = True
        yield number, line


def _split(lines: Lines, line: tuple[int, str], delimiter: str | None) -> list[str]:
    number, text = line
    # aligned by blanks, as a printed DataFrame or numpy.savetxt's
    if delimiter is None:
        return text.split()
    try:
        # skipinitialspace: YOLO pads its cells
        (cells,) = csv.reader([text], delimiter=delimiter, skipinitialspace=True)
    except (csv.Error, ValueError) as error:
        raise InvalidInput(f"{lines.path}, line {number}: no row of a table ({error}); look at that line") from error
    return [cell.strip() for cell in cells]


def _with_decimal_point(cell: str, delimiter: str | None) -> str:
    return cell.replace(",", ".") if delimiter != "," and DECIMAL_COMMA.fullmatch(cell) else cell
