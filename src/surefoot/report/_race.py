"""The view of races: every number as text, and one figure for each."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from surefoot.report._canvas import MUTED, SERIES, draw_row, log_axis
from surefoot.report._view import number

__all__ = ["gap_curves", "page"]

Record = Mapping[str, Any]
View = dict[str, Any]

# Curves are drawn down to this part of the tolerance; what lies below is rounding.
BELOW_TOLERANCE = 0.1
HIGHEST = 1e3
STYLES = ("--", ":", "-.")


def page(races: Sequence[Record]) -> View:
    """Everything on the page.

    Parameters
    ----------
    races : sequence of mapping
        Records of kind "race".
    """
    return {
        "title": "Which rule gets there first? " + " · ".join(race["problem"] for race in races),
        "races": [_race(race) for race in races],
    }


def gap_curves(race: Record) -> str:
    """The gap of each entry against gradients and against time."""
    entries = [entry for entry in race["entries"] if any(gap is not None for gap in entry["curve"]["gap"])]

    def painter(key: str, label: str) -> Any:
        def paint(axes: Axes) -> None:
            for level in (1e-3, 1e-6):
                axes.axhline(level, color=MUTED, lw=0.8, ls=":")
            axes.set_ylim(_floor(race), max(2.0, min(HIGHEST, 2 * _highest(entries))))
            log_axis(axes, "y")
            styles = _styles(entries)
            for entry, style in zip(entries, styles, strict=True):
                axes.plot(*_curve(entry, key, _floor(race)), label=entry["name"], **style)
            log_axis(axes, "x")
            axes.set_xlabel(label)

        return paint

    def first(axes: Axes) -> None:
        painter("gradients", "gradients")(axes)
        axes.set_ylabel("gap to the least loss")

    return draw_row([first, painter("seconds", "seconds")])


def _styles(entries: Sequence[Record]) -> list[dict[str, Any]]:
    """Rules in colours, SciPy's methods in grey."""
    styles: list[dict[str, Any]] = []
    counts = [0, 0]
    for entry in entries:
        k = counts[entry["baseline"]]
        counts[entry["baseline"]] += 1
        if entry["baseline"]:
            styles.append({"color": MUTED, "ls": STYLES[k % len(STYLES)], "lw": 1.6})
        else:
            styles.append({"color": SERIES[k % len(SERIES)], "ls": "-" if k < len(SERIES) else "--", "lw": 1.8})
    return styles


def _race(race: Record) -> View:
    gaps = list(race["entries"][0]["reached"]) if race["entries"] else []
    best = {gap: min((e["reached"][gap] for e in race["entries"] if e["reached"][gap]), default=None) for gap in gaps}
    return {
        "name": race["problem"],
        "finding": race["finding"],
        "facts": [
            ("loss at the start", number(race["initial"])),
            ("least loss", f"{number(race['least']['value'], digits=8)}: {race['least']['how']}"),
            ("over at a gap of", number(race["tol"])),
            ("at most", f"{race['steps']:,} gradients each"),
        ],
        "gaps": [number(float(gap)) for gap in gaps],
        "entries": [_entry(entry, gaps, best) for entry in race["entries"]],
        # the drawing is Surefoot's own and its text was escaped when it was written
        "figure": Markup(gap_curves(race)),
    }


def _entry(entry: Record, gaps: Sequence[str], best: Mapping[str, int | None]) -> View:
    counts = [(entry["reached"][gap], best[gap]) for gap in gaps]
    return {
        "name": entry["name"],
        "baseline": entry["baseline"],
        "counts": [(f"{n:,}", n == least) if n else (f"> {entry['gradients']:,}", False) for n, least in counts],
        "final": number(entry["final"], "not finite", digits=2),
        "time": f"{number(1e3 * entry['seconds'], digits=3)} ms"
        if entry["seconds"] < 1
        else f"{entry['seconds']:.3g} s",
        "rejected": f"{entry['rejected']:,}",
        "word": entry["ending"] + (f": {entry['stopped']}" if entry["stopped"] else ""),
        "bad": entry["ending"] in ("diverged", "oscillating"),
        "evidence": entry["evidence"],
    }


def _floor(race: Record) -> float:
    return BELOW_TOLERANCE * race["tol"]


def _highest(entries: Sequence[Record]) -> float:
    return max((gap for entry in entries for gap in entry["curve"]["gap"] if gap is not None), default=1.0)


def _curve(entry: Record, key: str, floor: float) -> tuple[list[float], list[float]]:
    """Points that a logarithmic axis can take; one that fell below the floor is drawn at it."""
    pairs = zip(entry["curve"][key], entry["curve"]["gap"], strict=True)
    shown = [(float(x), max(gap, floor)) for x, gap in pairs if gap is not None and gap < math.inf and x > 0]
    return [x for x, _ in shown], [gap for _, gap in shown]
