"""The pictures of a deblurring run: before, after, the truth, and what a step above the limit makes of them."""

import base64
import binascii

from matplotlib.axes import Axes

from surefoot.report._canvas import BAD, GOOD, draw, log_axis
from surefoot.report._numbers import number
from surefoot.report._page import Figure, Record, Section

# The names of the pictures in a record, as titles.
TITLES = {"before": "Before", "after": "After", "truth": "The truth"}


def restoration(run: Record) -> list[Section]:
    """Sections on the picture of a run: before and after, and above the limit; none where there is no picture.

    Parameters
    ----------
    run : mapping
        A record of kind "run".
    """
    record = run.get("restoration")
    if record is None:
        return []
    psnr = record["psnr"]
    captions = {name: f"PSNR {number(value)} dB" for name, value in zip(("before", "after"), psnr or (), strict=False)}
    size = " × ".join(str(n) for n in record["shape"])
    pictures = [
        Figure(title=TITLES[name], picture=_source(picture), caption=captions.get(name, size))
        for name, picture in record["pictures"].items()
    ]
    shown = Section(title="The picture", about=run["problem"], lead=f"{record['said']}.", figures=pictures)
    return [shown] if record["beyond"] is None else [shown, _beyond(record["beyond"], run["problem"])]


def growth(tried: Record) -> str:
    """The loss below and above the limit."""
    runs = [(tried["below"], tried["losses_below"], GOOD, "-"), (tried["above"], tried["losses_above"], BAD, "--")]

    def paint(axes: Axes) -> None:
        values = [v for _, losses, _, _ in runs for v in losses if v > 0]
        axes.set_ylim(min(values) / 2, max(values) * 2)
        log_axis(axes, "y")
        for share, losses, color, dash in runs:
            axes.plot(losses, color=color, ls=dash, label=f"{share:g} × limit")
        axes.legend(loc="best")
        axes.set(xlabel="step", ylabel="loss")

    return draw(paint, measured=True)


def _beyond(tried: Record, problem: str) -> Section:
    pictures = [
        Figure(
            picture=_source(tried["pictures"][side]),
            caption=f"{len(tried['losses_' + side]) - 1} steps at {tried[side]:g} times the limit",
        )
        for side in ("below", "above")
    ]
    loss = Figure(drawing=growth(tried), caption="The loss along both runs.", wide=True)
    return Section(title="Above the limit", about=problem, lead=f"{tried['said']}.", figures=[*pictures, loss])


def _source(picture: str) -> str:
    """A PNG inside the page; anything else is left out."""
    try:
        content = base64.b64decode(picture, validate=True)
    except binascii.Error:
        content = b""
    return f"data:image/png;base64,{picture}" if content.startswith(b"\x89PNG") else ""
