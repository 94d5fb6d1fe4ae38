"""The view of races: every number as text, and one figure for each."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from surefoot.report._canvas import MUTED, SERIES, draw_row, log_axis
from surefoot.report._numbers import number
from surefoot.report._page import MOODS, Cell, Figure, Record, Section, Table, view
from surefoot.tables import spread

# Curves are drawn down to this part of the tolerance; what lies below is rounding.
BELOW_TOLERANCE = 0.1
# A run that diverged would leave no room for the others: the axis ends here, in units of the first gap.
HIGHEST = 1e3
# Points of a curve: a drawing's axes have fewer columns.
MOST_POINTS = 300
# Dashes beside the colours, which not everyone tells apart.
RULES, OUTSIDE = ("-", "--", "-."), (":", "-.")


def gap_curves(race: Record) -> str:
    """The gap of each entry against gradients and against time."""
    entries = [entry for entry in race["entries"] if any(map(math.isfinite, entry["gap"]))]
    floor = BELOW_TOLERANCE * race["tol"]

    def panel(key: str) -> Callable[[Axes], None]:
        def paint(axes: Axes) -> None:
            for level in (1e-3, 1e-6):
                axes.axhline(level, color=MUTED, lw=0.8, ls=":")
            highest = max((gap for entry in entries for gap in entry["gap"] if math.isfinite(gap)), default=1.0)
            axes.set_ylim(floor, max(2.0, min(HIGHEST, 2 * highest)))
            log_axis(axes, "y")
            styles = _styles(entries)
            for entry, style in zip(entries, styles, strict=True):
                axes.plot(*_curve(entry, key, floor), label=entry["name"], **style)
            log_axis(axes, "x")
            axes.set_xlabel(key)

        return paint

    return draw_row([panel("gradients"), panel("seconds")], "gap to the least loss")


def _styles(entries: Sequence[Record]) -> list[dict[str, Any]]:
    """Rules in colours, SciPy's methods in grey."""
    styles: list[dict[str, Any]] = []
    counts = [0, 0]
    for entry in entries:
        k = counts[entry["baseline"]]
        counts[entry["baseline"]] += 1
        if entry["baseline"]:
            styles.append({"color": MUTED, "ls": OUTSIDE[k % len(OUTSIDE)], "lw": 1.6})
        else:
            styles.append({"color": SERIES[k % len(SERIES)], "ls": RULES[k % len(RULES)], "lw": 1.8})
    return styles


@view(
    title="Which rule gets there first?",
    trust=(
        "One gradient is one unit: a value comes with it for nothing, and a product with the Hessian of a "
        "quadratic counts the same. Trials that a rule takes back are counted. Counts are the same on every "
        "machine; times are this one's, and include what the rule itself costs. The gap is judged by a least loss "
        "that was computed beforehand by other means; each table says how, and whether that is proved. One start "
        "and one problem: another may rank them otherwise."
    ),
)
def page(race: Record) -> Section:
    entries = race["entries"]
    gaps = list(entries[0]["reached"]) if entries else []
    best = {gap: min((e["reached"][gap] for e in entries if e["reached"][gap]), default=None) for gap in gaps}
    heads = (
        "rule",
        *(f"gradients to {number(float(gap))}" for gap in gaps),
        "final gap",
        "time",
        "taken back",
        "verdict",
    )
    caption = (
        "How far the lowest loss so far is above the least one, as a part of the distance at the start, against "
        "gradients and against time. SciPy's methods are drawn in grey, dotted."
    )
    return Section(
        title=race["problem"],
        lead=f"{race['finding']}.",
        code=_code(entries, gaps),
        facts=[
            ("loss at the start", number(race["initial"])),
            ("least loss", f"{number(race['least']['value'], digits=8)}: {race['trust']}"),
            ("over at a gap of", number(race["tol"])),
            ("at most", f"{race['steps']:,} gradients each"),
        ],
        figures=[Figure(drawing=gap_curves(race), caption=caption, wide=True)],
        tables=[
            Table(heads=heads, rows=[_row(entry, gaps, best) for entry in entries]),
            Table(
                title="What each run showed",
                heads=("rule", "verdict, with the evidence"),
                rows=[(entry["name"], entry["evidence"]) for entry in entries if entry["evidence"]],
            ),
        ],
    )


def _code(entries: Sequence[Record], gaps: Sequence[str]) -> str:
    """The line that runs the first of the rules: the fewest gradients to the smallest gap, else the smallest gap."""
    rules = [entry for entry in entries if not entry["baseline"] and entry["ending"] not in ("diverged", "oscillating")]
    if not rules:
        return ""
    first = min(rules, key=lambda entry: (entry["reached"][gaps[-1]] or math.inf, entry["final"]))
    return f'run = sf.trials.run(problem, "{first["name"]}")'


def _row(entry: Record, gaps: Sequence[str], best: Mapping[str, int | None]) -> list[str | Cell]:
    seconds = entry["seconds"][-1] if entry["seconds"] else 0.0
    return [
        entry["name"] + (" (SciPy)" if entry["baseline"] else ""),
        *(_count(entry["reached"][gap], best[gap], entry["gradients"]) for gap in gaps),
        number(entry["final"], "not finite", digits=2),
        f"{number(1e3 * seconds, digits=3)} ms" if seconds < 1 else f"{seconds:.3g} s",
        f"{entry['rejected']:,}",
        Cell(entry["ending"] + (f": {entry['stopped']}" if entry["stopped"] else ""), mood=MOODS[entry["ending"]]),
    ]


def _count(count: int | None, least: int | None, spent: int) -> str | Cell:
    if not count:
        return f"> {spent:,}"
    return Cell(f"{count:,}", mood="good", strong=True) if count == least else f"{count:,}"


def _curve(entry: Record, key: str, floor: float) -> tuple[list[float], list[float]]:
    """Points that a logarithmic axis can take; one that fell below the floor is drawn at it."""
    across = range(1, entry["gradients"] + 1) if key == "gradients" else entry["seconds"]
    pairs = [(float(across[k]), entry["gap"][k]) for k in spread(entry["gradients"], MOST_POINTS, powers=True)]
    shown = [(x, max(gap, floor)) for x, gap in pairs if math.isfinite(gap) and x > 0]
    return [x for x, _ in shown], [gap for _, gap in shown]
