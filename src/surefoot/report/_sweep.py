"""The view of sweeps: every number as text, and one figure for each."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from surefoot.report._canvas import ACCENT, BAD, GOOD, LIMIT, MUTED, Drawing, draw_stack, log_axis, note_at_top
from surefoot.report._view import number

__all__ = ["page", "sweep_figure"]

Record = Mapping[str, Any]
View = dict[str, Any]

COLOURS = {"good": GOOD, "slow": ACCENT, "too small": MUTED, "oscillating": LIMIT, "collapsed": BAD, "diverged": BAD}
MARKERS = {"collapsed": "v", "diverged": "x"}
MOODS = {"good": "good", "oscillating": "limit", "collapsed": "bad", "diverged": "bad"}
# A log axis is for losses that are far apart; they must be positive.
FAR_APART = 20.0
# Room beyond the outermost rates.
MARGIN = 1.15


def page(sweeps: Sequence[Record]) -> View:
    """Everything on the page.

    Parameters
    ----------
    sweeps : sequence of mapping
        Records of kind "sweep".
    """
    return {
        "title": "Where does each rate lead? " + " · ".join(sweep["problem"] for sweep in sweeps),
        "sweeps": [_sweep(sweep) for sweep in sweeps],
    }


def sweep_figure(sweep: Any) -> Drawing:
    """Final loss against the rate, coloured by verdict, and the period of the end below it.

    Parameters
    ----------
    sweep : Sweep or mapping
        From `surefoot.trials.sweep`, or its `to_dict`.

    Returns
    -------
    Drawing
        An ``<svg>`` element.
    """
    record: Record = sweep if isinstance(sweep, Mapping) else sweep.to_dict()
    outcomes = record["outcomes"]
    rates = [o["rate"] for o in outcomes]

    def losses(axes: Axes) -> None:
        shown = [o["loss"] for o in outcomes if o["loss"] is not None] + [record["initial"]]
        top = max(shown)
        axes.axhline(record["initial"], color=MUTED, lw=0.9, ls=":")
        for word, colour in COLOURS.items():
            some = [o for o in outcomes if o["ending"] == word]
            heights = [top if o["loss"] is None else o["loss"] for o in some]
            if some:
                axes.plot([o["rate"] for o in some], heights, MARKERS.get(word, "o"), ms=5, color=colour, label=word)
        if min(shown) > 0 and top / min(shown) > FAR_APART:
            log_axis(axes, "y")
        axes.set_ylabel("final loss")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=6, borderaxespad=0.1, columnspacing=1.2)

    def periods(axes: Axes) -> None:
        seen = [o for o in outcomes if o["period"]]
        none = [o["rate"] for o in outcomes if not o["period"] and o["loss"] is not None]
        axes.plot([o["rate"] for o in seen], [o["period"] for o in seen], ".", ms=6, color=ACCENT)
        axes.plot(none, [0.7] * len(none), "|", ms=5, color=MUTED)
        axes.set_yscale("log", base=2)
        axes.set_ylim(0.55, 45)
        axes.set_yticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
        axes.set_ylabel("period")
        axes.set_xlabel("rate")

    def against_the_rate(paint: Callable[[Axes], None], *, named: bool) -> Callable[[Axes], None]:
        def both(axes: Axes) -> None:
            axes.set_xlim(min(rates) / MARGIN, max(rates) * MARGIN)
            log_axis(axes, "x")
            paint(axes)
            if record["limit"] is not None:
                axes.axvline(record["limit"], color=LIMIT, lw=1.0, ls="--")
                if named:
                    note_at_top(axes, record["limit"], "limit at the start", LIMIT)

        return both

    # the legend stands above the axes
    paints = [against_the_rate(losses, named=False), against_the_rate(periods, named=True)]
    return draw_stack(paints, (2.4, 1.0), width=7.8, height=4.6, above=0.2)


def _sweep(sweep: Record) -> View:
    return {
        "name": sweep["problem"],
        "finding": sweep["finding"],
        "facts": [
            ("method", sweep["method"]),
            ("steps of each run", f"{sweep['steps']:,}"),
            ("loss at the start", number(sweep["initial"])),
            ("stability limit at the start", number(sweep["limit"], "none")),
            *([("gradients cut to", number(sweep["clip"]))] if sweep["clip"] is not None else []),
        ],
        "outcomes": [_outcome(o, sweep["limit"]) for o in sweep["outcomes"]],
        # the drawing is Surefoot's own and its text was escaped when it was written
        "figure": Markup(sweep_figure(sweep)),
    }


def _outcome(outcome: Record, limit: float | None) -> View:
    return {
        "rate": number(outcome["rate"]),
        "factor": "-" if not limit or math.isinf(limit) else f"{outcome['rate'] / limit:.3g}",
        "loss": number(outcome["loss"], "not finite"),
        "best": number(outcome["best"]),
        "period": f"{outcome['period']}" if outcome["period"] else "-",
        "word": outcome["ending"],
        "mood": MOODS.get(outcome["ending"], ""),
        "evidence": outcome["evidence"],
    }
