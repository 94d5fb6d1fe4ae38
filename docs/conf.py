"""The documentation site: `make docs` builds it into site/, offline, with warnings as errors.

Sphinx with Furo and MyST: all three are well kept, the pages stay the Markdown that the tests execute, and the
reference comes from the docstrings of the imported library. Figures are drawn by the library while the site is built.
"""

import importlib
import re
import sys
from functools import cache
from pathlib import Path

from docutils import nodes

import surefoot
from surefoot.playground import play

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "Surefoot"
author = "The Surefoot maintainers"
version = release = surefoot.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "Surefoot"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
exclude_patterns = ["_*figures*", "practices/*"]
# Single backquotes in docstrings are names, not cross-references.
default_role = "code"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True}
# Frozen dataclasses list their fields in the docstring; the bare attributes would say it twice.
autodoc_class_signature = "mixed"
# A type named in words ("size n") is no cross-reference.
suppress_warnings = ["myst.header", "ref.python", "ref.term"]

# Rooms of the reference, from the ground floor up.
ROOMS = [
    "surefoot",
    *(
        f"surefoot.{room}"
        for room in (
            *("operators", "spectra", "methods", "stability", "rules", "problems", "noise", "dynamics", "solvers"),
            *("trials", "logs", "audits", "recipes", "certificates", "training", "targets", "report.figures"),
            *(
                "advice",
                "playground",
                "integrations.sklearn",
                "integrations.transformers",
                "integrations.lightning",
                "records",
                "testing",
                "tables",
                "checks",
                "progress",
                "errors",
            ),
        )
    ),
]
# A public name that is neither class nor function; what its type says of itself is of no use here.
ENTRY = ".. py:data:: {room}.{name}\n\n   A {kind}."


def setup(app):
    """What Sphinx calls first."""
    app.connect("builder-inited", write_generated)
    app.connect("source-read", adapt)
    app.connect("autodoc-process-docstring", display_equations)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("html-page-context", adapt_page, priority=900)  # after the theme has made its menu
    app.connect("doctree-resolved", free_lists)
    return {"parallel_read_safe": False}


def write_generated(app):
    """Write the playground, the figures and the pages of the reference: none is kept in the repository."""
    import _figures

    for module in _figures.MODULES:
        importlib.import_module(module)
    folder = HERE / "_static" / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for page, (draw, _) in _figures.FIGURES.items():
        (folder / f"{Path(page).stem}.svg").write_text(draw(), encoding="utf-8")
    play(HERE / "_static" / "playground.html")
    pages = HERE / "reference"
    pages.mkdir(exist_ok=True)
    documented = {}
    for room in [*ROOMS[1:], ROOMS[0]]:  # the top room last: its names live in the others
        (pages / f"{room}.rst").write_text(reference(room, documented), encoding="utf-8")
    listed = "\n".join(f"   {room}" for room in ROOMS)
    (pages / "index.rst").write_text(f"Reference\n=========\n\n.. toctree::\n\n{listed}\n", encoding="utf-8")


def reference(room, documented):
    """The page of a room: its purpose, then each public name; one that stands in another room is a link there."""
    module = importlib.import_module(room)
    parts = [f"{room}\n{'=' * len(room)}", module.__doc__ or ""]
    for name in module.__all__:
        value = getattr(module, name)
        kind = type(value).__name__
        if kind == "module":
            parts.append(f":doc:`{value.__name__}`")
        elif kind in ("type", "ABCMeta", "function") and id(value) in documented:
            parts.append(f":py:obj:`{room}.{name} <{documented[id(value)]}>`")
        elif isinstance(value, type):
            parts += [f".. autoclass:: {room}.{name}", where_shown(name, value)]
        elif callable(value) and kind == "function":
            parts += [f".. autofunction:: {room}.{name}", where_shown(name, value)]
        elif not name.startswith("__"):
            parts.append(ENTRY.format(room=room, name=name, kind=kind))
        documented.setdefault(id(value), f"{room}.{name}")
    # results are returned, not listed: their fields are documented below the functions of their room
    results = [name for name, value in vars(module).items() if is_result(value) and name not in module.__all__]
    for name in results:
        value = getattr(module, name)
        if id(value) not in documented:
            parts.append(f".. autoclass:: {room}.{name}")
            documented[id(value)] = f"{room}.{name}"
    return "\n\n".join(parts) + "\n"


@cache
def pages_with(pattern):
    """The pages with a pattern in their examples, the one with the most matches first."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(HERE.glob("*.md"))}
    examples = {page: "".join(re.findall(r"^```python$(.*?)^```$", text, re.M | re.S)) for page, text in texts.items()}
    counts = {page: len(re.findall(pattern, example)) for page, example in examples.items()}
    return [page for page in sorted(counts, key=lambda page: -counts[page]) if counts[page]]


def where_shown(name, value):
    """Where a name without an example in its docstring is used."""
    if ">>>" in (value.__doc__ or ""):
        return ""
    # imported from the library, or an attribute of it or of a room, under a short name such as `r` too: torch has a
    # Linear of its own
    imported = rf"from surefoot[\w.]* import (?:\([^)]*|[^\n(]*)\b{name}\b"
    pages = pages_with(rf"{imported}|\b(?:surefoot|sf|[a-z])\.(?:\w+\.)*{name}\b")
    return f"An example in :doc:`/{pages[0]}`." if pages else ""


def is_result(value):
    """Whether something is the type of a result."""
    from surefoot.records import Record

    return isinstance(value, type) and issubclass(value, Record)


def adapt(app, docname, source):
    """Put a page's figure below its first paragraph; point links out of docs/ to their pages."""
    import _figures

    text = source[0]
    if docname == "contributing":
        text = (HERE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    text = text.replace("](../CONTRIBUTING.md)", "](contributing.md)").replace("](docs/", "](")
    if docname == "words":  # the names of the last column lead to the reference
        text = re.sub(r"`([\w.]+)`(?=[^|]*\|$)", r"{py:obj}`\1 <surefoot.\1>`", text, flags=re.MULTILINE)
    if (page := f"{docname}.md") in _figures.FIGURES:
        caption = _figures.FIGURES[page][1]
        picture = f":::{{figure}} _static/figures/{docname}.svg\n:alt: {caption}\n\n{caption}\n:::"
        heading, _, rest = text.partition("\n\n")
        first, _, others = rest.partition("\n\n")
        plain = first[:1] not in "`|-#"
        text = "\n\n".join([heading, first, picture, others] if plain else [heading, picture, rest])
    source[0] = text


def display_equations(app, what, name, obj, options, lines):
    """An indented paragraph of a docstring is an equation or a table, shown as it stands."""
    out, shown, doctest = [], False, False
    for written in lines:
        line = written
        doctest = line.lstrip().startswith(">>>") or (doctest and bool(line.strip()))
        starts = bool(re.match(r" {4}\S", line)) and not (out and out[-1].strip())
        if starts and not shown and not doctest and not inside_section(out):
            out += [".. code-block:: text", ""]
            shown = True
        elif line.strip() and not line.startswith("    "):
            shown = False
        if not shown and not doctest:
            line = line.replace("|", "\\|")  # |x| is a norm, not a substitution
            if line.count("**") % 2:
                line = line.replace("**", r"\*\*")  # keyword arguments, not bold
        out.append(line)
    lines[:] = out


def inside_section(lines):
    """Whether the last text line is part of a directive or a field list, whose content is indented too."""
    last = next((line for line in reversed(lines) if line.strip()), "")
    return last.startswith((".. ", ":", "   ")) or last.rstrip().endswith("::")


def free_lists(app, doctree, docname):
    """Several values that a function returns come as a list in a paragraph, which HTML does not allow."""
    for paragraph in list(doctree.findall(nodes.paragraph)):
        if any(isinstance(child, nodes.bullet_list) for child in paragraph.children):
            paragraph.replace_self(paragraph.children)


def adapt_page(app, pagename, templatename, context, doctree):
    """What a screen reader asks for: the language of a page, and the level of the menu's headings."""
    if pagename.endswith("-zh"):
        context["language"] = "zh"
    menu = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = menu.replace('role="heading"', 'role="heading" aria-level="2"')


def skip_fields(app, what, name, obj, skip, options):
    """The fields of a dataclass are in its docstring."""
    return True if what == "class" and type(obj).__name__ in ("member_descriptor", "_Unset") else skip
