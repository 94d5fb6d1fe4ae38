"""Text at the width of a terminal: prose is wrapped at its words, a table that is too wide becomes a block per row."""

import re
import textwrap
from collections.abc import Iterator, Sequence

# Columns of a table stand at least two spaces apart; words of prose one.
GAP = re.compile(r"\s{2,}")
# Narrower than this even a label and a number do not fit beside each other.
NARROWEST = 20


def fit(text: str, width: int | None) -> str:
    r"""The text in lines of at most `width` characters, as far as its longest words allow.

    Parameters
    ----------
    text : str
        Lines; tables with their columns aligned, two spaces or more apart, the heading first.
    width : int or None
        None leaves everything as it is.

    Returns
    -------
    str

    Examples
    --------
    >>> from surefoot.cli._fit import fit
    >>> print(fit("  rate   loss    verdict\n  0.001  2.3025  too small\n  0.1    0.2841  good", 24))
      0.001
        loss: 2.3025
        verdict: too small
      0.1
        loss: 0.2841
        verdict: good
    """
    if width is None:
        return text
    width = max(width, NARROWEST)
    return "\n".join(line for run in _runs(text.splitlines()) for line in _fit(run, width))


def _runs(lines: Sequence[str]) -> Iterator[list[str]]:
    """Lines in runs: those that have several columns together, all others by themselves."""
    run: list[str] = []
    for line in lines:
        if len(GAP.split(line.strip())) > 1:
            run.append(line)
            continue
        if run:
            yield run
            run = []
        yield [line]
    if run:
        yield run


def _fit(run: Sequence[str], width: int) -> list[str]:
    if all(len(line) <= width for line in run):
        return list(run)
    columns = _columns(run)
    if len(run) > 1 and len(columns) > 1 and _is_heading(run[0], columns):
        return _blocks(run, columns, width)
    return [short for line in run for short in _wrap(line, width)]


def _columns(run: Sequence[str]) -> list[tuple[int, int]]:
    """Where columns begin and end: they are parted by two characters or more that are blank in every line."""
    length = max(map(len, run))
    used = [any(i < len(line) and line[i] != " " for line in run) for i in range(length)]
    spans: list[tuple[int, int]] = []
    for i in range(length):
        if not used[i]:
            continue
        if spans and i - spans[-1][1] < 2:
            spans[-1] = spans[-1][0], i + 1
        else:
            spans.append((i, i + 1))
    return spans


def _is_heading(line: str, columns: Sequence[tuple[int, int]]) -> bool:
    """Whether the cells name columns: names and their values stand beside each other too, without a heading."""
    return not any(re.match(r"[-+\[]?\d", line[start:end].strip()) for start, end in columns[1:])


def _blocks(run: Sequence[str], columns: Sequence[tuple[int, int]], width: int) -> list[str]:
    """A block per row: what it is of, and under it a line for each column."""
    indent = " " * columns[0][0]
    heads, *rows = ([line[start:end].strip() for start, end in columns] for line in run)
    lines: list[str] = []
    for name, *cells in rows:
        lines += _wrap(indent + (name or heads[0]), width)
        for head, cell in zip(heads[1:], cells, strict=True):
            if cell:
                lines += _wrap(f"{indent}  {head}: {cell}" if head else f"{indent}  {cell}", width)
    return lines


def _wrap(line: str, width: int) -> list[str]:
    """A line broken at its spaces, what follows set in further; a word that is longer than a line stays whole."""
    if len(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    # a range such as 9.61e-06 .. 9.61e-05 is read as one thing
    bound = re.sub(r" (\.\.|\+-|->) ", lambda m: f"\N{NO-BREAK SPACE}{m[1]}\N{NO-BREAK SPACE}", line.strip())
    if len(indent) + len(bound.split(" ")[0]) > width:
        bound = line.strip()
    lines = textwrap.wrap(
        bound,
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [short.replace("\N{NO-BREAK SPACE}", " ") for short in lines]
