"""A figure as a file of its own, SVG or PNG, in fixed colours on white."""

import os
import re
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_rgb, to_rgba_array
from matplotlib.figure import Figure

from surefoot.checks import as_path
from surefoot.errors import InvalidInput
from surefoot.report._canvas import SERIES_VARIABLES, VARIABLES, Drawing, style


def _light() -> dict[str, str]:
    """The colours of a report on a light page, which its style sheet says first."""
    css = files("surefoot.report").joinpath("report.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--([a-z]+\d?): (#[0-9a-f]{6})", css.partition("@media")[0]))
    return {color: colours[name[len("var(--") : -1]] for color, name in (VARIABLES | SERIES_VARIABLES).items()}


# Read once: the style sheet does not change.
LIGHT = _light()
# By convention: sharp on a screen of double density and in print at half a page.
DOTS_PER_INCH = 160
# What an artist may be coloured by.
COLOURED = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")


def save_figure(drawing: str, path: str | os.PathLike[str]) -> Path:
    """Write a figure of this room as a file of its own, in fixed colours on white.

    Parameters
    ----------
    drawing : Drawing
        As the figures here return it.
    path : path
        Ending in .svg or .png.

    Returns
    -------
    Path

    Raises
    ------
    InvalidInput
        If the path ends otherwise; and as `save_png`.
    """
    suffix = as_path(path).suffix.lower()
    if suffix not in (".svg", ".png"):
        raise InvalidInput(f"a figure is written as .svg or .png; got {Path(path).name!r}")
    return save_svg(drawing, path) if suffix == ".svg" else save_png(drawing, path)


def save_png(drawing: str, path: str | os.PathLike[str]) -> Path:
    """Write a figure of this room as a PNG file, in fixed colours on white.

    Parameters
    ----------
    drawing : Drawing
        As the figures here return it.
    path : path

    Returns
    -------
    Path

    Raises
    ------
    InvalidInput
        If the drawing is text alone, which remembers no figure.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from surefoot.report.figures import cobweb, save_png
    >>> drawing = cobweb(lambda x, r: r * x * (1 - x), 3.2, 0.3)
    >>> with TemporaryDirectory() as folder:
    ...     save_png(drawing, Path(folder) / "map.png").read_bytes()[1:4]
    b'PNG'
    """
    if not isinstance(drawing, Drawing):
        raise InvalidInput("this drawing is text alone, without its figure; write it as .svg")
    target = as_path(path)
    target.write_bytes(_pixels(drawing.figure))
    return target


def save_svg(svg: str, path: str | os.PathLike[str]) -> Path:
    """Write a figure of this room as an SVG file of its own, in fixed colours on white.

    Parameters
    ----------
    svg : str
        As the figures here return it.
    path : path

    Returns
    -------
    Path
    """
    target = as_path(path)
    target.write_text(standalone(svg), encoding="utf-8", newline="\n")
    return target


def standalone(svg: str) -> str:
    """An element that needs no page: fixed colours, on white."""
    for stand_in, variable in (VARIABLES | SERIES_VARIABLES).items():
        svg = svg.replace(variable, LIGHT[stand_in])
    opening = '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" style="background: #ffffff"'
    return svg.replace("<svg", opening, 1)


def _pixels(figure: Figure) -> bytes:
    for artist in figure.findobj():
        recolour(artist)
    buffer = BytesIO()
    try:
        with style():
            FigureCanvasAgg(figure)
            figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, facecolor="#ffffff", metadata={"Software": None})
    finally:
        FigureCanvasSVG(figure)
    return buffer.getvalue()


def recolour(artist: Any) -> None:
    """Put the colours of a light page where the stand-ins are; opacity stays."""
    for name in COLOURED:
        read, write = getattr(artist, f"get_{name}", None), getattr(artist, f"set_{name}", None)
        if read is None or write is None:
            continue
        try:
            colours = to_rgba_array(read())
        except (TypeError, ValueError):  # "auto", an image's array: not a colour of ours
            continue
        changed = colours.copy()
        for stand_in, colour in LIGHT.items():
            changed[np.isclose(colours[:, :3], to_rgb(stand_in), atol=1e-6).all(axis=1), :3] = to_rgb(colour)
        if (changed != colours).any():
            write(changed if len(changed) > 1 else tuple(changed[0]))
