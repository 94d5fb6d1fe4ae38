"""The site is whole: a figure on each page, each page in the menu, each public name in the reference."""

import importlib
import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(path.stem for path in DOCS.glob("*.md"))


@pytest.fixture(scope="module")
def site():
    for needed in ("torch", "matplotlib"):
        pytest.importorskip(needed)
    sys.path.insert(0, str(DOCS))
    try:
        yield importlib.import_module("conf"), importlib.import_module("_figures")
        importlib.import_module("_training_figures")
    finally:
        sys.path.remove(str(DOCS))


def test_each_page_has_a_figure(site):
    importlib.import_module("_training_figures")
    drawn = {page.removesuffix(".md") for page in site[1].FIGURES}
    # the home page shows its own pictures
    assert set(PAGES) - drawn == {"index"}
    assert (DOCS / "index.md").read_text(encoding="utf-8").count(":::{image}") == 8
    assert drawn <= set(PAGES)


def test_each_page_is_in_the_menu():
    menu = re.findall(r"^([\w/-]+)$", (DOCS / "index.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(PAGES) - {"index"} <= set(menu)


def test_each_room_with_public_names_is_in_the_reference(site):
    import surefoot

    package = Path(surefoot.__file__).parent
    rooms = {
        path.parent.name for path in package.glob("*/__init__.py") if "__all__" in path.read_text(encoding="utf-8")
    }
    files = {path.stem for path in package.glob("*.py") if not path.stem.startswith("__")}
    shown = {room.split(".")[1] for room in site[0].ROOMS if "." in room}
    assert (rooms | files) - shown - {"cli"} == set()


def test_a_page_of_the_reference_has_every_public_name(site):
    import surefoot.stability

    page = site[0].reference("surefoot.stability", {})
    assert all(f"surefoot.stability.{name}" in page for name in surefoot.stability.__all__)
