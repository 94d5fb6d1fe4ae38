"""What a drawing shows, as numbers: for the script that draws it anew at the width of a screen, and for a table."""

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import Collection, LineCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Annotation
from matplotlib.ticker import FixedLocator

from surefoot.report._canvas import SERIES_VARIABLES, VARIABLES
from surefoot.tables import spread

# More digits than anyone reads off a figure, few enough that a page of figures stays small.
DIGITS = 6
# Points of a curve that a table shows, evenly spread, the first and the last included. By convention.
ROWS = 24
T = TypeVar("T")
# Matplotlib's dashes as those of SVG, in pixels.
DASHES = {"-": "", "--": "6 4", ":": "1.5 3", "-.": "7 3 1.5 3"}


def plot_of(figure: Figure) -> str:
    """A figure as JSON: its panels with their axes, and on them lines, areas, pictures and words.

    Parameters
    ----------
    figure : Figure
        As the functions of this room draw it; what it was drawn with, not its pixels, is read.

    Returns
    -------
    str
        JSON that can stand inside an HTML page.
    """
    panels = [_panel(axes) for axes in figure.axes]
    lefts = {round(axes.get_position().x0, 3) for axes in figure.axes}
    width, height = figure.get_size_inches()
    plot = {"panels": panels, "stacked": len(lefts) == 1, "width": float(width), "height": float(height)}
    # "</script>" in a name must not end the element that the JSON stands in
    return json.dumps(plot, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def curves_of(figure: Figure) -> list[tuple[str, tuple[str, str], list[tuple[str, str]]]]:
    """The curves of a figure as tables: a name, two headings, and rows of numbers; those of one name together."""
    curves: dict[tuple[str, tuple[str, str]], list[tuple[str, str]]] = {}
    for axes in figure.axes:
        across, up = axes.get_xlabel() or figure.axes[-1].get_xlabel(), axes.get_ylabel() or figure.axes[0].get_ylabel()
        names = dict(_fixed_ticks(axes.yaxis) or ())
        for line in axes.get_lines():
            if _space(axes, line) == "data":
                points = list(zip(*map(_floats, (line.get_xdata(), line.get_ydata())), strict=True))
                rows = [(_digits(x), names.get(y) or _digits(y)) for x, y in _thin(points)]
                if rows:
                    # a label that begins with "_" stays out of the legend but still names the numbers here
                    name = str(line.get_label()).removeprefix("_")
                    curves.setdefault((up if name.startswith("child") else name, (across, up)), []).extend(rows)
        for stems in axes.collections:
            if isinstance(stems, LineCollection):
                rows = [(_digits(float(segment[0][0])), "") for segment in _thin(stems.get_segments())]
                curves.setdefault((across, (across, "")), []).extend(rows)
    return [(name, heads, rows) for (name, heads), rows in curves.items()]


def _panel(axes: Axes) -> dict[str, Any]:
    """One pair of axes: left, bottom, width and height as parts of the figure, both axes, and what is drawn."""
    box = axes.get_position()
    return {
        "box": [round(v, 4) for v in (box.x0, box.y0, box.width, box.height)],
        "equal": axes.get_aspect() == 1.0,
        "x": _axis(axes.xaxis),
        "y": _axis(axes.yaxis),
        "items": list(_items(axes)),
    }


def _axis(axis: Axis) -> dict[str, Any]:
    low, high = axis.get_view_interval()
    return {
        "log": axis.get_scale() == "log",
        "from": _round(low),
        "to": _round(high),
        "label": axis.get_label_text(),
        "ticks": _fixed_ticks(axis),
    }


def _fixed_ticks(axis: Axis) -> list[tuple[float, str]] | None:
    """Ticks with words of their own; None where they are to be chosen by the room there is."""
    locator = axis.get_major_locator()
    if not isinstance(locator, FixedLocator):
        return None
    places = [float(v) for v in locator()]
    return list(zip(places, axis.get_major_formatter().format_ticks(places), strict=True))


def _items(axes: Axes) -> Iterator[dict[str, Any]]:
    pictures = 0
    for artist in sorted(axes.get_children(), key=lambda artist: artist.get_zorder()):
        if not artist.get_visible() or artist is axes.patch or artist in axes.spines.values():
            continue
        if isinstance(artist, Line2D):
            yield _line(axes, artist)
        elif isinstance(artist, AxesImage):
            yield {"is": "picture", "at": pictures, "extent": [_round(v) for v in artist.get_extent()]}
            pictures += 1
        elif isinstance(artist, LineCollection):
            yield from _segments(axes, artist)
        elif isinstance(artist, Collection | Patch):
            yield from _areas(axes, artist)
        elif isinstance(artist, Annotation) and artist.get_text():
            yield _words(artist)


def _line(axes: Axes, line: Line2D) -> dict[str, Any]:
    marker = str(line.get_marker())
    return {
        "is": "line",
        "label": _label(line),
        "in": _space(axes, line),
        "x": _numbers(line.get_xdata()),
        "y": _numbers(line.get_ydata()),
        **_paint(line.get_color(), line.get_alpha()),
        "width": float(line.get_linewidth()) if str(line.get_linestyle()) != "None" else 0.0,
        "dash": DASHES.get(str(line.get_linestyle()), ""),
        "marker": "" if marker == "None" else marker,
        "size": float(line.get_markersize()),
    }


def _segments(axes: Axes, lines: LineCollection) -> Iterator[dict[str, Any]]:
    # one line with gaps: a stem is no curve, but its place is worth reading
    xs: list[float | None] = []
    ys: list[float | None] = []
    for segment in lines.get_segments():
        for x, y in segment:
            xs.append(_round(x))
            ys.append(_round(y))
        xs.append(None)
        ys.append(None)
    colors: Any = lines.get_colors()
    yield {
        "is": "line", "label": _label(lines), "in": _space(axes, lines), "x": xs, "y": ys,
        **_paint(colors[0], lines.get_alpha()), "width": float(np.ravel(lines.get_linewidth())[0]), "dash": "",
        "marker": "", "size": 0.0,
    }  # fmt: skip


def _areas(axes: Axes, artist: Any) -> Iterator[dict[str, Any]]:
    """The outlines of a filled shape, in its own coordinates."""
    colors: Any = np.atleast_2d(artist.get_facecolor())
    if not len(colors) or not colors[0][3]:
        return
    if isinstance(artist, Patch):
        paths = [artist.get_patch_transform().transform_path(artist.get_path())]
    else:
        paths = list(artist.get_paths())
    rings = [np.asarray(ring) for path in paths for ring in path.to_polygons(closed_only=False)]
    yield {
        "is": "area",
        "label": _label(artist),
        "in": _space(axes, artist),
        "rings": [[[_round(x), _round(y)] for x, y in ring] for ring in rings if len(ring) > 2],
        **_paint(colors[0], float(colors[0][3])),
    }


def _words(note: Annotation) -> dict[str, Any]:
    x, y = note.xy
    dx, dy = note.xyann
    # words at the top of the axes stand in a blended system: x is data, y a part of the height
    top = not isinstance(note.xycoords, str)
    return {
        "is": "words", "text": note.get_text(), "in": "x" if top else "data", "x": _round(float(x)),
        "y": _round(float(y)), "dx": float(dx), "dy": float(dy), "right": note.get_horizontalalignment() == "left",
        "below": note.get_verticalalignment() == "top", **_paint(note.get_color(), None),
    }  # fmt: skip


def _space(axes: Axes, artist: Artist) -> str:
    """Which coordinates are data: both, or one, the other being a part of the axes."""
    across, up = artist.get_transform().contains_branch_seperately(axes.transData)
    return "data" if across and up else "x" if across else "y" if up else "axes"


def _paint(color: Any, alpha: float | None) -> dict[str, Any]:
    red, green, blue, own = to_rgba(color)
    plain = to_hex((red, green, blue))
    named = (VARIABLES | SERIES_VARIABLES).get(plain, plain)
    return {"color": named, "alpha": round(own if alpha is None else float(alpha), 3)}


def _thin(points: Sequence[T]) -> list[T]:
    return [points[i] for i in spread(len(points), ROWS)]


def _label(artist: Artist) -> str:
    label = str(artist.get_label())
    return "" if label.startswith("_") else label


def _numbers(values: Any) -> list[float | None]:
    return [_round(v) for v in _floats(values)]


def _floats(values: Any) -> list[float]:
    return np.asarray(values, dtype=np.float64).ravel().tolist()


def _round(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _digits(value: float) -> str:
    return f"{value:.{DIGITS}g}" if math.isfinite(value) else "–"
