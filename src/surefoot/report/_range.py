"""A range test as a picture: where the loss fell, what is suggested, and where it fails."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from surefoot.records import with_floats
from surefoot.report._canvas import ACCENT, BAD, GOOD, MUTED, draw, log_axis


def range_figure(record: Mapping[str, Any]) -> str:
    """The loss at the end of each rehearsal against its peak rate, with the suggestion and where it fails.

    Parameters
    ----------
    record : mapping
        Record of ``range_test(...).to_dict()``.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    record = with_floats(record)
    cliff = record["cliff"]

    def paint(axes: Axes) -> None:
        runs = sorted(record["rehearsals"], key=lambda run: run["rate"])
        finished = [run for run in runs if run["finals"]]
        given_up = [run for run in runs if not run["finals"]]
        means = [sum(run["finals"]) / len(run["finals"]) for run in finished]
        axes.plot([run["rate"] for run in finished], means, "o-", ms=4.5, color=ACCENT, label="loss at the end")
        for run in finished:
            axes.plot([run["rate"]] * len(run["finals"]), run["finals"], ".", ms=3, color=MUTED)
        axes.axhline(record["start"], color=MUTED, lw=1, ls=":", label="at the start")
        losses = [record["start"], *(value for run in finished for value in run["finals"])]
        for failed, marker, color, label in ((False, "|", MUTED, "given up"), (True, "x", BAD, "failed")):
            rates = [run["rate"] for run in given_up if (run["rate"] >= cliff) == failed]
            if rates:
                axes.plot(rates, [max(losses)] * len(rates), marker, ms=7, mew=2, color=color, ls="", label=label)
        if not record["abstained"]:
            axes.axvspan(*record["interval"], color=GOOD, alpha=0.15, lw=0)
            axes.axvline(record["suggested"], color=GOOD, lw=1.8, label=f"suggested {record['suggested']:.3g}")
        if cliff < math.inf:
            axes.axvline(cliff, color=BAD, lw=1, ls="--", label=f"fails from {cliff:.3g}")
        log_axis(axes, "x")
        if min(losses) > 0:
            log_axis(axes, "y")
        axes.set(xlabel="peak rate", ylabel="loss")
        axes.legend(loc="best")

    return draw(paint, measured=True)
