"""The view of runs: verdict, points on the way, and four figures."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from surefoot.report._canvas import ACCENT, BAD, LIMIT, MUTED, draw, drawable, fit_axis, legend_above
from surefoot.report._deblur import restoration
from surefoot.report._numbers import number
from surefoot.report._page import MOODS, Figure, Record, Section, Table, view
from surefoot.tables import spread

# More points than this are thinned: no screen has more columns.
MOST_POINTS, ROWS = 1200, 20


def losses(run: Record) -> str:
    """Loss at every point; those that were taken back are marked."""
    trace = run["descent"]["trace"]
    return _against_points(trace, [drawable(value) for value in trace["loss"]], "loss", connected=True)


def gradient_norms(run: Record) -> str:
    """Gradient norm at every point."""
    trace = run["descent"]["trace"]
    norms = [drawable(value) for value in trace["gradient_norm"]]
    return _against_points(trace, norms, "gradient norm", connected=True)


def steps(run: Record) -> str:
    """Step to every point, with the limit of constant steps."""
    trace, limit = run["descent"]["trace"], run["limit"]
    moves = [value if value > 0 else math.nan for value in map(drawable, trace["step"])]
    bound = [limit] if limit is not None and 0 < limit < math.inf else []
    lines = [(value, f"limit {value:.4g}", LIMIT, "-") for value in bound]
    return _against_points(trace, moves, "step", lines, spanning=bound)


def reaches(run: Record) -> str:
    """Step times curvature along each move: 1 is the minimum along it, 2 as high on the other side."""
    trace = run["descent"]["trace"]
    values = [
        math.nan if not step * kappa > 0 else min(max(step * kappa, 1e-3), 1e3)
        for step, kappa in zip(trace["step"], trace["curvature"], strict=True)
    ]
    lines = [(2.0, "2: as high as before", LIMIT, "-"), (1.0, "1: the minimum", MUTED, ":")]
    return _against_points(trace, values, "step × curvature along the move", lines, spanning=[0.5, 4.0])


@view(
    title="How did the run go?",
    trust=(
        "The verdict is read off the run: the rate is fitted to its second half, and the moves still needed are an "
        "extrapolation of it. The curvature along a move is its average, from the change of the gradient: exact "
        "for a quadratic, local elsewhere. A limit is a claim about constant steps; for a problem whose curvature "
        "varies it is a bound over all points, and the path may bear more."
    ),
    subject=lambda run: f"{run['problem']}, {run['rule']}",
)
def page(run: Record) -> list[Section]:
    descent, trace = run["descent"], run["descent"]["trace"]
    verdict = descent["verdict"]
    norm = number(descent["gradient_norm"], "not finite")
    points = spread(len(trace["loss"]), ROWS, powers=True)
    section = Section(
        title=run["problem"],
        about=run["rule"],
        word=verdict["ending"].capitalize(),
        mood=MOODS[verdict["ending"]],
        lead=f"{descent['stopped'].capitalize()}: loss {number(descent['loss'], digits=8)}, gradient norm {norm} "
        f"after {descent['evaluations']:,} gradients.",
        findings=[finding.removeprefix(f"{verdict['ending']}: ") for finding in run["findings"]],
        facts=[
            ("method", run["method"]),
            ("stable below", "–" if run["limit"] is None else f"{number(run['limit'])} ({run['limit_is']})"),
            ("time", f"{run['seconds']:.2g} s"),
        ],
        figures=[
            Figure(title="Loss", drawing=losses(run), caption="At every point tried; crosses were taken back."),
            Figure(
                title="Gradient norm",
                drawing=gradient_norms(run),
                caption="It falls on a straight line where convergence is linear.",
            ),
            Figure(
                title="Step",
                drawing=steps(run),
                caption="The step to every point, and the largest that is stable as a constant.",
            ),
            Figure(
                title="How far along the move?",
                drawing=reaches(run),
                caption="Step times curvature along each move: at 1 it ends at the minimum along it, above 2 higher "
                "than it began, to second order.",
            ),
        ],
        tables=[
            Table(
                title="Points on the way",
                about=f"{len(points)} of {len(trace['loss']):,}",
                heads=("point", "loss", "gradient norm", "step", "step × curvature", ""),
                rows=[_row(trace, k) for k in points],
            )
        ],
    )
    return [section, *restoration(run)]


def _row(trace: Record, k: int) -> tuple[str, ...]:
    step, kappa = trace["step"][k], trace["curvature"][k]
    note = "" if trace["accepted"][k] else "taken back"
    note += (": " if note and trace["reason"][k] else "") + trace["reason"][k]
    return (
        f"{k:,}", number(trace["loss"][k], "not finite", digits=8), number(trace["gradient_norm"][k], "not finite"),
        number(step), number(step * kappa), note,
    )  # fmt: skip


def _against_points(
    trace: Record,
    values: Sequence[float],
    label: str,
    lines: Sequence[tuple[float, str, str, str]] = (),
    *,
    spanning: Sequence[float] = (),
    connected: bool = False,
) -> str:
    """Values at the points of a run, with horizontal lines (height, name, colour, dash); NaN leaves a gap."""

    def paint(axes: Axes) -> None:
        fit_axis(axes, "y", [*(value for value in values if not math.isnan(value)), *spanning])
        _points(axes, trace, values, connected=connected)
        for height, name, color, dash in lines:
            axes.axhline(height, color=color, lw=1.4, ls=dash, label=name)
        legend_above(axes, 3)
        axes.set(xlabel="point", ylabel=label)

    return draw(paint, measured=True)


def _points(axes: Axes, trace: Record, values: Sequence[float], *, connected: bool) -> None:
    """Accepted points as a line or dots, those taken back as crosses."""
    kept = [k for k, accepted in enumerate(trace["accepted"]) if accepted and not math.isnan(values[k])]
    back = [k for k, accepted in enumerate(trace["accepted"]) if not accepted and not math.isnan(values[k])]
    kept = [kept[i] for i in spread(len(kept), MOST_POINTS)]
    back = [back[i] for i in spread(len(back), MOST_POINTS // 4)]
    style: dict[str, Any] = {"lw": 1.5} if connected else {"ls": "", "marker": "o", "ms": 2.6, "alpha": 0.75, "mew": 0}
    axes.plot(kept, [values[k] for k in kept], color=ACCENT, **style)
    if back:
        axes.plot(back, [values[k] for k in back], "x", ms=5, mew=1.3, color=BAD, label="taken back")
    axes.set_xlim(0, max(len(values) - 1, 1) + 0.5)
