"""A range test as a picture: where the loss fell, what is suggested, and where it fails."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from surefoot.records import with_floats
from surefoot.report._canvas import ACCENT, BAD, GOOD, MUTED, draw, log_axis
from surefoot.report._numbers import number
from surefoot.report._page import MOODS, Cell, Figure, Record, Section, Table, view


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


@view(
    title="Which rate do I start with?",
    trust=(
        "Each rehearsal is the whole training in small: warm-up, hold and cool-down on the same batches, side by side. "
        "It knows nothing of what comes later than it, and the band has the rates that did as well; it is "
        "no confidence interval."
    ),
)
def page(record: Record) -> Section:
    abstained = bool(record["abstained"])
    low, high = record["interval"]
    reason = record["reason"]
    return Section(
        title=record["target"],
        word="No rate"
        if abstained
        else f"Take {record['optimizer']} at a peak of {number(record['suggested'], digits=3)}",
        mood="limit" if abstained else "good",
        lead=record["abstained"] if abstained else f"TRIED: {reason}.",
        code="" if abstained else f"for group in optimizer.param_groups: group.update(lr={record['suggested']:.3g})",
        facts=[
            *([] if abstained else [("rates as good as it", f"{number(low, digits=3)} to {number(high, digits=3)}")]),
            ("fails from", number(record["cliff"], digits=3) if math.isfinite(record["cliff"]) else "no rate tried"),
            ("loss at the start", number(record["start"])),
            ("steps spent", f"{record['steps']:.0f}"),
        ],
        figures=[
            Figure(
                drawing=range_figure(record),
                caption="The loss at the end of each rehearsal against its peak rate; small dots are its last losses, "
                "the band has the rates as good as the suggested one.",
                wide=True,
            )
        ],
        tables=[
            Table(
                heads=("peak rate", "loss at the end", "steps", "verdict"),
                rows=[
                    (
                        number(run["rate"], digits=3),
                        number(sum(run["finals"]) / len(run["finals"]) if run["finals"] else None),
                        f"{len(run['losses'])}",
                        Cell(
                            run["ending"] + (f": {run['stopped']}" if run["stopped"] else ""),
                            mood=MOODS.get(run["ending"], ""),
                        ),
                    )
                    for run in sorted(record["rehearsals"], key=lambda run: run["rate"])
                ],
            )
        ],
    )
