"""The view of sweeps: every number as text, and one figure for each."""

import math
from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes

from surefoot.report._canvas import (
    ACCENT,
    BAD,
    GOOD,
    LIMIT,
    MUTED,
    Drawing,
    draw_stack,
    fit_axis,
    legend_above,
    log_axis,
    note_at_top,
)
from surefoot.report._code import line_of
from surefoot.report._numbers import number
from surefoot.report._page import MOODS, Cell, Figure, Record, Section, Table, as_record, view

# Colour and marker of each verdict, so that verdicts differ without colour too.
COLOURS = {"good": GOOD, "slow": ACCENT, "too small": MUTED, "oscillating": LIMIT, "collapsed": BAD, "diverged": BAD}
MARKERS = {"slow": "s", "too small": "D", "oscillating": "^", "collapsed": "v", "diverged": "x"}
# Room beyond the outermost rates.
MARGIN = 1.15


def sweep_figure(sweep: Any) -> Drawing:
    """Final loss against the rate, coloured by verdict, and the period of the end below it.

    Parameters
    ----------
    sweep : Sweep or mapping
        Sweep from `surefoot.trials.sweep`, or its `to_dict`.

    Returns
    -------
    Drawing
        An ``<svg>`` element.
    """
    record = as_record(sweep)
    outcomes = record["outcomes"]
    rates = [o["rate"] for o in outcomes]

    def losses(axes: Axes) -> None:
        # where a run that diverged was stopped says nothing: it is drawn at the top
        kept = [o["loss"] for o in outcomes if math.isfinite(o["loss"]) and o["ending"] != "diverged"]
        shown = [*kept, record["initial"]]
        top = max(shown)
        axes.axhline(record["initial"], color=MUTED, lw=0.9, ls=":")
        for word, colour in COLOURS.items():
            some = [o for o in outcomes if o["ending"] == word]
            heights = [min(o["loss"], top) if math.isfinite(o["loss"]) else top for o in some]
            if some:
                axes.plot([o["rate"] for o in some], heights, MARKERS.get(word, "o"), ms=6.5, color=colour, label=word)
        fit_axis(axes, "y", shown)
        axes.set_ylabel("final loss")
        legend_above(axes, 6, side="left")

    def periods(axes: Axes) -> None:
        seen = [o for o in outcomes if o["period"]]
        none = [o["rate"] for o in outcomes if not o["period"] and math.isfinite(o["loss"])]
        axes.plot([o["rate"] for o in seen], [o["period"] for o in seen], ".", ms=6, color=ACCENT)
        axes.plot(none, [0.7] * len(none), "|", ms=5, color=MUTED)
        axes.set_yscale("log", base=2)
        axes.set_ylim(0.55, 45)
        axes.set_yticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
        axes.set(xlabel="rate", ylabel="period")

    def against_the_rate(paint: Callable[[Axes], None], *, named: bool) -> Callable[[Axes], None]:
        def both(axes: Axes) -> None:
            axes.set_xlim(min(rates) / MARGIN, max(rates) * MARGIN)
            log_axis(axes, "x")
            paint(axes)
            if math.isfinite(record["limit"]):
                axes.axvline(record["limit"], color=LIMIT, lw=1.0, ls="--")
                if named:
                    note_at_top(axes, record["limit"], "limit at the start", LIMIT)

        return both

    # the legend stands above the axes
    paints = [against_the_rate(losses, named=False), against_the_rate(periods, named=True)]
    return draw_stack(paints, (2.4, 1.0), width=7.8, height=4.6, above=0.2)


@view(
    title="Where does each rate lead?",
    trust=(
        "Each run is a real one, from the same start, with the gradient of all the data that was given. The "
        "stability limit is a linear claim at the start: curvature changes on the way, so rates above it may do "
        "well and rates below it fail. A period is seen within a tolerance; a run that still creeps, and one that "
        "never repeats itself, show none."
    ),
)
def page(sweep: Record) -> Section:
    outcomes = sweep["outcomes"]
    caption = (
        "The loss at the end of each run, coloured by its verdict, with the loss at the start dotted; below, the "
        "period that the states settled to, a tick at the bottom where none was seen."
    )
    return Section(
        title=sweep["problem"],
        lead=f"{sweep['finding']}.",
        code=_code(sweep),
        facts=[
            ("method", sweep["method"]),
            ("steps of each run", f"{sweep['steps']:,}"),
            ("loss at the start", number(sweep["initial"])),
            ("stability limit at the start", "none" if math.isinf(sweep["limit"]) else number(sweep["limit"])),
            *([("gradients cut to", number(sweep["clip"]))] if sweep["clip"] is not None else []),
        ],
        figures=[Figure(drawing=sweep_figure(sweep), caption=caption, wide=True)],
        tables=[
            Table(
                title="Every rate",
                about=f"{len(outcomes)} runs",
                open=True,
                heads=("rate", "x limit", "final loss", "lowest", "period", "verdict"),
                rows=[_row(outcome, sweep["limit"]) for outcome in outcomes],
            ),
            Table(
                title="What each run showed",
                heads=("rate", "evidence"),
                rows=[(number(o["rate"]), o["evidence"]) for o in outcomes if o["evidence"]],
            ),
        ],
    )


def _code(sweep: Record) -> str:
    """The line for the rate at which the loss ends lowest; none where gradients were cut, which it does not do."""
    finite = [outcome for outcome in sweep["outcomes"] if math.isfinite(outcome["loss"])]
    if not finite or sweep["clip"] is not None:
        return ""
    return line_of(sweep["method"], min(finite, key=lambda outcome: outcome["loss"])["rate"])


def _row(outcome: Record, limit: float) -> tuple[str | Cell, ...]:
    return (
        number(outcome["rate"]),
        "-" if not limit or math.isinf(limit) else f"{outcome['rate'] / limit:.3g}",
        number(outcome["loss"], "not finite"),
        number(outcome["best"]),
        f"{outcome['period']}" if outcome["period"] else "-",
        Cell(outcome["ending"], mood=MOODS[outcome["ending"]]),
    )
