"""Figures as files: SVG without variables, PNG in the page's colours, and the density in both and in a report."""

import xml.dom.minidom

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

import surefoot as sf
from surefoot.cli import run
from surefoot.dynamics import Cubic, diagram
from surefoot.errors import InvalidInput
from surefoot.report._canvas import SERIES, VARIABLES
from surefoot.report._save import LIGHT
from surefoot.report.figures import density_figure, orbit_diagram, save_figure, save_png, save_svg


@pytest.fixture(scope="module")
def picture():
    return orbit_diagram(diagram(Cubic(), np.linspace(1.5, 3.0, 60), 0.37, steps=300, keep=32), thresholds=[2.0])


@pytest.fixture(scope="module")
def density():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((120, 80))
    return sf.spectra.density(A.T @ A / 120 + np.diag([9.0] + 79 * [0.0]), n_vectors=4, steps=30)


def test_pixels_have_the_colours_of_a_light_page(picture, tmp_path):
    pixels = imread(save_figure(picture, tmp_path / "a.png"))[..., :3]

    def count(colour):
        return int((np.abs(pixels - to_rgb(colour)).max(axis=2) < 3 / 255).sum())

    assert count("#ffffff") > pixels.shape[0] * pixels.shape[1] / 2
    for colour in ("#a35800", "#2f6db3", "#dfe2e4"):
        assert count(colour) > 50
    assert all(count(stand_in) == 0 for stand_in in (*VARIABLES, *SERIES))


def test_drawing_pixels_leaves_the_text_and_a_second_drawing_as_they_were(picture, tmp_path):
    before = str(picture)
    first = save_png(picture, tmp_path / "a.png").read_bytes()
    assert save_png(picture, tmp_path / "b.png").read_bytes() == first
    assert str(picture) == before


def test_svg_has_no_variables_and_is_well_formed(picture, density, tmp_path):
    for drawing in (picture, density_figure(density)):
        text = save_figure(drawing, tmp_path / "a.svg").read_text()
        assert "var(--" not in text
        xml.dom.minidom.parseString(text)


def test_every_stand_in_has_a_colour():
    assert set(LIGHT) == {*VARIABLES, *SERIES}


def test_what_is_wrong_is_said(picture, tmp_path):
    with pytest.raises(InvalidInput, match=r"\.svg or \.png"):
        save_figure(picture, tmp_path / "a.pdf")
    with pytest.raises(InvalidInput, match="text alone"):
        save_png(str(picture), tmp_path / "a.png")
    assert save_svg(str(picture), tmp_path / "a.svg").exists()


def test_density_is_drawn_from_the_value_and_from_its_record(density):
    drawing = density_figure(density)
    assert drawing == density_figure(density.to_dict())
    assert "4 vectors x 30 products" in drawing
    assert drawing.startswith("<svg")


def test_a_notebook_shows_it_and_axes_of_ones_own_take_it(density):
    drawing = density_figure(density)
    shown = drawing._repr_svg_()
    assert shown.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "var(--" not in shown
    figure = Figure()
    axes = figure.subplots(1, 2)
    assert drawing.plot(axes[0]) is axes[0]
    ours = drawing.figure.axes[0]
    assert axes[0].get_xlabel() == ours.get_xlabel()
    assert len(axes[0].lines) == len(ours.lines) > 0
    stand_ins = {to_hex(colour) for colour in (*VARIABLES, *SERIES)}
    assert not stand_ins & {to_hex(line.get_color()) for line in axes[0].lines}
    with pytest.raises(InvalidInput, match="1 pairs of axes; got 2"):
        drawing.plot(axes)


def test_a_report_has_the_density_that_was_asked_for(tmp_path, capsys):
    path = tmp_path / "a.html"
    assert run(["advise", "digits-softmax", "--density", "--report", str(path), "--quiet"]) == 0
    assert "spectral density of size" in capsys.readouterr().out
    assert "How many directions are flat?" in path.read_text(encoding="utf-8")
    assert run(["advise", "ode:kepler", "--density"]) == 2
    assert "--density do not go" in capsys.readouterr().err
