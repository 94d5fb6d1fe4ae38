"""The figures of a report, each from a piece of the record."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from surefoot.report._canvas import (
    ACCENT,
    BAD,
    GOOD,
    INK,
    LARGEST,
    LIMIT,
    MUTED,
    SMALLEST,
    draw,
    drawable,
    fit_axis,
    legend_above,
    log_axis,
    note_at_top,
    plain_axis,
)
from surefoot.report._page import Record

# A spread of eigenvalues that a linear axis would crowd into one line.
WIDE = 300.0
# A lone logarithmic axis shows this many powers of ten of a curve that fell to rounding error.
DECADES = 18
# A diverged run may end anywhere; what lies this far above the start is drawn at the upper edge instead.
HEADROOM = 1.25
# By convention: more eigenvalues than this lie closer than the lines that mark them.
MOST_POINTS = 600


def overview(rows: Sequence[tuple[str, Record]]) -> str:
    """For each method: the range of usable steps, the suggestion and the linear limit.

    Parameters
    ----------
    rows : sequence of (name, recommendation record)
        Drawn from top to bottom.
    """

    def paint(axes: Axes) -> None:
        for i, (_, record) in enumerate(rows):
            y = len(rows) - 1 - i
            tried = [drawable(trial["step"]) for trial in record["trials"]]
            if tried:
                axes.plot([min(tried), max(tried)], [y, y], color=MUTED, lw=1, zorder=1, label="_" * (i > 0) + "tried")
            if record["usable"]:
                low, high = map(drawable, record["usable"])
                axes.plot(
                    [low, high], [y, y], color=GOOD, lw=9, alpha=0.35, zorder=2,
                    solid_capstyle="round", label="_" * (i != _first(rows, "usable")) + "usable",
                )  # fmt: skip
            if record["suggested"]:
                axes.plot(
                    drawable(record["suggested"]), y, "o", ms=8, color=GOOD, zorder=4,
                    label="_" * (i != _first(rows, "suggested")) + "suggested", ls="",
                )  # fmt: skip
            limit = _limit(record)
            if limit:
                axes.plot(limit, y, marker="|", ms=17, mew=2.4, ls="", color=LIMIT, zorder=3, label="_linear limit")
        axes.plot([], [], marker="|", ms=12, mew=2.4, ls="", color=LIMIT, label="linear limit")
        axes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.tick_params(axis="y", labelcolor=INK, length=0)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        log_axis(axes, "x")
        axes.set_xlabel("step")
        legend_above(axes, 4, side="left")

    return draw(paint, width=10.4, height=1.05 + 0.34 * len(rows), measured=True)


def spectrum(record: Record) -> str:
    """Eigenvalues or Ritz values as stems, with the interval of both ends."""
    measured = record["spectrum"]
    points = _points(record)
    ends = {name: measured[name] for name in ("smallest", "largest")}

    def paint(axes: Axes) -> None:
        xs = [complex(p).real for p in points]
        finite = xs + [e[k] for e in ends.values() for k in ("lower", "upper") if math.isfinite(e[k])]
        if any(isinstance(p, complex) and p.imag for p in points):
            axes.plot(xs, [p.imag for p in map(complex, points)], "o", ms=3.5, color=ACCENT, alpha=0.7)
            axes.set_ylabel("imaginary part")
        else:
            axes.vlines(xs, 0, 1, color=ACCENT, lw=1.1, alpha=0.75)
            axes.set_ylim(0, 1.45)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
        fit_axis(axes, "x", finite, far_apart=WIDE)
        if not points:
            axes.axvspan(min(finite), max(finite), color=ACCENT, alpha=0.1, lw=0)
        for name, end in ends.items():
            _interval(axes, name, end)
        exact = measured["points"] is not None
        what = "eigenvalue" if exact else "Ritz value (an eigenvalue estimate)"
        axes.set_xlabel(what if points else "every eigenvalue lies in here")

    return draw(paint)


def verification(record: Record) -> str:
    """The runs just below and just above the limit, on a logarithmic axis."""

    def paint(axes: Axes) -> None:
        top = bottom = 1.0
        for run in record["verification"]:
            values = [drawable(v) if v > 0 else math.nan for v in run["values"]]
            finite = [v for v in values if math.isfinite(v)]
            top, bottom = max([top, *finite]), min([bottom, *finite])
            # a dash beside the colour: one in twelve men sees green and red as one
            style = "-" if run["factor"] < 1 else "--"
            label = f"{run['factor']:g} x limit: {run['observed']}"
            axes.plot(values, style, color=GOOD if run["factor"] < 1 else BAD, label=label)
        axes.axhline(1.0, color=MUTED, lw=1, ls=":")
        axes.set_ylim(max(bottom, top * 10.0**-DECADES) / 2, top * 2)
        log_axis(axes, "y")
        axes.set(xlabel="iteration", ylabel="size relative to the first")
        axes.legend(loc="best")

    return draw(paint)


def amplification(record: Record) -> str:
    """Worst growth per step against the step, with 1 and the limit marked."""

    def paint(axes: Axes) -> None:
        steps = [pair[0] for pair in record["amplification"]]
        growth = [pair[1] for pair in record["amplification"]]
        axes.plot(steps, growth, color=ACCENT)
        above = [max(g, 1.0) for g in growth]
        axes.fill_between(steps, 1.0, above, color=BAD, alpha=0.16, lw=0)
        axes.axhline(1.0, color=MUTED, lw=1, ls=":")
        axes.set_xlim(min(steps), max(steps))
        log_axis(axes, "x")
        plain_axis(axes, "y")
        limit = _limit(record)
        if limit:
            axes.axvline(limit, color=LIMIT, lw=1.6)
            note_at_top(axes, limit, f"limit {limit:.4g}", LIMIT, right=False)
        axes.set(xlabel="step", ylabel="worst growth per step")

    return draw(paint)


def final_loss(record: Record, initial: float | None, constant: float | None) -> str:
    """Final loss of the short real runs against the step."""
    trials: list[dict[str, Any]] = [
        {"step": drawable(t["step"]), "ending": t["ending"], "final": _level(t["final"])} for t in record["trials"]
    ]
    initial, constant = _level(initial), _level(constant)
    ceiling = _ceiling(trials, initial, constant)

    def paint(axes: Axes) -> None:
        shown = [(t["step"], t["final"]) for t in trials if t["final"] is not None and t["final"] <= ceiling]
        beyond = [t["step"] for t in trials if t["final"] is None or t["final"] > ceiling]
        axes.plot(*zip(*shown, strict=True), "-", color=ACCENT, lw=1.3, alpha=0.8) if shown else None
        styles = {"good": ("o", GOOD), "slow": ("s", ACCENT), "no progress": ("D", MUTED), "diverged": ("v", BAD)}
        for ending, (marker, color) in styles.items():
            some = [
                (t["step"], t["final"]) for t in trials if t["ending"] == ending and (t["step"], t["final"]) in shown
            ]
            if some:
                axes.plot(*zip(*some, strict=True), marker, ms=6, color=color, label=ending)
        if beyond:
            axes.plot(
                # just inside the upper edge
                beyond, [0.97] * len(beyond), "x", ms=7, mew=1.8, color=BAD, clip_on=False,
                transform=axes.get_xaxis_transform(), label="diverged, off the scale",
            )  # fmt: skip
        _loss_lines(axes, initial, constant, ceiling)
        levels = (*(final for _, final in shown), initial, constant)
        fit_axis(axes, "y", (v for v in levels if v is not None and v <= ceiling), headroom=2.0)
        _step_marks(axes, record, [t["step"] for t in trials])
        axes.set(xlabel="step", ylabel="loss at the end of a short run")
        axes.legend(loc="best")

    return draw(paint)


def _loss_lines(axes: Axes, initial: float | None, constant: float | None, ceiling: float) -> None:
    for value, text, style in ((initial, "at the start", ":"), (constant, "best constant", "--")):
        if value is not None and value <= ceiling:
            axes.axhline(value, color=MUTED, lw=1, ls=style, label=text)


def _step_marks(axes: Axes, record: Record, steps: list[float]) -> None:
    if record["usable"]:
        axes.axvspan(*map(drawable, record["usable"]), color=GOOD, alpha=0.14, lw=0, label="usable")
    marks = [(_limit(record), "linear limit", LIMIT, "-"), (record["suggested"], "suggested", GOOD, "--")]
    for value, text, color, style in marks:
        if value and SMALLEST < value < LARGEST:
            axes.axvline(value, color=color, lw=1.5, ls=style, label=text, zorder=1)
            steps = [*steps, value]
    axes.set_xlim(min(steps) / 1.6, max(steps) * 1.6)
    log_axis(axes, "x")


def _ceiling(trials: Sequence[Record], initial: float | None, constant: float | None) -> float:
    """The highest loss worth a place on the axis: a little above what a run begins with."""
    references = [v for v in (initial, constant) if v is not None]
    finals = [t["final"] for t in trials if t["final"] is not None]
    if not references:
        return max(finals, default=1.0)
    lowest = min([*references, *finals])
    return max(references) + (HEADROOM - 1) * (max(references) - lowest)


def _points(record: Record) -> list[Any]:
    """Eigenvalues where they are known, else Ritz values; thinned where no eye could tell."""
    known = record["spectrum"]["points"]
    if isinstance(known, Mapping):
        points = list(map(complex, known["real"], known["imag"]))
    else:
        points = record["ritz"] if known is None else known
    if len(points) <= MOST_POINTS:
        return list(points)
    stride = math.ceil(len(points) / MOST_POINTS)
    return [points[0], *points[stride:-1:stride], points[-1]]


def _interval(axes: Axes, name: str, end: Record) -> None:
    lower, upper = end["lower"], end["upper"]
    known = [v for v in (lower, upper) if math.isfinite(v)]
    if not known:
        return
    left, right = axes.get_xlim()
    axes.axvspan(max(left, lower), min(right, upper), color=LIMIT, alpha=0.22, lw=0)
    axes.axvline(known[-1] if name == "largest" else known[0], color=LIMIT, lw=1.4)
    axes.set_xlim(left, right)
    low_side = name == "smallest"
    text = f"{known[0]:.4g}" if known[0] == known[-1] else f"[{known[0]:.4g}, {known[-1]:.4g}]"
    note_at_top(axes, known[0] if low_side else known[-1], f"{name}\n{text}", LIMIT, right=low_side)


def _limit(record: Record) -> float | None:
    """The linear limit where it is a positive number."""
    value = record["limits"]["curvature_limit"]
    return value if 0 < value < math.inf else None


def _level(value: float | None) -> float | None:
    """A loss that has a place on an axis."""
    return None if value is None or not math.isfinite(value) else drawable(value)


def _first(rows: Sequence[tuple[str, Record]], key: str) -> int:
    return next((i for i, (_, record) in enumerate(rows) if record[key]), -1)
