"""One HTML file from a record, written whole or not at all."""

import os
import tempfile
from collections.abc import Mapping
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from surefoot.checks import as_path, checked
from surefoot.errors import InvalidInput, MissingExtra
from surefoot.records import with_floats
from surefoot.report._page import Page

# A kind of record, and the function of this room that makes a page of several records of that kind.
KINDS = {
    "advice": "_advice:page",
    "diagnosis": "_diagnosis:page",
    "race": "_race:page",
    "run": "_run:page",
    "training run": "_pilot:page",
    "sweep": "_sweep:page",
    "region": "_region:page",
    "orbit": "_orbit:page",
    "audit": "_audit:page",
    "why": "_why:page",
    "batch scaling": "_recipes:batch_scaling",
    "clip advice": "_recipes:clip",
    "warmup advice": "_recipes:warmup",
    "range test": "_range:page",
    "gradient noise": "_measures:noise",
    "group advice": "_measures:groups",
}
# Said before a long computation rather than after it.
INSTALL = "a report needs Jinja2 and Matplotlib; pip install '.[report]' in a checkout of Surefoot"


@checked
def write_page(page: Page, path: str | os.PathLike[str]) -> Path:
    """Write a page of sections, such as one of your own, in one file without links to anything outside it.

    Parameters
    ----------
    page : Page
    path : path
        Where to write; the folder must exist. An existing file is replaced, and only by a complete one.

    Returns
    -------
    Path
        Where it is, absolute.

    Raises
    ------
    InvalidInput
        If the path cannot be written.
    MissingExtra
        If Jinja2 or Matplotlib is not installed.
    """
    target = check_destination(path)
    html = as_html(page)
    try:
        _replace(target, html)
    except OSError as error:
        raise InvalidInput(f"cannot write {target}: {error.strerror or error}") from error
    return target


@checked
def write_report(record: Mapping[str, Any], path: str | os.PathLike[str], *, drawing: str = "") -> Path:
    """Write the report of a record: text, tables and figures in one file without links to anything outside it.

    Parameters
    ----------
    record : mapping
        As the `to_dict` of a result gives it, of a kind that ``surefoot VERB --report`` writes, or several:
        ``{"kind": "advices", "advices": [...]}``.
    path : path
        Where to write; the folder must exist. An existing file is replaced, and only by a complete one.
    drawing : str
        The figure of a record that has too few numbers to draw it from: of kind "region" and "orbit".

    Returns
    -------
    Path
        Where the report is, absolute.

    Raises
    ------
    InvalidInput
        If the record is of another kind, or the path cannot be written.
    MissingExtra
        If Jinja2 or Matplotlib is not installed.
    """
    check_destination(path)
    page = page_of(record)
    return write_page(page.with_drawing(drawing) if drawing else page, path)


@checked
def check_destination(path: str | os.PathLike[str]) -> Path:
    """Real path of a report or figure, if one can be written there: to be asked before a long computation.

    Raises
    ------
    InvalidInput
        If the folder does not exist, or the path is a folder, a device or a pipe.
    MissingExtra
        If Jinja2 or Matplotlib is not installed.
    """
    target = check_folder(path)
    try:
        for package in ("jinja2", "matplotlib"):
            import_module(package)
    except ImportError as error:
        raise MissingExtra(INSTALL) from error
    return target


@checked
def check_folder(path: str | os.PathLike[str]) -> Path:
    """Real path of a file that can be created, or replaced if it is a regular file.

    A file is replaced by renaming a new one over it. That would replace a symbolic link by a file, so links are
    followed first; and it would remove a device or a pipe, so those are refused.

    Raises
    ------
    InvalidInput
        If the folder does not exist or cannot be written to, or the path is there and no regular file.
    """
    given = as_path(path)
    try:
        # asked of the path as given: what /dev/stdout resolves to, pipe:[123], is the name of nothing
        is_folder, is_special = given.is_dir(), given.exists() and not given.is_file()
        target = given.resolve()
    except (OSError, RuntimeError) as error:  # a circle of links; a name longer than the system takes
        raise InvalidInput(f"cannot write {os.fspath(path)}: {error}; give another path") from error
    if is_folder:
        raise InvalidInput(f"{target} is a folder; give the name of a file in it, such as report.html")
    if is_special:
        raise InvalidInput(f"{given} is a device or a pipe, which a file would replace; give the name of a file")
    if not target.parent.is_dir():
        raise InvalidInput(f"there is no folder {target.parent}; create it, or write elsewhere")
    if not os.access(target.parent, os.W_OK):
        raise InvalidInput(f"the folder {target.parent} cannot be written to; write elsewhere")
    return target


def page_of(record: Mapping[str, Any]) -> Page:
    """The page of a record."""
    # read as numbers once, so that no view has to know how a record spells infinity
    records, view = _sort(with_floats(record))
    module, _, name = view.partition(":")
    try:
        return getattr(import_module(f"surefoot.report.{module}"), name)(records)
    except ImportError as error:
        raise MissingExtra(INSTALL) from error


def as_html(page: Page) -> str:
    """The text of a page."""
    try:
        from jinja2 import DictLoader, Environment, StrictUndefined
    except ImportError as error:
        raise MissingExtra(INSTALL) from error
    folder = files("surefoot.report")
    environment = Environment(
        loader=DictLoader(
            {n: folder.joinpath(n).read_text(encoding="utf-8") for n in ("page.html", "report.css", "plot.js")}
        ),
        autoescape=True,  # names of columns and files are anybody's text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(page=page)


def render(record: Mapping[str, Any]) -> str:
    """The HTML text of a record: `as_html` of its `page_of`."""
    return as_html(page_of(record))


def _sort(record: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], str]:
    """The records in a record, of which several have the plural of their kind, and the name of their view."""
    kind = str(record.get("kind"))
    if kind in KINDS:
        return [record], KINDS[kind]
    single = kind.removesuffix("s")
    if single in KINDS and record.get(kind):
        return list(record[kind]), KINDS[single]
    raise InvalidInput(
        f"a report is made from a record of kind {', '.join(KINDS)} or several of one; got kind {record.get('kind')!r}"
    )


def _replace(target: Path, text: str) -> None:
    """Write beside the target, then rename: a reader never sees half a file."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        # a temporary file is private; a report has the permissions of any new file
        Path(name).chmod(0o666 & ~_umask())
        os.replace(name, target)
    except BaseException:  # Ctrl-C too leaves nothing behind
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
