"""The practices: solutions are right, beginnings and usual mistakes are not, notebooks are what the table says."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest

from surefoot.errors import InvalidInput
from surefoot.testing import practice, practices

ROOT = Path(__file__).parents[2]


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


SOLUTIONS = module(ROOT / "examples" / "solutions" / "practices.py")
NUMBERS = range(1, 13)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_solution_is_right_and_the_beginning_is_not(number):
    each = practice(number)
    verdict = each.check(getattr(SOLUTIONS, each.name))
    assert verdict, verdict
    scope = {}
    exec(each.starter, scope)
    assert not each.check(scope[each.name])


MISTAKES = {
    1: lambda losses: next((k for k, loss in enumerate(losses) if not loss < 10), None),  # a spike is no divergence
    2: lambda Q, steps: np.trace(Q),
    3: lambda Q: 1 / np.linalg.eigvalsh(Q)[-1],  # safe, but not the limit
    4: lambda Q: 1 / np.diag(Q),
    5: lambda a, step, cap: step * cap,  # below the limit it settles
    6: lambda rate, momentum: rate,
    7: lambda lr, batch, to, optimizer: lr * to / batch,
    8: lambda network: 2.0,
    9: lambda eigenvalues, span: (math.ceil(span * -min(eigenvalues) / 2), "explicit"),
    10: lambda seen, forward, adjoint: seen,
    11: lambda depth: 1 / depth,
    12: lambda trained: 3e-4,
}


@pytest.mark.parametrize("number", NUMBERS)
def test_a_usual_mistake_is_told(number):
    verdict = practice(number).check(MISTAKES[number])
    assert not verdict
    assert len(verdict.reason) > 20


def test_an_answer_that_raises_or_is_none():
    assert "raised ZeroDivisionError" in practice(6).check(lambda rate, momentum: 1 / 0).reason
    assert "give the function" in practice(6).check(10.0).reason
    with pytest.raises(InvalidInput, match="1 to 12"):
        practice(13)


def test_the_notebooks_are_those_of_the_table_and_run():
    maker = module(ROOT / "tools" / "make_practices.py")
    for each in practices():
        path = maker.file_of(each)
        assert path.read_text(encoding="utf-8") == maker.text_of(each)
        scope = {}
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"][1:]:
            exec("".join(cell["source"]), scope)
    assert {each.number for each in practices()} == set(NUMBERS)


def test_each_page_to_read_exists():
    assert all((ROOT / "docs" / each.page).is_file() for each in practices())
