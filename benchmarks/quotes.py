"""What documents quote of the results, and whether it is what the results say.

A table stands between two comments, and is written by ``python -m benchmarks --docs``:

    <!-- results: claims/claims -->
    <!-- end of results -->

A figure in a sentence has a comment behind it that says where it is from, group/table/row/column:

    it takes 1.8<!--= scipy/scipy/L-BFGS-B/Auto's gradients over its --> times as many
"""

import re
from pathlib import Path

from bench import Table, shown

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"(<!-- results: (\S+) -->\n)(.*?)(<!-- end of results -->)", re.DOTALL)
FIGURE = re.compile(r"<!--= (.*?) -->")


def rendered(text, groups):
    """The text with its tables as the results have them."""
    return BLOCK.sub(lambda m: f"{m[1]}\n{table(m[2], groups).markdown()}\n\n{m[4]}", text)


def wrong(text, groups):
    """What the text quotes that the results do not say: a list of lines, empty if all is right."""
    found = []
    for m in BLOCK.finditer(text):
        if m[0] != BLOCK.sub(lambda n: rendered(n[0], groups), m[0]):
            found.append(f"the table {m[2]} is not that of the results")
    for m in FIGURE.finditer(text):
        right = figure(m[1], groups)
        # "11.8" does not quote 1.8
        if not re.search(rf"(?<![\d.]){re.escape(right)}$", text[: m.start()]):
            found.append(f"{text[: m.start()].split()[-1]} is quoted, {m[1]} is {right}")
    return found


def unmarked(text):
    """The text without what it quotes: numbers left in it are nobody's."""
    text = BLOCK.sub("", text)
    return re.sub(r"[\d.]+(?: of [\d]+)?%?<!--= .*? -->", "", text)


def table(name, groups):
    """The table of the name group/table."""
    group, _, wanted = name.partition("/")
    return next(Table.from_dict(t) for t in groups[group]["tables"] if t["name"] == wanted)


def figure(path, groups):
    """A cell as text, by group/table/row/column: the row's first cell and the column's title."""
    group, name, row, column = path.split("/")
    found = table(f"{group}/{name}", groups)
    cells = next(r for r in found.rows if str(r[0]) == row)
    return shown(cells[list(found.columns).index(column)])
