"""The view of audits: the verdict with its cause, rows, and the figure of planned and run rates."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from surefoot.report._canvas import ACCENT, BAD, LIMIT, Drawing, draw, note_at_top, plain_axis
from surefoot.report._view import number

__all__ = ["audit_figure", "page"]

Record = Mapping[str, Any]
View = dict[str, Any]

ROWS = 20


def page(audits: Sequence[Record]) -> View:
    """Everything on the page.

    Parameters
    ----------
    audits : sequence of mapping
        Records of kind "audit".
    """
    return {
        "title": "Did the schedule run as planned? " + " · ".join(audit["log"] for audit in audits),
        "audits": [_audit(audit) for audit in audits],
    }


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
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2, handlelength=1.8)
        plain_axis(axes, "y")
        axes.set_xlabel("step")
        axes.set_ylabel("rate")

    return draw(paint, width=7.2, height=3.4, measured=True)


def _audit(audit: Record) -> View:
    fine = audit["verdict"] == "as planned"
    shown = sorted({round(i * (len(audit["steps"]) - 1) / (ROWS - 1)) for i in range(ROWS)})
    return {
        "name": audit["log"],
        "word": audit["verdict"].capitalize(),
        "mood": "good" if fine else "bad",
        "cause": audit["cause"],
        "explanation": audit["explanation"],
        "fix": audit["fix"],
        "evidence": audit["evidence"],
        "facts": [
            ("plan", audit["plan"]),
            ("column", audit["column"] or "–"),
            ("rates", f"{audit['rows']:,}"),
            ("largest difference", f"{audit['largest_departure']:.2%} of the largest rate"),
        ],
        # the drawing is Surefoot's own and its text was escaped when it was written
        "svg": Markup(audit_figure(audit)),
        "rows": [_row(audit, i) for i in shown],
    }


def _row(audit: Record, i: int) -> tuple[str, ...]:
    planned, ran = audit["planned"][i], audit["ran"][i]
    ratio = ran / planned if planned else math.nan
    return f"{audit['steps'][i]:,}", number(planned), number(ran), number(ratio if math.isfinite(ratio) else None)
