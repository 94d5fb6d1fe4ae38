"""Write the practices as notebooks: docs/practices/practice_01.ipynb and so on, and their page.

python tools/make_practices.py
"""

import json
from pathlib import Path

from surefoot.testing import practices

FOLDER = Path(__file__).parents[1] / "docs" / "practices"
FORMAT = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"language_info": {"name": "python"}}}


def notebook(each):
    """One practice: the task, a cell to fill, a cell that checks."""
    text = f"# {each.number}. {each.title}\n\n{each.task}\n\nTo read first: `docs/{each.page}`."
    check = f"from surefoot.testing import practice\n\nprint(practice({each.number}).check({each.name}))"
    cells = [("markdown", text), ("code", f"import numpy as np\n\n\n{each.starter}"), ("code", check)]
    return {**FORMAT, "cells": [cell(kind, source, f"cell-{i}") for i, (kind, source) in enumerate(cells)]}


def cell(kind, source, name):
    """A cell in the notebook format."""
    extra = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "id": name, "metadata": {}, "source": source.splitlines(keepends=True), **extra}


def file_of(each):
    """Where the notebook of a practice is."""
    return FOLDER / f"practice_{each.number:02d}.ipynb"


def text_of(each):
    """The file's text."""
    return json.dumps(notebook(each), indent=1, ensure_ascii=False) + "\n"


def main():
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    for each in practices():
        file_of(each).write_text(text_of(each), encoding="utf-8")


if __name__ == "__main__":
    main()
