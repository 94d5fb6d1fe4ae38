"""The pages of races and runs: what was found is on them, whatever was found, and text stays text."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from report.pages import drawings, without_script

from surefoot.problems import Quadratic
from surefoot.records import with_floats
from surefoot.report import _race as race_view
from surefoot.report import _run as run_view
from surefoot.report import write_report
from surefoot.report._write import render
from surefoot.targets import ShapedQuadratic
from surefoot.trials import race, run

HOSTILE = "<script>alert(1)</script>\"><img src=x onerror='x'> & $\\frac{$ {{ 7*7 }} \N{PILE OF POO}"


@pytest.fixture(scope="module")
def raced():
    rules = ["auto", "constant:2.2/L", "heavy-ball"]
    return with_floats(race(ShapedQuadratic(100, "log", 20), rules, steps=120).to_dict())


@pytest.fixture(scope="module")
def searched():
    return with_floats(run(ShapedQuadratic(100, "log", 20), "armijo", steps=80).to_dict())


def text(html):
    html = re.sub(r"<(style|svg).*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_a_race_on_a_page(raced):
    html = render(raced)
    assert len(drawings(html)) == 1
    for said in (raced["finding"], "heavy-ball", "L-BFGS-B", "diverged", "the gradient vanishes at 0; proved"):
        assert said in text(html)
    (figure,) = drawings(html)
    ElementTree.fromstring(figure)
    assert figure.count("var(--c1)") >= 2
    assert ">gradients</text>" in figure
    assert ">seconds</text>" in figure


def test_a_run_on_a_page(searched):
    html = render(searched)
    assert len(drawings(html)) == 4
    for drawing in drawings(html):
        ElementTree.fromstring(drawing)
    assert "taken back" in text(html)
    assert "too little decrease" in text(html)
    assert "limit 0.02" in drawings(html)[2]
    assert "stable below 0.02 (2/L, L &lt;= 100)" in text(html)


def test_several_share_a_page(raced, searched):
    assert len(drawings(render({"kind": "races", "races": [raced, raced]}))) == 2
    assert len(drawings(render({"kind": "runs", "runs": [searched, searched]}))) == 8


def test_the_verdict_has_its_colour(searched):
    assert '<strong class="bad">Diverged.' in render(
        run(ShapedQuadratic(100, "log", 20), "constant:2.2/L", steps=80).to_dict()
    )
    assert '<strong class="good">Good.' in render(run(ShapedQuadratic(2, "log", 20), "auto", steps=80).to_dict())


def test_hostile_names_are_text(raced, searched):
    hostile_race = raced | {"problem": HOSTILE, "finding": HOSTILE}
    hostile_race["entries"] = [entry | {"name": HOSTILE, "evidence": HOSTILE} for entry in raced["entries"]]
    hostile_run = searched | {"problem": HOSTILE, "rule": HOSTILE, "findings": [HOSTILE], "limit_is": HOSTILE}
    for record in (hostile_race, hostile_run):
        html = render(record)
        assert "<script" not in without_script(html)
        assert "<img" not in html
        for drawing in drawings(html):
            ElementTree.fromstring(drawing)


def test_nothing_is_fetched(raced, searched):
    for record in (raced, searched):
        html = without_script(render(record))
        assert "http" not in html
        assert not re.search(r"\bsrc=|@import", html)


def test_the_same_record_gives_the_same_file(raced, searched, tmp_path):
    for record in (raced, searched):
        first, second = (write_report(record, tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
        assert first == second


@pytest.mark.parametrize(
    ("rule", "steps"),
    [("constant:1e300", 5), ("constant:1e-300", 5), ("constant:1e3", 2000), ("auto", 1), ("armijo", 3000)],
)
def test_any_run_can_be_drawn(rule, steps):
    record = run(ShapedQuadratic(100, "log", 20), rule, steps=steps).to_dict()
    for drawing in drawings(render(record)):
        ElementTree.fromstring(drawing)


@pytest.mark.parametrize("loss", [[1.0, -1.0, 0.0], [1e300, math.nan, 1e-300], [0.0, 0.0, 0.0], [5.0, 5.0, 5.0]])
def test_any_losses_can_be_drawn(searched, loss):
    trace = {key: value[:3] for key, value in searched["descent"]["trace"].items()} | {"loss": loss}
    record = searched | {"descent": searched["descent"] | {"trace": trace}}
    ElementTree.fromstring(run_view.losses(record))


def test_any_race_can_be_drawn(raced):
    entry = raced["entries"][0]
    odd = [
        entry | {"gradients": 2, "gap": [math.nan, math.nan], "seconds": [0.0, 0.0], "final": math.nan},
        entry | {"gradients": 2, "gap": [1.0, 0.0], "seconds": [0.0, 1e-9]},
        *[entry | {"name": f"rule {i}"} for i in range(12)],
    ]
    ElementTree.fromstring(race_view.gap_curves(raced | {"entries": odd}))
    assert "not finite" in text(render(raced | {"entries": odd}))


def test_a_run_without_a_limit_has_none_marked():
    record = run(Quadratic(np.diag([1.0, 4.0]), [1.0, 1.0]), "fista", steps=30).to_dict()
    assert record["limit"] is None
    assert "limit" not in drawings(render(record))[2]
    assert not math.isnan(record["seconds"])
