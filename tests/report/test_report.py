"""The report says what the record says, whole, safe to open, and needs nothing from outside."""

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from report.pages import drawings, without_script

import surefoot as sf
from surefoot.errors import InvalidInput, MissingExtra
from surefoot.report import Cell, Listing, Section, Table, _write, write_page, write_report
from surefoot.report import Page as Sections
from surefoot.report import _advice_figures as figures
from surefoot.report._numbers import number, rate
from surefoot.report._write import render

HOSTILE = "<script>alert(1)</script>\"><img src=x onerror='x'> & $\\frac{$ {{ 7*7 }} \N{PILE OF POO}"


class Page(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.attributes, self.stack = [], "", [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def test_what_was_found_is_on_the_page(html):
    page = Page(html)
    text = " ".join(page.text.split())
    for said in (
        "a small network",
        "SGD",
        "0.25",
        "0.125 to 0.25",
        "0.5",
        "2/2 agree",
        "short runs do best at 0.25",
    ):
        assert said in text
    assert "no step is stable: negative curvature -0.25" in text
    assert "set up as PyTorch does" in text
    assert "1,234 curvature products, 5 short runs, 0.5 s" in text
    assert "not finite" in text
    assert "exact or proved" in text


def test_findings_come_before_details(html):
    text = Page(html).text
    assert text.index("short runs do best") < text.index("How sharp is the problem?") < text.index("How far to trust")


def test_there_are_four_figures_and_an_overview(html):
    assert len(drawings(html)) == 5
    assert html.count("<h3>") == 4
    for drawing in drawings(html):
        assert ElementTree.fromstring(drawing).tag == "svg"
        assert "var(--" in drawing


def test_a_run_that_was_not_finite_is_marked(html, record, recommendation):
    assert "off the scale" in html
    finite = tuple(t for t in recommendation().trials if t.ending != "diverged")
    assert "off the scale" not in render(record(recommendation(trials=finite)))


def test_a_contradicted_claim_stands_out(html, record, recommendation):
    good = recommendation()
    bad = replace(good, verification=(replace(good.verification[0], observed="diverges"), good.verification[1]))
    contradicted = render(record(bad))
    assert 'class="number bad">1/2 agree' in contradicted
    assert "contradicts" in contradicted
    assert 'class="number bad">' not in html


def test_nothing_is_fetched_and_nothing_runs(html):
    html = without_script(html)
    page = Page(html)
    assert "http" not in html
    assert "@import" not in html
    assert not {"script", "link", "iframe", "img", "object", "base"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "src"]
    assert all(value.startswith("#") for name, value in page.attributes if name in ("href", "xlink:href"))
    assert all(inner.startswith("#") for inner in re.findall(r"url\(([^)]*)\)", html))


def test_every_reference_has_its_target(record, recommendation):
    html = without_script(render(record(recommendation(), recommendation(label="AdamW"))))
    ids = set(re.findall(r'\bid="([^"]*)"', html))
    assert set(re.findall(r'href="#([^"]*)"', html)) <= ids
    assert set(re.findall(r"url\(#([^)]*)\)", html)) <= ids


def test_hostile_names_are_text(record, recommendation):
    hostile = recommendation(label=HOSTILE, note=HOSTILE, finding=HOSTILE)
    page = Page(without_script(render(record(hostile, target=HOSTILE, description={HOSTILE: HOSTILE}))))
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert page.text.count("alert(1)") >= 7
    assert "{{ 7*7 }}" in page.text
    for drawing in drawings(render(record(hostile))):
        ElementTree.fromstring(drawing)


def test_the_same_record_gives_the_same_file(record, tmp_path):
    first, second = (write_report(record(), tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second


def test_several_advices_share_a_page(record):
    raw, scaled = record(target="data, raw: 5 x 2"), record(target="data, scaled: 5 x 2")
    html = render({"kind": "advices", "advices": [raw, scaled]})
    text = Page(html).text
    assert len(drawings(html)) == 9
    assert "data, raw: SGD" in text
    assert "data, scaled: SGD" in text


def test_an_abstention_gives_its_reason(small):
    html = render(small)
    assert "No advice." in html
    assert "the loss is flat" in html
    assert drawings(html) == []


def test_a_figure_without_data_is_left_out(record, recommendation):
    bare = recommendation(verification=(), trials=(), amplification=(), usable=None, suggested=None, ritz=())
    assert len(drawings(render(record(bare)))) == 1


@pytest.mark.parametrize(
    "matrix",
    [np.zeros((2, 2)), -np.eye(3), np.diag([1e-9, 1e9]), [[5.0]], [[0.0, 1.0], [-1.0, 0.0]], np.eye(700)],
    ids=["flat", "negative", "wide", "one", "rotation", "many"],
)
def test_any_spectrum_can_be_drawn(record, recommendation, matrix):
    symmetric = np.array_equal(matrix, np.transpose(matrix))
    terrain = sf.spectrum(matrix, kind=None if symmetric else "jacobian")
    (made,) = record(recommendation(spectrum=terrain, limits=sf.limits(terrain), ritz=()))["recommendations"]
    for figure in (figures.spectrum, figures.amplification):
        ElementTree.fromstring(figure(made))


def test_an_end_that_is_not_known_is_infinite(record, recommendation):
    terrain = replace(recommendation().spectrum, smallest=sf.Bounds(-np.inf, 1.0, "proved", "proved"), points=None)
    assert "[−∞, 1]" in render(record(recommendation(spectrum=terrain)))


@pytest.mark.parametrize(
    ("steps", "finals"),
    [
        ([1e-300], [1.0]),
        ([0.1], [float("nan")]),
        ([0.1, 1e12], [1e-300, 1e300]),
        ([0.1, 0.2], [-5.0, -5.0]),
        ([0.1, 0.2], [0.0, 0.0]),
    ],
)
@pytest.mark.parametrize("initial", [1.0, 0.0, None, float("nan")])
def test_any_runs_can_be_drawn(record, recommendation, steps, finals, initial):
    trials = tuple(
        replace(recommendation().trials[0], step=s, losses=(1.0, f)) for s, f in zip(steps, finals, strict=True)
    )
    bare = recommendation(trials=trials, usable=(steps[0], steps[-1]), suggested=steps[0])
    whole = record(bare, initial_loss=initial)
    (made,) = whole["recommendations"]
    ElementTree.fromstring(figures.final_loss(made, whole["initial_loss"], None))
    ElementTree.fromstring(figures.overview([("SGD", made)]))


@pytest.mark.parametrize(
    "values", [(1.0,), (1.0, 0.0), (1.0, 1e300, float("nan")), (1.0, 1e-300), (), (0.0, 0.0)], ids=str
)
def test_any_verification_can_be_drawn(record, recommendation, values):
    run = replace(recommendation().verification[0], values=values)
    (made,) = record(recommendation(verification=(run,)))["recommendations"]
    ElementTree.fromstring(figures.verification(made))


@pytest.fixture
def small(record):
    """A record without a figure."""
    return record(abstained="the loss is flat") | {"recommendations": []}


def test_a_complete_file_or_the_old_one(small, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_write.os, "replace", fail)
    with pytest.raises(InvalidInput, match="No space left"):
        write_report(small, path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_an_existing_report_is_replaced(small, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    assert write_report(small, str(path)) == path
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_is_not_there_is_said(small, tmp_path):
    with pytest.raises(InvalidInput, match=r"there is no folder .*nowhere; create it"):
        write_report(small, tmp_path / "nowhere" / "report.html")
    with pytest.raises(InvalidInput, match="is a folder; give the name of a file"):
        write_report(small, tmp_path)


@pytest.mark.parametrize("record_", [{}, {"kind": "weather"}, {"kind": "advices", "advices": []}])
def test_another_kind_of_record_is_refused(record_, tmp_path):
    with pytest.raises(InvalidInput, match=r"of kind advice, .* or several of one; got kind"):
        write_report(record_, tmp_path / "report.html")


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_package_names_the_extra(record, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=re.escape("pip install '.[report]' in a checkout of Surefoot")):
        write_report(record(), tmp_path / "report.html")


def test_matplotlib_is_left_as_it_was(record):
    before = dict(mpl.rcParams)
    render(record())
    assert dict(mpl.rcParams) == before


def test_pyplot_is_not_used():
    code = "import sys, surefoot.report.figures; print('matplotlib.pyplot' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.25, "0.25"),
        (-2.0, "−2"),
        (1.23456e-7, "1.235·10⁻⁷"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "∞"),
        (float("-inf"), "−∞"),
        (0.0, "0"),
        (123456.0, "1.235·10⁵"),
    ],
)
def test_numbers_are_written_as_people_do(value, text):
    assert number(value) == text


def test_a_rate_near_one_shows_its_distance():
    assert rate(1 - 2.5e-9) == "1 − 2.5·10⁻⁹"
    assert rate(0.5) == "0.5"
    assert rate(1.0) == "1"


def test_no_two_cards_are_called_the_same(record, recommendation):
    html = render({"kind": "advices", "advices": [record(recommendation(), recommendation())] * 2})
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", html)
    assert len(headings) == len(set(headings)) == 2 + 1 + 4 + 1


def test_a_page_of_ones_own(tmp_path):
    shown = Section(
        title="Mine",
        word="Good",
        mood="good",
        lead="It fell.",
        findings=[
            "the first",
            Listing(title="Try first", lines=["<b>two</b>"], ordered=True),
            Listing(title="nothing", lines=[]),
        ],
        tables=[Table(heads=("rate", "loss"), rows=[("0.1", Cell("3", mood="bad"))], notes=["seen once"])],
        text="a  b\n1  2",
    )
    path = write_page(
        Sections(title="What now?", subject="mine", sections=[shown], trust=["None."]), tmp_path / "p.html"
    )
    html = path.read_text(encoding="utf-8")
    assert html.index("It fell.") < html.index("the first") < html.index("Try first") < html.index("seen once")
    assert "&lt;b&gt;two" in html
    assert ">nothing<" not in html
    assert '<td data-head="loss" class="number bad">3' in html
    assert "a  b\n1  2</pre>" in html


def test_a_table_needs_a_note_for_each_row_or_none():
    with pytest.raises(ValueError, match="zip"):
        _ = Table(heads=("a",), rows=[("1",), ("2",)], notes=["x"]).cells
