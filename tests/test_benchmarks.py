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
    found = {page.name: quotes.wrong(page.read_text(encoding="utf-8"), results) for page in quotes.PAGES}
    assert not any(found.values()), found


def test_figures_of_the_readme_are_all_quoted(quotes):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"## What it shows of itself\n(.*?)\n## ", text, re.DOTALL)[1]
    assert quotes.BLOCK.search(section)
    assert not re.search(r"\d", quotes.unmarked(section))


def test_a_wrong_figure_is_found(quotes, results):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert quotes.wrong(text.replace("300 of 300", "299 of 300", 1), results)
    path = "claims/claims/A clipped run past its limit swings over exactly step x cap/held in"
    assert not quotes.wrong(f"held in 300 of 300<!--= {path} -->", results)
    for wrong in ("30 of 300", "1300 of 300", "300 of 3000"):
        assert quotes.wrong(f"held in {wrong}<!--= {path} -->", results)


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
