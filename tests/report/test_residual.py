"""The residual part of an advice's report: figure, tables, and names that are text."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from surefoot.advice import Advice
from surefoot.records import encode
from surefoot.report._residual import section
from surefoot.report._write import render
from surefoot.report.figures import residual_figure

torch = pytest.importorskip("torch")
training = pytest.importorskip("surefoot.training")


@pytest.fixture(scope="module")
def found():
    class Block(torch.nn.Linear):
        def forward(self, x):
            return x + torch.relu(super().forward(x))

    torch.manual_seed(0)
    return training.residual_stability(torch.nn.Sequential(*[Block(6, 6) for _ in range(5)]), torch.ones(2, 6))


def page(found):
    return render(Advice(target="net", description={}, recommendations=(), details=(found,)).to_dict())


def test_the_figure_is_drawn_from_the_record(found):
    svg = residual_figure(found.to_dict())
    ElementTree.fromstring(svg)
    for label in ("as it is, h = 1", "1/sqrt(L), h = 0.447", "1/L, h = 0.2", "bounded"):
        assert label in svg
    assert svg == residual_figure(found.to_dict())


def test_the_tables_hold_what_was_measured(found):
    scalings, blocks = section(found.to_dict()).tables
    assert [row[0] for row in scalings.rows] == ["as it is", "1/sqrt(L)", "1/L", "bounded"]
    assert scalings.rows[0][2] == f"{found.scalings[0].forward[-1]:.4g}"
    assert [row[0] for row in blocks.rows] == ["0", "1", "2", "3", "4"]
    assert all(len(row) == len(table.heads) for table in (scalings, blocks) for row in table.rows)


def test_the_page_shows_it_though_there_is_no_step(found):
    text = page(found)
    assert "Residual blocks as Euler steps" in text
    assert "‖I + J‖" in text
    assert found.meaning.split(":")[0] in text


def test_hostile_names_are_text(found):
    block = replace(found.blocks[0], name="<script>alert(1)</script>")
    text = page(replace(found, blocks=(block, *found.blocks[1:]), note="<b>note</b>"))
    assert not re.search(r"<script>alert|<b>note", text)
    assert "&lt;script&gt;" in text


def test_what_is_infinite_or_missing_can_be_drawn(found):
    first = found.scalings[0]
    endless = replace(first, forward=(1.0, *(float("inf"),) * 5), worst=None, bound=float("inf"))
    untried = replace(found.scalings[1], forward=(), backward=(), worst=None)
    text = page(replace(found, scalings=(endless, untried)))
    assert "∞" in text


def test_advice_prints_it_and_asks_the_target_for_it(found):
    from surefoot.advice import advise
    from surefoot.targets import ProblemTarget, ShapedQuadratic

    class Residual(ProblemTarget):
        def details(self):
            return (found,)

    advice = advise(Residual(ShapedQuadratic(condition=4, size=3)))
    assert advice.details == (found,)
    assert str(advice).endswith(str(found))
    assert advice.to_dict()["details"] == [encode(found)]
    assert Advice.from_dict(advice.to_dict()).details[0].to_dict() == found.to_dict()
