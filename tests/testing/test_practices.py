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


def needs(number):
    """The photograph of practice 10 comes with a library of its own."""
    if number == 10:
        pytest.importorskip("skimage")


@pytest.mark.parametrize("number", NUMBERS)
def test_the_solution_is_right_and_the_beginning_is_not(number):
    needs(number)
    each = practice(number)
    verdict = each.check(getattr(SOLUTIONS, each.name))
    assert verdict, verdict
    scope = {}
    exec(each.starter, scope)
    assert not each.check(scope[each.name])


def landweber(step, steps):
    """An answer to practice 10."""

    def answer(seen, forward, adjoint):
        x = seen.copy()
        for _ in range(steps):
            x = x - step * adjoint(forward(x) - seen)
        return x

    return answer


# Number, a usual mistake, and what its reason must name.
MISTAKES = [
    (1, lambda losses: next((k for k, loss in enumerate(losses) if not loss < 10), None), "one spike"),
    (1, lambda losses: next((k for k, loss in enumerate(losses) if math.isnan(loss)), None), "grows by 1.3"),
    (1, lambda losses: not np.isfinite(losses).all(), "return the update"),
    (2, lambda Q, steps: np.linalg.eigvalsh(Q)[-1], "below 1"),
    (2, lambda Q, steps: np.trace(Q), "no estimate is above"),
    (2, lambda Q, steps: np.ones(len(Q)), "should be one number"),
    (2, lambda Q, steps: np.ones(len(Q)) @ np.linalg.matrix_power(Q, steps) @ np.ones(len(Q)), "Rayleigh"),
    (3, lambda Q: 1 / np.linalg.eigvalsh(Q)[-1], "there is room"),  # safe, but not the limit
    (3, lambda Q: 2 / np.linalg.eigvalsh(Q).mean(), "diverges"),
    (4, lambda Q: 1 / np.diag(Q), "1/sqrt"),
    (4, lambda Q: np.linalg.inv(Q), "8 positive numbers"),
    (4, lambda Q: -1 / np.sqrt(np.diag(Q)), "the least is -"),
    (5, lambda a, step, cap: step * cap, "settles"),  # below the limit nothing is clipped in the end
    (5, lambda a, step, cap: 2 * step * cap, "oscillates over 3"),
    (6, lambda rate, momentum: rate, "too small"),
    (6, lambda rate, momentum: rate * (1 + momentum) / (1 - momentum), "too large"),
    (6, lambda rate, momentum: None, "should be one number"),
    (7, lambda lr, batch, to, optimizer: lr * to / batch, "does not grow with the gradient"),
    (7, lambda lr, batch, to, optimizer: lr, "follows the gradient"),
    (8, lambda network: 2.0, "too small"),
    (8, lambda network: 2.4, "too large"),
    (9, lambda eigenvalues, span: (math.ceil(span * -min(eigenvalues) / 2), "explicit"), "implicit"),
    (9, lambda eigenvalues, span: (math.ceil(span * -max(eigenvalues) / 2), "implicit"), "fastest"),
    (9, lambda eigenvalues, span: ("implicit", 1), "return (steps, method)"),
    (10, lambda seen, forward, adjoint: seen, "longer"),
    (10, lambda seen, forward, adjoint: seen.ravel(), "the shape of the picture"),
    (10, landweber(1.5, 3000), "stop sooner"),
    (10, landweber(2.5, 60), "diverges"),
    (11, lambda depth: 1 / depth, "grows 1.0"),
    (11, lambda depth: 1.0, "aim at"),
    (11, lambda depth: depth**-0.25, "1 + h²"),
    (12, lambda trained: 3e-4, "too small"),
    (12, lambda trained: -1.0, "positive"),
    (12, lambda trained: 20.0, "too large"),
    (12, lambda trained: min(np.geomspace(1e-3, 3, 60), key=trained), "60 times"),
]


@pytest.mark.parametrize(("number", "answer", "named"), MISTAKES)
def test_a_usual_mistake_is_told_with_its_reason(number, answer, named):
    needs(number)
    verdict = practice(number).check(answer)
    assert not verdict
    assert named in verdict.reason


def test_an_answer_that_raises_or_is_none():
    assert "raised ZeroDivisionError" in practice(6).check(lambda rate, momentum: 1 / 0).reason
    assert "give the function" in practice(6).check(10.0).reason
    with pytest.raises(InvalidInput, match="1 to 12"):
        practice(13)


def test_the_notebooks_are_those_of_the_table_and_run():
    needs(10)
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
