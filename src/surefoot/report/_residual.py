"""Residual blocks in a report: signal and gradient against depth, before and after scaling, and tables."""

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes

from surefoot.records import with_floats
from surefoot.report._canvas import ACCENT, BAD, GOOD, LARGEST, LIMIT, SMALLEST, Drawing, draw_row, log_axis
from surefoot.report._numbers import number
from surefoot.report._page import Figure, Record, Section, Table

# Colour and marker of each scale: bad as the blocks are, good where the signal is tame.
STYLES = {"as it is": (BAD, "x"), "1/sqrt(L)": (GOOD, "o"), "1/L": (ACCENT, "s"), "bounded": (LIMIT, "")}


def residual_figure(record: Record) -> Drawing:
    """Size of the signal, and of the gradient, at each depth: measured lines, predictions dashed.

    Parameters
    ----------
    record : mapping
        ``residual_stability(...).to_dict()``.

    Returns
    -------
    Drawing
        An ``<svg>`` element.

    Examples
    --------
    >>> import torch
    >>> from surefoot.report.figures import residual_figure
    >>> from surefoot.training import residual_stability
    >>> found = residual_stability([lambda x: x + torch.tanh(x)] * 3, torch.ones(1, 2))
    >>> residual_figure(found.to_dict())[:4]
    '<svg'
    """
    scalings = with_floats(record["scalings"])
    signal = _panel(scalings, "forward", "depth: signal, relative to the start")
    gradient = _panel(scalings, "backward", "depth: gradient, relative to the end")
    return draw_row([signal, gradient], "growth")


def _panel(scalings: Sequence[Record], which: str, label: str) -> Callable[[Axes], None]:
    def paint(axes: Axes) -> None:
        for scaling in scalings:
            (color, marker), name = STYLES[scaling["label"]], f"{scaling['label']}, h = {scaling['scale']:.3g}"
            # often all but equal to 1/sqrt(L): a band behind it
            band = {"lw": 6, "alpha": 0.35} if scaling["label"] == "bounded" else {}
            _line(axes, scaling[which], color=color, marker=marker, ms=3.5, label=name, **band)
            _line(axes, scaling[f"predicted_{which}"], color=color, ls="--", lw=1)
        log_axis(axes, "y")
        axes.set_xlabel(label)

    return paint


def _line(axes: Axes, curve: Sequence[float], **style: Any) -> None:
    points = [(k, value) for k, value in enumerate(curve) if SMALLEST < value < LARGEST]
    if points:
        axes.plot(*zip(*points, strict=True), **style)


def section(record: Record) -> Section:
    """What the page says of a residual network.

    Parameters
    ----------
    record : mapping
        A record of kind "residual stability".
    """
    caption = (
        "Left the signal |x_k| against |x_0|, right the gradient by x_k against that at the end. Lines are measured, "
        "dashes predicted from the blocks as they are."
    )
    return Section(
        title="Residual blocks as Euler steps",
        lead=record["meaning"],
        notes=[record["note"]] if record["note"] else [],
        figures=[
            Figure(
                title="What do signal and gradient do across depth?",
                drawing=residual_figure(record),
                caption=caption,
                wide=True,
            )
        ],
        tables=[_scalings(record["scalings"]), _blocks(record)],
    )


def _scalings(scalings: Sequence[Record]) -> Table:
    rows = [
        (
            scaling["label"],
            number(scaling["scale"]),
            number(_end(scaling["forward"], -1)),
            number(_end(scaling["predicted_forward"], -1)),
            number(_end(scaling["backward"], 0)),
            number(_end(scaling["predicted_backward"], 0)),
            number(scaling["worst"] and scaling["worst"]["upper"]),
            number(scaling["bound"]),
        )
        for scaling in scalings
    ]
    heads = (
        *("scale of all branches", "h", "signal grows", "predicted", "gradient grows", "predicted"),
        *("worst direction", "its bound by the blocks"),
    )
    return Table(title="Growth across depth", about="at each scale", heads=heads, rows=rows, open=True)


def _blocks(record: Record) -> Table:
    rows = [
        (
            block["name"],
            number(block["growth"]["upper"]),
            number(block["norm"]["upper"]),
            number(block["log_norm"]["upper"]),
            number(block["limits"]["stable"]),
            number(block["contractive"]),
        )
        for block in record["blocks"]
    ]
    heads = ("block", "‖I + J‖", "‖J‖", "logarithmic norm", "stable h, repeated", "contractive h")
    about = f"{len(rows)} branches, Jacobians at {record['samples']:,} sample{'s' if record['samples'] > 1 else ''}"
    return Table(title="Block by block", about=about, heads=heads, rows=rows)


def _end(curve: Sequence[float], place: int) -> float | None:
    return curve[place] if curve else None
