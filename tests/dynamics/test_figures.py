"""Figures: what they must show is in the drawing, and a file of its own stands alone."""

import re

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from surefoot.dynamics import Cubic, diagram
from surefoot.errors import InvalidInput
from surefoot.report._dynamics import _density
from surefoot.report.figures import basins, cobweb, orbit_diagram, save_svg


@pytest.fixture(scope="module")
def picture():
    return diagram(Cubic(), np.linspace(1.5, 3.02, 120), 0.37, steps=600, keep=64)


def test_orbit_diagram_has_three_panels_and_its_thresholds(picture):
    drawing = orbit_diagram(picture, thresholds=[2.0, 6**0.5], name="learning rate")
    assert drawing.startswith("<svg")
    for word in ("state", "period", "exponent", "learning rate"):
        assert f">{word}<" in drawing
    assert drawing == orbit_diagram(picture, thresholds=[2.0, 6**0.5], name="learning rate")
    plain = orbit_diagram(picture, name="learning rate")
    assert drawing.count("var(--limit)") == plain.count("var(--limit)") + 6


def test_density_counts_points_and_leaves_out_orbits_that_left(picture):
    image = _density(picture.points, (-0.5, 1.2))
    assert image.shape == (420, 120, 4)
    assert image[..., 3].max() == 1.0
    settled = picture.period == 1
    assert ((image[:, settled, 3] > 0).sum(axis=0) == 1).all()
    assert (image[:, picture.left, 3] == 0).all() or not picture.left.any()
    row = int((0 + 0.5) / 1.7 * 419)
    assert (image[row, settled, 3] == 1).all()


def test_cobweb_and_basins(tmp_path):
    web = cobweb(Cubic(), 2.9, 0.3)
    assert ">next<" in web
    assert cobweb(Cubic(), 5.0, 0.9, steps=200)
    fate = (np.arange(12).reshape(3, 4) > 5).astype(int)
    regions = basins(np.linspace(0, 1, 4), np.linspace(0, 2, 3), fate, ["flat", "sharp"], thresholds=[0.5])
    assert ">sharp<" in regions
    text = save_svg(regions, tmp_path / "b.svg").read_text()
    assert "var(--" not in text
    assert re.match(r'<svg xmlns="http://www.w3.org/2000/svg"', text)
    import xml.dom.minidom

    xml.dom.minidom.parseString(text)


@pytest.mark.parametrize(
    ("fate", "names", "words"),
    [(np.zeros((2, 2), int), ["a"], "shape"), (np.full((3, 4), 2), ["a", "b"], "index the names")],
)
def test_errors_say_what_was_seen(fate, names, words):
    with pytest.raises(InvalidInput, match=words):
        basins(np.arange(4), np.arange(3), fate, names)
