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
        figures = importlib.import_module("_figures")
        for module in figures.MODULES:
            importlib.import_module(module)
        yield importlib.import_module("conf"), figures
    finally:
        sys.path.remove(str(DOCS))


def test_each_page_has_a_figure(site):
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


def test_the_reference_has_every_public_name(site):
    documented = {}
    for room in [*site[0].ROOMS[1:], site[0].ROOMS[0]]:
        module = importlib.import_module(room)
        page = site[0].reference(room, documented)
        public = [name for name in module.__all__ if not name.startswith("__")]
        # a room within a room is a link to its own page
        wanted = [getattr(module, name).__name__ if is_module(module, name) else f"{room}.{name}" for name in public]
        assert [name for name in wanted if name not in page] == []


def test_each_public_name_has_an_example_that_is_run(site):
    for room in site[0].ROOMS[1:]:
        module = importlib.import_module(room)
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, type) or type(value).__name__ == "function":
                assert ">>>" in (value.__doc__ or "") or site[0].where_shown(name, value), f"{room}.{name}"


def is_module(module, name):
    return type(getattr(module, name)).__name__ == "module"


@pytest.fixture(scope="module")
def checker():
    sys.path.insert(0, str(DOCS.parent / "tools"))
    try:
        yield importlib.import_module("check_site")
    finally:
        sys.path.remove(str(DOCS.parent / "tools"))


def test_each_word_leads_to_a_name_of_the_library():
    table = [line for line in (DOCS / "words.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")][2:]
    assert len(table) > 30
    for line in table:
        names = re.findall(r"`([\w.]+)`", line.split("|")[3])
        assert names, line
        for name in names:
            value = importlib.import_module("surefoot")
            for part in name.split("."):
                value = getattr(value, part)


# The words that a reader of the field looks for first.
FIRST_WORDS = """
L-smooth; speed limit; Goldilocks; condition number; truncation error; gradient flow; stiffness; Richardson; effective
learning rate; divergence detector; per-sample rate; edge of stability
"""


def test_the_words_that_people_look_for_are_there():
    words = (DOCS / "words.md").read_text(encoding="utf-8")
    assert [word for word in FIRST_WORDS.replace("\n", " ").split(";") if word.strip() not in words] == []


PAGE = '<html lang="en"><body>{}</body></html>'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<p><ul><li>one</li></ul></p>", "closes nothing"),
        ("<p><b><ul></ul></b></p>", "stands in a paragraph"),
        ("<div><span></div>", "closes nothing"),
        ('<i id="a"></i><i id="a"></i>', "two elements have the id"),
        ('<img src="here.svg">', "no alternative text"),
        ('<img src="here.svg" alt="x">', "lacks its xmlns"),
        ('<a href="other.html">x</a>', "leads nowhere"),
        ('<a href="#there">x</a>', "no such place"),
        ('<script src="https://example.org/x.js"></script>', "from elsewhere"),
        ('<input id="a">', "has no label"),
        ("<button></button>", "has no label"),
    ],
)
def test_the_check_of_the_site_finds(checker, tmp_path, body, said):
    (tmp_path / "here.svg").write_text("<svg></svg>")
    (tmp_path / "page.html").write_text(PAGE.format(body))
    assert any(said in fault for fault in checker.check(tmp_path))


def test_the_check_of_the_site_passes_what_is_right(checker, tmp_path):
    from surefoot.playground import play

    play(tmp_path / "play.html")
    body = '<p>one<p>two<br /><label for="a">a</label><input id="a"><button>go</button>'
    body += '<a href="play.html#scene=ball">x</a>'
    (tmp_path / "page.html").write_text(PAGE.format(body))
    assert checker.check(tmp_path) == []


def test_a_figure_of_a_report_becomes_a_file_that_a_browser_draws(site):
    from surefoot import methods
    from surefoot.report.figures import order_figure
    from surefoot.solvers import local_error

    drawing = order_figure([local_error(lambda t, y: -y, 0.0, [1.0], methods.RK4(), [0.01, 0.1])])
    assert 'xmlns="http://www.w3.org/2000/svg"' in site[1].svg(drawing)
    assert "var(--" not in site[1].svg(drawing)


# A page with one fault of a kind that only a browser sees, and the words that name it.
UNSEEN = [
    ('<p style="color: #999">words</p>', "contrast 2.85"),
    ('<p style="background: #fff8; color: #888">words</p>', "contrast 3.5"),
    ('<small style="font-size: 9px">words</small>', "text of 9 pixels"),
    ('<button style="width: 10px">x</button>', "pixels: <button"),
    ('<div style="width: 600px">words</div>', "wide in a window of 390"),
    ("<script>nothing()</script>", "console: ReferenceError"),
]


def test_the_look_at_the_site_finds_what_is_hard_to_read(checker, tmp_path):
    look = importlib.import_module("look_at_site")
    if look.PATH is None:
        pytest.skip("needs Chromium")
    for i, (body, _) in enumerate(UNSEEN):
        (tmp_path / f"{i}.html").write_text(PAGE.format(body))
    (tmp_path / "right.html").write_text(PAGE.format('<p>words</p><button style="padding: 8px">go</button>'))
    found = look.look(tmp_path)
    for i, (_, said) in enumerate(UNSEEN):
        assert any(fault.startswith(f"{i}.html") and said in fault for fault in found), (said, found)
    assert not [fault for fault in found if fault.startswith("right.html")]
