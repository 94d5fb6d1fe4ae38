"""Figures of the long run: orbit diagram with period and exponent, cobweb, basins."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import ArrayLike, NDArray

from surefoot.dynamics import Diagram
from surefoot.errors import InvalidInput
from surefoot.report._canvas import ACCENT, BAD, INK, LIMIT, MUTED, Drawing, draw, draw_stack, legend_above, plain_axis

# An image has its own colour on light and dark pages; the drawing around it takes the page's.
SHADE = (0.28, 0.53, 0.82)
# Pixels of the density of orbits; more points than pixels would make a file that no one can open.
PIXELS = (420, 900)
# Okabe and Ito's colours, which those who see red and green as one tell apart too.
REGIONS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")


def orbit_diagram(
    diagram: Diagram,
    *,
    thresholds: Sequence[float] = (),
    name: str = "step",
    coordinate: int = 0,
    interval: tuple[float, float] | None = None,
) -> Drawing:
    """Where orbits settle against the parameter, with their period and exponent on the same axis below.

    Parameters
    ----------
    diagram : Diagram
    thresholds : sequence of float
        Marked: doublings, a linear limit.
    name : str
        What the parameter is called.
    coordinate : int
        Which coordinate of a vector state is drawn.
    interval : (float, float), optional
        Interval of the states shown (default: all that stay).

    Returns
    -------
    Drawing
        An ``<svg>`` element.
    """
    points = diagram.points if diagram.points.ndim == 2 else diagram.points[:, coordinate]
    stays = ~diagram.left
    low, high = interval or _extent(points[:, stays])

    def states(axes: Axes) -> None:
        axes.imshow(
            _density(points, (low, high)), aspect="auto", origin="lower", interpolation="none", zorder=2,
            extent=(float(diagram.parameters[0]), float(diagram.parameters[-1]), low, high),
        )  # fmt: skip
        axes.set_ylim(low, high)
        axes.set_ylabel("state")

    def periods(axes: Axes) -> None:
        seen = diagram.period > 0
        axes.plot(diagram.parameters[seen], diagram.period[seen], ".", ms=3, color=ACCENT)
        axes.plot(diagram.parameters[diagram.chaotic], [0.7] * int(diagram.chaotic.sum()), "|", ms=4, color=BAD)
        axes.set_yscale("log", base=2)
        axes.set_ylim(0.55, 90)
        axes.set_yticks([1, 2, 4, 8, 16, 32, 64], ["1", "2", "4", "8", "16", "32", ""])
        axes.set_ylabel("period")

    def exponents(axes: Axes) -> None:
        axes.axhline(0.0, color=MUTED, lw=1)
        shown = np.where(np.isfinite(diagram.exponent), diagram.exponent, np.nan)
        axes.plot(diagram.parameters, shown, color=ACCENT, lw=0.9)
        axes.fill_between(diagram.parameters, 0.0, np.maximum(shown, 0.0), color=BAD, alpha=0.35, lw=0)
        axes.set_ylim(max(-1.5, float(np.nanmin(shown))) - 0.05, max(0.1, float(np.nanmax(shown))) + 0.1)
        axes.set(xlabel=name, ylabel="exponent")

    def mark(paint: Callable[[Axes], None]) -> Callable[[Axes], None]:
        def both(axes: Axes) -> None:
            paint(axes)
            for value in thresholds:
                axes.axvline(value, color=LIMIT, lw=0.9, ls="--", zorder=3)
            axes.set_xlim(float(diagram.parameters[0]), float(diagram.parameters[-1]))
            plain_axis(axes, "x")

        return both

    return draw_stack([mark(states), mark(periods), mark(exponents)], (3.0, 1.0, 1.0))


def cobweb(
    update: Callable[[Any, Any], Any],
    parameter: float,
    x0: float,
    *,
    steps: int = 40,
    interval: tuple[float, float] | None = None,
) -> Drawing:
    """A scalar map, the diagonal, and the staircase that an orbit climbs between them.

    Parameters
    ----------
    update : callable
        (x, parameter) to the next x.
    parameter, x0 : float
    steps : int
    interval : (float, float), optional
        Interval of the states shown (default: a little more than the orbit).

    Returns
    -------
    Drawing
        An ``<svg>`` element.

    Examples
    --------
    >>> from surefoot.report.figures import cobweb
    >>> cobweb(lambda x, r: r * x * (1 - x), 3.2, 0.3)[:4]
    '<svg'
    """
    orbit = [float(x0)]
    for _ in range(steps):
        orbit.append(float(update(np.float64(orbit[-1]), parameter)))
        if not np.isfinite(orbit[-1]) or abs(orbit[-1]) > 1e6 * (1 + abs(x0)):
            break
    kept = np.asarray(orbit)
    low, high = interval or _extent(kept[np.isfinite(kept)])

    def paint(axes: Axes) -> None:
        grid = np.linspace(low, high, 400)
        axes.plot(grid, grid, color=MUTED, lw=1)
        axes.plot(grid, update(grid, parameter), color=ACCENT, label="one step")
        corners = np.repeat(kept, 2)
        axes.plot(corners[:-2], corners[1:-1], color=LIMIT, lw=0.9, label=f"orbit from {x0:g}")
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set(xlabel="now", ylabel="next")
        legend_above(axes, 2, side="left")

    return draw(paint, width=4.4, height=4.2, measured=True)


def basins(
    parameters: ArrayLike,
    starts: ArrayLike,
    fate: ArrayLike,
    names: Sequence[str],
    *,
    name: str = "step",
    thresholds: Sequence[float] = (),
) -> Drawing:
    """Which end each start reaches, for each parameter: a map in one colour per end.

    Parameters
    ----------
    parameters : array, shape (p,)
        Evenly spaced.
    starts : array, shape (s,)
        Evenly spaced.
    fate : int array, shape (s, p)
        Index into `names`.
    names : sequence of str
        At most six.
    name : str
        What the parameter is called.
    thresholds : sequence of float
        Marked.

    Returns
    -------
    Drawing
        An ``<svg>`` element.

    Raises
    ------
    InvalidInput
        If the shapes do not fit, or there are more ends than colours.

    Examples
    --------
    >>> from surefoot.report.figures import basins
    >>> drawing = basins([0.1, 0.2], [-1.0, 1.0], [[0, 0], [1, 1]], ["left", "right"])
    >>> drawing[:4], "left" in drawing
    ('<svg', True)
    """
    x, y, ends = np.asarray(parameters, float), np.asarray(starts, float), np.asarray(fate)
    if ends.shape != (y.size, x.size):
        raise InvalidInput(f"fate must have shape (starts, parameters) = ({y.size}, {x.size}); got {ends.shape}")
    if len(names) > len(REGIONS) or ends.min() < 0 or ends.max() >= len(names):
        raise InvalidInput(
            f"fate must index the names, at most {len(REGIONS)} of them; got {len(names)} names and values from "
            f"{ends.min()} to {ends.max()}"
        )
    colours = np.asarray([to_rgb(c) for c in REGIONS])

    def paint(axes: Axes) -> None:
        axes.imshow(
            colours[ends], aspect="auto", origin="lower", interpolation="nearest", alpha=0.75,
            extent=(float(x[0]), float(x[-1]), float(y[0]), float(y[-1])),
        )  # fmt: skip
        axes.grid(visible=False)
        for value in thresholds:
            axes.axvline(value, color=INK, lw=1.0, ls="--")
        for colour, label in zip(REGIONS, names, strict=False):
            axes.plot([], [], "s", ms=8, color=colour, alpha=0.75, label=label)
        axes.set(xlabel=name, ylabel="start")
        plain_axis(axes, "x")
        legend_above(axes, 3, side="left")

    return draw(paint, width=6.4, height=3.8, measured=True)


def _density(points: NDArray[np.float64], interval: tuple[float, float]) -> NDArray[np.float64]:
    """How often orbits are seen where, as an image (rows, columns, 4) whose opacity says it."""
    rows, columns = PIXELS[0], min(PIXELS[1], points.shape[1])
    low, high = interval
    with np.errstate(invalid="ignore", over="ignore"):
        inside = np.isfinite(points) & (points >= low) & (points <= high)
        row = np.where(inside, (points - low) / (high - low) * (rows - 1), 0.0).astype(np.int64)
    column = np.broadcast_to(np.arange(points.shape[1]) * columns // points.shape[1], points.shape)
    seen = np.zeros((rows, columns))
    np.add.at(seen, (row[inside], column[inside]), 1.0)
    most = seen.max(axis=0, keepdims=True)
    image = np.empty((rows, columns, 4))
    image[..., :3] = SHADE
    # a root, so that the thin part of a chaotic orbit is seen beside the dense one
    image[..., 3] = np.sqrt(seen / np.maximum(most, 1.0))
    return image


def _extent(values: NDArray[np.float64]) -> tuple[float, float]:
    if not values.size:
        return -1.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin
