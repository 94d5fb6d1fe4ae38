"""The spectral density as a picture: a bulk, and what stands apart from it."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from surefoot.report._canvas import ACCENT, LIMIT, MUTED, Drawing, draw, log_axis, plain_axis
from surefoot.report._page import Figure, Record, Section, as_record
from surefoot.spectra import Density

# What one eigenvalue of n contributes at its peak is the least that is of interest; lower it is smoothing's tail.
TAIL = 1e-2


def section(record: Record) -> Section:
    """What the page shows of a density among the details of an advice."""
    vectors, steps = np.shape(record["nodes"])
    caption = (
        "An estimate, its standard error as a band; the marks below are the outermost values met. A single eigenvalue "
        f"has weight 1/{record['size']} and shows only where a start sees it: the ends are in the tables above."
    )
    return Section(
        title="Where all the eigenvalues are",
        lead=f"{str(Density.from_dict(record)).capitalize()}.",
        notes=[f"Stochastic Lanczos quadrature: {vectors} random starts of {steps} products each."],
        figures=[
            Figure(title="How many directions are flat?", drawing=density_figure(record), caption=caption, wide=True)
        ],
    )


def density_figure(density: Any) -> Drawing:
    """A spectral density on a logarithmic axis, its standard error as a band, the quadrature's outer nodes marked.

    Parameters
    ----------
    density : Density or mapping
        Density from `surefoot.spectra.density`, or its `to_dict`.

    Returns
    -------
    Drawing
        An ``<svg>`` element.
    """
    record = as_record(density)
    grid, values = np.asarray(record["grid"], float), np.asarray(record["density"], float)
    error = np.nan_to_num(np.asarray(record["standard_error"], dtype=float))
    nodes, weights = np.asarray(record["nodes"], float), np.asarray(record["weights"], float)
    used = nodes[weights > 0]
    floor = TAIL / (np.sqrt(2 * np.pi) * record["width"] * record["size"])
    vectors, steps = nodes.shape

    def paint(axes: Axes) -> None:
        lower, upper = np.maximum(values - error, floor), np.maximum(values + error, floor)
        axes.fill_between(grid, lower, upper, color=ACCENT, alpha=0.25, lw=0)
        axes.plot(grid, np.maximum(values, floor), color=ACCENT, lw=1.4)
        axes.axvline(0.0, color=MUTED, lw=0.8)
        axes.set_xlim(float(grid[0]), float(grid[-1]))
        axes.set_ylim(floor, 3 * float(values.max()))
        axes.plot([used.min(), used.max()], [1.6 * floor] * 2, "|", ms=9, mew=1.4, color=LIMIT)
        log_axis(axes, "y")
        plain_axis(axes, "x")
        axes.set(
            xlabel=f"eigenvalue (smoothed by {record['width']:.2g}; {vectors} vectors x {steps} products)",
            ylabel="density",
        )

    return draw(paint, width=6.4, height=3.3)
