"""README and docs quote the results of the benchmarks, and nothing that is not there."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def quotes(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import quotes

    yield quotes
    for name in ("quotes", "bench"):
        sys.modules.pop(name, None)


@pytest.fixture
def results():
    return json.loads((BENCHMARKS / "results.json").read_text(encoding="utf-8"))


def test_what_documents_quote_is_what_the_results_say(quotes, results):
    found = {page.name: quotes.mismatches(page.read_text(encoding="utf-8"), results) for page in quotes.PAGES}
    assert not any(found.values()), found


# Where every figure is one of the results': the page, and its sections, None for all of it up to its first example.
MEASURED = {
    "README.md": ("Evidence",),
    "docs/measured.md": None,
    "docs/guard.md": ("What it costs, measured", "Started too fast", "Where nothing is wrong"),
    "docs/pilot.md": ("How good it is",),
    "docs/curvature.md": ("What accuracy costs",),
    "docs/range-test.md": ("How good it is",),
    "docs/residual.md": ("What scaling brings",),
}


def measured(page, text):
    if MEASURED[page] is None:
        return [text.split("```")[0]]
    return [re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)[1] for name in MEASURED[page]]


@pytest.mark.parametrize("page", MEASURED)
def test_where_figures_are_shown_each_is_one_of_the_results(quotes, page):
    for section in measured(page, (ROOT / page).read_text(encoding="utf-8")):
        assert quotes.BLOCK.search(section) or quotes.FIGURE.search(section)
        left = quotes.without_figures(section)
        assert not re.search(r"\d", left), re.findall(r".*\d.*", left)


@pytest.mark.parametrize("page", MEASURED)
def test_a_figure_that_is_changed_is_found(quotes, results, page):
    """A nine before the first digit of each table and of each figure, one at a time."""
    text = (ROOT / page).read_text(encoding="utf-8")
    places = [m.start(3) + re.search(r"\d", m[3]).start() for m in quotes.BLOCK.finditer(text) if m[3]]
    places += [m.start() for m in quotes.FIGURE.finditer(text) if m[1]]
    for at in places:
        assert len(quotes.mismatches(f"{text[:at]}9{text[at:]}", results)) == 1, text[at : at + 80]


def test_what_is_not_in_the_results_is_shown_by_an_empty_place(quotes, results):
    empty = "<!-- results: claims/none -->\n<!-- end of results -->\n<!--= claims/claims/none/held in --> runs"
    assert not quotes.mismatches(empty, results)
    assert quotes.render(empty, results) == empty
    for filled in (empty.replace("-->\n<", "-->\n1\n<"), empty.replace("\n<!--=", "\n3<!--=")):
        assert quotes.mismatches(filled, results)


def test_a_wrong_figure_is_found(quotes, results):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert quotes.mismatches(text.replace("300 of 300", "299 of 300", 1), results)
    path = "claims/claims/A clipped run past its limit swings over exactly step x cap/held in"
    assert not quotes.mismatches(f"held in 300 of 300<!--= {path} -->", results)
    for wrong in ("30 of 300", "1300 of 300", "300 of 3000"):
        assert quotes.mismatches(f"held in {wrong}<!--= {path} -->", results)


def test_the_results_are_those_of_groups_that_are_there(results, quotes):
    import bench

    assert bench.markdown(results) == (BENCHMARKS / "results.md").read_text(encoding="utf-8")
    main = (BENCHMARKS / "__main__.py").read_text(encoding="utf-8")
    functions = dict(re.findall(r'"(\w+):(\w+)"', main))
    assert functions
    for module, function in re.findall(r'"(\w+):(\w+)"', main):
        tree = ast.parse((BENCHMARKS / f"{module}.py").read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert all(f'"{name}": Group(' in main for name in results)
