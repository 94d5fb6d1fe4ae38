"""A range test as a picture: where the loss fell, what is suggested, and where it fails."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from surefoot.records import with_floats
from surefoot.report._canvas import ACCENT, BAD, GOOD, LIMIT, MUTED, draw, log_axis, note_at_top

__all__ = ["range_figure"]


def range_figure(record: Mapping[str, Any]) -> str:
    """The loss at the end of each rehearsal against its peak rate, with the suggestion and the limits.

    Parameters
    ----------
    record : mapping
        From ``range_test(...).to_dict()``.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    record = with_floats(record)
    limit, cliff = record["limit"], record["cliff"]

    def paint(axes: Axes) -> None:
        finished = [run for run in record["rehearsals"] if run["finals"]]
        stopped = [run["rate"] for run in record["rehearsals"] if not run["finals"]]
        for repeat in sorted({run["repeat"] for run in finished}):
            runs = sorted((run for run in finished if run["repeat"] == repeat), key=lambda run: run["rate"])
            means = [sum(run["finals"]) / len(run["finals"]) for run in runs]
            label = "loss at the end" if repeat == 0 else ""
            axes.plot([run["rate"] for run in runs], means, "o-", ms=4.5, color=ACCENT, label=label)
            for run in runs:
                axes.plot([run["rate"]] * len(run["finals"]), run["finals"], ".", ms=3, color=MUTED)
        axes.axhline(record["start"], color=MUTED, lw=1, ls=":", label="at the start")
        losses = [record["start"], *(value for run in finished for value in run["finals"])]
        axes.plot(
            stopped, [max(losses)] * len(stopped), "x", ms=7, mew=2, color=BAD, label="stopped" if stopped else ""
        )
        if not record["abstained"]:
            axes.axvspan(*record["interval"], color=GOOD, alpha=0.15, lw=0)
            axes.axvline(record["suggested"], color=GOOD, lw=1.8, label=f"suggested {record['suggested']:.3g}")
        if cliff < math.inf:
            axes.axvline(cliff, color=BAD, lw=1, ls="--", label=f"fails from {cliff:.3g}")
        if limit < math.inf:
            axes.axvline(limit, color=LIMIT, lw=1.4)
            note_at_top(axes, limit, "linear limit at the start", LIMIT, right=limit < cliff)
        log_axis(axes, "x")
        if min(losses) > 0:
            log_axis(axes, "y")
        axes.set_xlabel("peak rate")
        axes.set_ylabel("loss")
        axes.legend(loc="best")

    return draw(paint, measured=True)
