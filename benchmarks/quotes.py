"""What documents quote of the results, and whether it is what the results say.

A table stands between two comments, and is written by ``python -m benchmarks --docs``:

    <!-- results: claims/claims -->
    <!-- end of results -->

A figure in a sentence has a comment behind it that says where it is from, group/table/row/column:

    it takes 1.8<!--= scipy/scipy/L-BFGS-B/Auto's gradients over its --> times as many

Both are written anew by ``python -m benchmarks --docs``, and are empty as long as the results do not have them.
"""

import re
from pathlib import Path

from bench import Table, as_text

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"(<!-- results: (\S+) -->\n)(.*?)(<!-- end of results -->)", re.DOTALL)
# A number, a share, or nothing yet, and where it is from.
FIGURE = re.compile(r"((?:[+-]?\d[\d.]*(?:e[+-]\d+)?(?: of \d+(?: [a-z]+)?)?%?)?)(<!--= (.*?) -->)")


def render(text, groups):
    """The text with its tables and figures as the results have them; what is not in the results is left empty."""

    def between(m):
        found = table(m[2], groups)
        return f"{m[1]}\n{found.markdown()}\n\n{m[4]}" if found else m[1] + m[4]

    return FIGURE.sub(lambda m: figure(m[3], groups) + m[2], BLOCK.sub(between, text))


def mismatches(text, groups):
    """What the text quotes that the results do not say: a list of lines, empty if all is right."""
    tables = [m for m in BLOCK.finditer(text) if m[0] != render(m[0], groups)]
    figures = [m for m in FIGURE.finditer(text) if m[1] != figure(m[3], groups)]
    return [
        *(f"the table {m[2]} is not that of the results" for m in tables),
        *(f"{m[1]} is quoted, {m[3]} is {figure(m[3], groups) or 'not in the results'}" for m in figures),
    ]


def without_figures(text):
    """The text without what it quotes, code and the targets of links: numbers left in it are nobody's."""
    text = BLOCK.sub("", text)
    return re.sub(r"`[^`]*`|\]\([^)]*\)", "", FIGURE.sub("", text))


def table(name, groups):
    """The table of the name group/table, None if there is no such result."""
    group, _, wanted = name.partition("/")
    tables = groups.get(group, {"tables": ()})["tables"]
    return next((Table.from_dict(t) for t in tables if t["name"] == wanted), None)


def figure(path, groups):
    """A cell as text, by group/table/row/column: the row's first cell, or its first two, and the column's title.

    Empty if there is no such cell, or more than one.
    """
    group, name, row, column = path.split("/")
    found = table(f"{group}/{name}", groups)
    rows = [cells for cells in found.rows if row in (str(cells[0]), f"{cells[0]}, {cells[1]}")] if found else []
    if len(rows) != 1 or column not in found.columns:
        return ""
    return as_text(rows[0][list(found.columns).index(column)])
