"""The view of the edge of stability: sharpness against the limit along training."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from surefoot.records import with_floats
from surefoot.report._canvas import MUTED, SERIES, Drawing, draw_row
from surefoot.report._numbers import number
from surefoot.report._page import Figure, Page, Record, Section, Table

__all__ = ["edge_figure", "page"]


def page(edges: Sequence[Record]) -> Page:
    """Everything on the page.

    Parameters
    ----------
    edges : sequence of mapping
        Records of kind "edge".
    """
    return Page(
        title="Where does sharpness settle?",
        subject=" · ".join(edge["problem"] for edge in edges),
        sections=[_section(edge) for edge in edges],
        trust=[
            "An observation on one network, not a law: that sharpness rises to the limit and stays there has been seen "
            "on many, and has exceptions. Readings between fresh starts are estimates from below, from a warm start. "
            "For Adam the preconditioner is the one of the moment, held fixed for the measurement."
        ],
    )


def edge_figure(edge: Any) -> Drawing:
    """Sharpness over its limit along each run, one pair of axes for each optimizer.

    Parameters
    ----------
    edge : Edge or mapping
        From `surefoot.training.edge_of_stability`, or its `to_dict`.

    Returns
    -------
    Drawing
        An ``<svg>`` element.
    """
    record: Record = with_floats(edge if isinstance(edge, Mapping) else edge.to_dict())
    optimizers = list(dict.fromkeys(run["optimizer"] for run in record["runs"]))
    top = max(1.5, 1.1 * max(s / run["threshold"] for run in record["runs"] for s in run["sharpness"]))

    def painter(optimizer: str, *, first: bool) -> Any:
        def paint(axes: Axes) -> None:
            axes.axhline(1.0, color=MUTED, lw=1.0, ls="--")
            runs = [run for run in record["runs"] if run["optimizer"] == optimizer]
            for run, colour in zip(runs, SERIES, strict=False):
                ratios = [value / run["threshold"] for value in run["sharpness"]]
                axes.plot(run["steps"], ratios, color=colour, lw=1.4)
                axes.annotate(
                    f"{run['rate']:g}",
                    (run["steps"][0], ratios[0]),
                    xytext=(2, 4),
                    textcoords="offset points",
                    fontsize=8.5,
                    color=colour,
                )
            axes.set_ylim(0, top)
            axes.set_xlabel(f"step of {optimizer}, at the rates written on the curves")
            if first:
                axes.set_ylabel("sharpness / limit")

        return paint

    return draw_row([painter(name, first=not i) for i, name in enumerate(optimizers)], height=3.4)


def _section(edge: Record) -> Section:
    rows = [
        (
            run["optimizer"],
            number(run["rate"]),
            number(run["threshold"]),
            number(run["sharpness"][0]),
            number(run["sharpness"][-1]),
            number(run["loss"][-1]),
        )
        for run in edge["runs"]
    ]
    heads = ("optimizer", "rate", "limit", "sharpness at first", "at the end", "final loss")
    caption = (
        "The largest curvature along training, divided by that at which the rate becomes linearly unstable: 2/rate for "
        "gradient descent, 38/rate of the preconditioned curvature for Adam."
    )
    return Section(
        title=edge["problem"],
        lead=f"{edge['finding']}.",
        figures=[Figure(drawing=edge_figure(edge), caption=caption, wide=True)],
        tables=[Table(heads=heads, rows=rows)],
    )
