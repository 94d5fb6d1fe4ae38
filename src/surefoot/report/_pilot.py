"""The view of training runs: the rate against its limit with events marked, and the loss below."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from surefoot.report._canvas import ACCENT, BAD, LIMIT, MUTED, Drawing, draw_stack, drawable, fit_axis, legend_above
from surefoot.report._numbers import number
from surefoot.report._page import MOODS, Figure, Listing, Record, Section, Table, as_record, view
from surefoot.tables import spread

# By convention: as many rows as fit on a screen; no screen shows more points than this.
ROWS, MOST_POINTS = 20, 1500
# A part of the run that the loss is averaged over for the line; single batches are dots.
SMOOTH = 40


def pilot_figure(moments: Sequence[Any]) -> Drawing:
    """The rate against its limit through training, events marked, and the loss below.

    Parameters
    ----------
    moments : sequence of Moment or mapping
        ``pilot.history``, or the records of a log: step, loss, rate, limit, event.

    Returns
    -------
    Drawing
        An ``<svg>`` element.

    Examples
    --------
    >>> from surefoot.report.figures import pilot_figure
    >>> moments = [{"step": k, "loss": 1 / (k + 1), "rate": 0.1, "limit": 0.5, "event": None} for k in range(5)]
    >>> pilot_figure(moments)[:4]
    '<svg'
    """
    records = [as_record(moment) for moment in moments]
    steps = [record["step"] for record in records]
    events = [record["step"] for record in records if record.get("event")]

    def rates(axes: Axes) -> None:
        drawn = _column(axes, records, steps, "rate", ACCENT, {"lw": 1.5, "label": "rate"})
        drawn += _column(axes, records, steps, "limit", LIMIT, {"lw": 1.1, "ls": "--", "label": "limit"})
        fit_axis(axes, "y", drawn)
        if events:
            mark: dict[str, Any] = {"marker": "v", "ms": 6, "ls": "", "clip_on": False, "color": BAD, "label": "event"}
            axes.plot(events, [1.0] * len(events), transform=axes.get_xaxis_transform(), **mark)
        legend_above(axes, 3)
        axes.set_ylabel("rate")

    def losses(axes: Axes) -> None:
        drawn = _column(axes, records, steps, "loss", MUTED, {"marker": ".", "ms": 2.5, "ls": "", "alpha": 0.5})
        smooth = _smooth([drawable(record["loss"]) for record in records])
        axes.plot(*_thin(steps, smooth), color=ACCENT, lw=1.5)
        for step in events:
            axes.axvline(step, color=BAD, lw=0.6, ls=":")
        fit_axis(axes, "y", drawn)
        axes.set(xlabel="step", ylabel="loss")

    return draw_stack([rates, losses], (1.0, 1.0), height=5.2, above=0.2)


@view(
    title="How did the training go?",
    trust=(
        "One run from one start: another seed would differ. The loss of a mini-batch is noisy; the verdict is on "
        "all the data. The limit is the rule's own estimate at that moment, not a bound."
    ),
    subject=lambda run: f"{run['task']}, {run['rule']}",
)
def page(run: Record) -> Section:
    moments = run["moments"]
    shown = spread(len(moments), ROWS)
    outcome = (
        f"Loss on all data {number(run['initial'], 'not finite')} → {number(run['final'], 'not finite')}"
        f" after {len(moments):,} updates with {run['optimizer']}."
    )
    caption = (
        "Above, the rate of each update and the limit that the rule went by, where it had one; triangles mark events. "
        "Below, the loss of each mini-batch and its average."
    )
    return Section(
        title=run["task"],
        about=run["rule"],
        word=run["ending"].capitalize(),
        mood=MOODS[run["ending"]],
        lead=outcome,
        findings=[Listing(title="What happened", lines=run["findings"])],
        facts=[
            ("optimizer", run["optimizer"]),
            ("a constant would have", number(run["constant"], "not known")),
            ("time", f"{run['seconds']:.2g} s"),
        ],
        figures=[Figure(title="Rate and loss", drawing=pilot_figure(moments), caption=caption, wide=True)],
        tables=[
            Table(
                title="Updates",
                about=f"{len(shown)} of {len(moments):,}",
                heads=("step", "loss", "rate", "limit", "noise", ""),
                rows=[_row(moments[i]) for i in shown],
            )
        ],
    )


def _row(moment: Record) -> tuple[str, ...]:
    return (
        f"{moment['step']:,}", number(moment["loss"], "not finite", digits=6),
        # an update that was not made has the rate 0
        number(moment["rate"] or None, "not made"), number(moment["limit"]), number(moment["noise"]), moment["event"],
    )  # fmt: skip


def _column(
    axes: Axes, records: Sequence[Record], steps: Sequence[int], key: str, color: str, style: Mapping[str, Any]
) -> list[float]:
    """Draw one of the numbers, gaps where there is none; what was drawn."""
    values = [drawable(record.get(key)) for record in records]
    if key == "rate":
        values = [value if value > 0 else math.nan for value in values]
    seen = [value for value in values if math.isfinite(value)]
    if seen:
        axes.plot(*_thin(steps, values), color=color, **style)
    return seen


def _smooth(values: Sequence[float]) -> list[float]:
    """An exponential average over a part of the run, without its bias at the start."""
    # divided by the sum of the weights, so that the first values are not pulled to 0
    keep = 1 - min(1.0, SMOOTH / max(len(values), 1))
    total, weight, smooth = 0.0, 0.0, list[float]()
    for value in values:
        if math.isfinite(value):
            total, weight = keep * total + value, keep * weight + 1
        smooth.append(total / weight if weight else math.nan)
    return smooth


def _thin(steps: Sequence[int], values: Sequence[float]) -> tuple[list[int], list[float]]:
    kept = spread(len(steps), MOST_POINTS)
    return [steps[i] for i in kept], [values[i] for i in kept]
