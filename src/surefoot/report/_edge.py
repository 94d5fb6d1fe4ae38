"""The view of the edge of stability: sharpness against the limit along training."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from surefoot.report._canvas import MUTED, SERIES, Drawing, draw_row
from surefoot.report._view import number

__all__ = ["edge_figure", "page"]

Record = Mapping[str, Any]
View = dict[str, Any]


def page(edges: Sequence[Record]) -> View:
    """Everything on the page.

    Parameters
    ----------
    edges : sequence of mapping
        Records of kind "edge".
    """
    return {"title": "Where does sharpness settle?", "edges": [_edge(edge) for edge in edges]}


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
    record: Record = edge if isinstance(edge, Mapping) else edge.to_dict()
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


def _edge(edge: Record) -> View:
    return {
        "name": edge["problem"],
        "finding": edge["finding"],
        "runs": [
            {
                "optimizer": run["optimizer"],
                "rate": number(run["rate"]),
                "limit": number(run["threshold"]),
                "first": number(run["sharpness"][0]),
                "last": number(run["sharpness"][-1]),
                "loss": number(run["loss"][-1]),
            }
            for run in edge["runs"]
        ],
        # the drawing is Surefoot's own and its text was escaped when it was written
        "figure": Markup(edge_figure(edge)),
    }
