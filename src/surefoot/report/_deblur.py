"""The pictures of a deblurring run: before, after, the truth, and what a step above the limit makes of them."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from surefoot.report._canvas import BAD, GOOD, draw, log_axis
from surefoot.report._view import number

__all__ = ["restoration"]

Record = Mapping[str, Any]
View = dict[str, Any]

TITLES = {"before": "Before", "after": "After", "truth": "The truth"}


def restoration(record: Record | None) -> View | None:
    """What the template shows of a picture; None where there is none.

    Parameters
    ----------
    record : mapping or None
        Of a `Restoration`.
    """
    if record is None:
        return None
    psnr = record["psnr"]
    said = {name: f"PSNR {number(value)} dB" for name, value in zip(("before", "after"), psnr or (), strict=False)}
    tried = record["beyond"]
    size = " × ".join(str(n) for n in record["shape"])
    return {
        "said": record["said"],
        "pictures": [
            {"title": TITLES[name], "source": _source(picture), "caption": said.get(name, size)}
            for name, picture in record["pictures"].items()
        ],
        "beyond": None if tried is None else _beyond(tried),
    }


def growth(tried: Record) -> str:
    """The loss below and above the limit."""
    runs = [(tried["below"], tried["losses_below"], GOOD), (tried["above"], tried["losses_above"], BAD)]

    def paint(axes: Axes) -> None:
        values = [v for _, losses, _ in runs for v in losses if v > 0]
        axes.set_ylim(min(values) / 2, max(values) * 2)
        log_axis(axes, "y")
        for share, losses, color in runs:
            axes.plot(losses, color=color, label=f"{share:g} × limit")
        axes.legend(loc="best")
        axes.set_xlabel("step")
        axes.set_ylabel("loss")

    return draw(paint, measured=True)


def _beyond(tried: Record) -> View:
    return {
        "said": tried["said"],
        # the drawing is Surefoot's own and its text was escaped when it was written
        "svg": Markup(growth(tried)),
        "pictures": [
            {
                "source": _source(tried["pictures"][side]),
                "caption": f"{len(tried['losses_' + side]) - 1} steps at {tried[side]:g} times the limit",
            }
            for side in ("below", "above")
        ],
    }


def _source(picture: str) -> str:
    """A PNG inside the page; anything else in its place is left out."""
    try:
        content = base64.b64decode(picture, validate=True)
    except binascii.Error:
        content = b""
    return f"data:image/png;base64,{picture}" if content.startswith(b"\x89PNG") else ""
