"""Matplotlib figures as inline SVG that takes its colours and fonts from the page."""

import math
import re
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import blended_transform_factory

from surefoot.errors import InvalidInput
from surefoot.report._numbers import SUPERSCRIPTS

# Colours that no one would choose: each is replaced by a variable of the page's style sheet, so that one drawing
# serves light and dark.
INK, MUTED, GRID, ACCENT, GOOD, LIMIT, BAD = (f"#01020{i}" for i in range(1, 8))
# The variable of the style sheet that takes the place of each.
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    ACCENT: "var(--accent)",
    GOOD: "var(--good)",
    LIMIT: "var(--limit)",
    BAD: "var(--bad)",
}
# Colours of curves that nothing else distinguishes: eight are as many as a reader can tell apart.
SERIES = tuple(f"#01021{i}" for i in range(1, 9))
# The variable for each of these.
SERIES_VARIABLES = {color: f"var(--c{i})" for i, color in enumerate(SERIES, 1)}
# Text stays text, so that the browser draws it in its own font and a reader can search it.
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "surefoot",
    "text.parse_math": False,
    "text.usetex": False,
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "path.simplify": True,
}
# Room for the labels around axes, in inches. Measuring the text instead would double the time of a drawing, for a font
# that is not the browser's.
LEFT, RIGHT, BOTTOM, TOP = 0.78, 0.2, 0.52, 0.1
# Values this many times apart crowd into a corner of a linear axis: the smallest is at a thirtieth of its height.
FAR_APART = 30.0
# Numbers outside these are drawn at them: a logarithmic axis over all that a float can hold overflows.
SMALLEST, LARGEST = 1e-100, 1e100


class Drawing(str):
    """An ``<svg>`` element that remembers how it was drawn: to become pixels, or to be drawn on axes of one's own."""

    __slots__ = ("figure", "paints")

    figure: Figure
    paints: tuple[Callable[[Axes], None], ...]

    def _repr_svg_(self) -> str:
        # a notebook has no style sheet of ours: the colours of a light page, on white
        from surefoot.report._save import standalone

        return standalone(self)

    def plot(self, axes: Any) -> Any:
        """Draw it again on axes of your own.

        Parameters
        ----------
        axes : Axes, or sequence of Axes
            As many as the drawing has.

        Returns
        -------
        Axes, or sequence of Axes
            As given. A legend that several share is yours to place.
        """
        from surefoot.report._save import recolour

        panels: list[Axes] = [axes] if isinstance(axes, Axes) else list(axes)
        if len(panels) != len(self.paints):
            raise InvalidInput(f"the drawing has {len(self.paints)} pairs of axes; got {len(panels)}")
        with style():
            for panel, paint in zip(panels, self.paints, strict=True):
                paint(panel)
                for artist in panel.findobj():
                    recolour(artist)
        return axes


def draw(paint: Callable[[Axes], None], *, width: float = 5.2, height: float = 3.1, measured: bool = False) -> Drawing:
    """One pair of axes as an SVG element.

    Parameters
    ----------
    paint : callable
        Draws on the axes.
    width, height : float
        Inches at 72 per inch; the page scales the drawing.
    measured : bool
        Leave the room that labels really take, for labels of any length.

    Returns
    -------
    Drawing
        An ``<svg>`` element, the same for the same drawing.
    """
    with style():
        figure = _paint([paint], width, height, nrows=1)
        if measured:
            figure.tight_layout(pad=0.6)
        else:
            _make_room(figure)
        return _svg(figure, [paint])


def draw_row(
    paints: Sequence[Callable[[Axes], None]], label: str, *, width: float = 10.4, height: float = 3.6
) -> Drawing:
    """Axes side by side that share the vertical one, and the first one's legend above them, as one SVG element.

    Parameters
    ----------
    paints : sequence of callable
        One for each pair of axes; each draws the same curves.
    label : str
        Label of the vertical axis.
    width, height : float
        As in `draw`.

    Returns
    -------
    Drawing
        An ``<svg>`` element.
    """
    with style():
        figure = _paint(paints, width, height, ncols=len(paints), sharey=True)
        figure.axes[0].set_ylabel(label)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        columns = min(len(labels), 9)
        rows = -(-len(labels) // columns) if columns else 0
        figure.legend(
            handles, labels, loc="upper left", bbox_to_anchor=(LEFT / width, 1.0), ncols=columns or 1,
            borderaxespad=0.1, columnspacing=1.6, handlelength=1.8,
        )  # fmt: skip
        _make_room(figure, above=0.19 * rows, wspace=0.06)
        return _svg(figure, paints)


def draw_stack(
    paints: Sequence[Callable[[Axes], None]],
    heights: Sequence[float],
    *,
    width: float = 7.8,
    height: float = 6.0,
    above: float = 0.0,
) -> Drawing:
    """Axes over one another that share the horizontal one, as one SVG element.

    Parameters
    ----------
    paints : sequence of callable
        One for each pair of axes, from above.
    heights : sequence of float
        Their shares of the height.
    width, height : float
        As in `draw`.
    above : float
        Inches left above for a legend.

    Returns
    -------
    Drawing
        An ``<svg>`` element.
    """
    with style():
        ratios = {"height_ratios": list(heights)}
        figure = _paint(paints, width, height, nrows=len(paints), sharex=True, gridspec_kw=ratios)
        _make_room(figure, above=above, hspace=0.1)
        return _svg(figure, paints)


def _paint(paints: Sequence[Callable[[Axes], None]], width: float, height: float, **grid: Any) -> Figure:
    """A figure with a pair of axes for each, painted."""
    figure = Figure(figsize=(width, height), layout=None)
    FigureCanvasSVG(figure)
    for axes, paint in zip(figure.subplots(squeeze=False, **grid).flat, paints, strict=True):
        paint(axes)
    return figure


def _make_room(figure: Figure, *, above: float = 0.0, **gaps: float) -> None:
    """Leave room for labels around the axes, and `above` inches over them for a legend."""
    width, height = figure.get_size_inches()
    bottom, top = BOTTOM / height, 1 - (TOP + above) / height
    figure.subplots_adjust(left=LEFT / width, right=1 - RIGHT / width, bottom=bottom, top=top, **gaps)


def fit_axis(
    axes: Axes, which: str, values: Iterable[float], *, far_apart: float = FAR_APART, headroom: float = 1.0
) -> None:
    """An axis over some values and a margin: logarithmic where they are positive and far apart, else linear.

    Parameters
    ----------
    axes : Axes
    which : str
        ``x`` or ``y``.
    values : iterable of float
        Finite.
    far_apart : float
        Ratio of the largest to the smallest from which on a linear axis would crowd the small ones into a corner.
    headroom : float
        Margins at the upper end.
    """
    known = list(values)
    low, high = min(known, default=0.0), max(known, default=1.0)
    set_limits = getattr(axes, f"set_{which}lim")
    if low > 0 and high / low > far_apart:
        set_limits(low / 2, high * 2**headroom)
        log_axis(axes, which)
        return
    margin = 0.08 * (high - low) or 0.5 * abs(high) or 1.0
    set_limits(low - margin, high + headroom * margin)
    plain_axis(axes, which)


def legend_above(axes: Axes, columns: int, *, side: Literal["left", "right"] = "right") -> None:
    """The legend over the axes, where no point can hide it; none where nothing is named."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(
            loc="lower right" if side == "right" else "lower left", bbox_to_anchor=(float(side == "right"), 1.0),
            ncols=columns, borderaxespad=0.2, handlelength=1.7,
        )  # fmt: skip


def drawable(value: float | None) -> float:
    """The value, or the nearest one that an axis can take; NaN, which leaves a gap, where there is none."""
    if value is None or not math.isfinite(value):
        return math.nan
    return math.copysign(min(max(abs(value), SMALLEST), LARGEST), value) if value else 0.0


def log_axis(axes: Axes, which: str) -> None:
    """A logarithmic axis over the limits it has, with as many numbers as there is room for."""
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    low, high = sorted(getattr(axes, f"get_{which}lim")())
    # more labels to a power of ten where the axis spans few of them
    subs = next((subs for span, subs in ((60, (1, 2, 5)), (1000, (1, 3))) if high / low < span), (1,))
    axis.set_major_locator(LogLocator(subs=subs, numticks=9))
    axis.set_major_formatter(FuncFormatter(_power))
    axis.set_minor_locator(NullLocator())


def plain_axis(axes: Axes, which: str) -> None:
    """A linear axis with numbers such as 0.25 or 4e-6 and no common offset."""
    getattr(axes, f"{which}axis").set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))


def note_at_top(axes: Axes, x: float, text: str, color: str, *, right: bool = True, line: int = 0) -> None:
    """Write beside a vertical line, at the upper end of the axes, `line` lines down."""
    axes.annotate(
        text,
        (x, 1.0),
        xycoords=blended_transform_factory(axes.transData, axes.transAxes),
        xytext=(4 if right else -4, -2 - 11 * line),
        textcoords="offset points",
        ha="left" if right else "right",
        va="top",
        fontsize=8.5,
        color=color,
    )


def _power(value: float, _: int | None = None) -> str:
    """0.02, 3, 10⁻⁶ or 2·10⁻⁶."""
    if 1e-3 <= abs(value) < 1e4:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    power = "10" + str(int(exponent)).translate(SUPERSCRIPTS)
    return power if float(mantissa) == 1 else f"{float(mantissa):g}·{power}"


@contextmanager
def style() -> Generator[None]:
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # the browser draws the text, with fonts of its own
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        yield


def _svg(figure: Figure, paints: Sequence[Callable[[Axes], None]]) -> Drawing:
    """The figure as an element, in the style that is in force."""
    buffer = BytesIO()
    # a date or a version would make two drawings of one figure differ
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    drawing = Drawing(_inline(buffer.getvalue().decode("utf-8")))
    drawing.figure, drawing.paints = figure, tuple(paints)
    return drawing


def _inline(svg: str) -> str:
    """The element alone: no prologue, no namespaces (HTML has them), no ids but those that are referred to."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    for color, variable in (VARIABLES | SERIES_VARIABLES).items():
        svg = svg.replace(color, variable)
    return svg.strip()
