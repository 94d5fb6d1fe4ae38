"""The view of audits: the verdict with its cause, rows, and the figure of planned and run rates."""

import math

from matplotlib.axes import Axes

from surefoot.report._canvas import ACCENT, BAD, LIMIT, Drawing, draw, legend_above, note_at_top, plain_axis
from surefoot.report._numbers import number
from surefoot.report._page import Figure, Record, Section, Table, view
from surefoot.tables import spread

# By convention: as many rows as fit on a screen.
ROWS = 20


def audit_figure(audit: Record) -> Drawing:
    """Planned and run rates against the step.

    Parameters
    ----------
    audit : mapping
        A record of kind "audit", as `surefoot.Audit.to_dict` gives it.

    Returns
    -------
    Drawing
        An ``<svg>`` element.

    Examples
    --------
    >>> from surefoot import audit
    >>> from surefoot.report.figures import audit_figure
    >>> audit_figure(audit([0.1] * 20, "constant:0.1").to_dict())[:4]
    '<svg'
    """
    steps, planned, ran = audit["steps"], audit["planned"], audit["ran"]

    def paint(axes: Axes) -> None:
        axes.plot(steps, planned, color=LIMIT, lw=1.4, ls="--", label="planned")
        axes.plot(steps, ran, color=ACCENT, lw=1.6, marker="o" if len(steps) == 1 else "", label="ran")
        axes.margins(y=0.12)  # room for the words at the top
        departs = audit["first_departure"]
        if departs is not None:
            axes.axvline(departs, color=BAD, lw=1.0, ls=":")
            left = departs > sum(axes.get_xlim()) / 2
            note_at_top(axes, departs, f"departs at {departs}", BAD, right=not left)
        legend_above(axes, 2)
        plain_axis(axes, "y")
        axes.set(xlabel="step", ylabel="rate")

    return draw(paint, width=7.2, height=3.4, measured=True)


@view(
    title="Did the schedule run as planned?",
    trust=(
        "A cause is named only if it explains every rate of the log to within the tolerance, and the simplest one "
        "is; where the log cannot tell two apart, both are named. An audit sees what was logged: a schedule and a "
        "log that go wrong together look right."
    ),
)
def page(audit: Record) -> Section:
    shown = spread(len(audit["steps"]), ROWS)
    fix = [f"To fix it: {audit['fix']}"] if audit["fix"] else []
    return Section(
        title=audit["log"],
        about=audit["cause"],
        word=audit["verdict"].capitalize(),
        mood="good" if audit["verdict"] == "as planned" else "bad",
        lead=audit["explanation"],
        findings=[*fix, *audit["evidence"]],
        facts=[
            ("plan", audit["plan"]),
            ("column", audit["column"] or "–"),
            ("rates", f"{audit['rows']:,}"),
            ("largest difference", f"{audit['largest_departure']:.2%} of the largest rate"),
        ],
        figures=[
            Figure(
                title="Planned and run",
                drawing=audit_figure(audit),
                caption="The rates of the log, and those of the plan at the same steps.",
                wide=True,
            )
        ],
        tables=[
            Table(
                title="Rates",
                about=f"{len(shown)} of them",
                heads=("step", "planned", "ran", "ran / planned"),
                rows=[_row(audit, i) for i in shown],
            )
        ],
    )


def _row(audit: Record, i: int) -> tuple[str, ...]:
    planned, ran = audit["planned"][i], audit["ran"][i]
    ratio = ran / planned if planned else math.nan
    return f"{audit['steps'][i]:,}", number(planned), number(ran), number(ratio if math.isfinite(ratio) else None)
