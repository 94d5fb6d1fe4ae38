"""The view of a run's failure: what the log shows, its causes, and the curves with what happened marked in them."""

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from surefoot.report._canvas import (
    ACCENT,
    BAD,
    FAR_APART,
    INK,
    LIMIT,
    MUTED,
    Drawing,
    draw_stack,
    legend_above,
    log_axis,
    note_at_top,
)
from surefoot.report._page import MOODS, Figure, Listing, Record, Section, view

# More words than these over one another cannot be read.
MARKS = 5
# The curves from the top, with the names of their axes.
LABELS = {"loss": "loss", "norm": "gradient norm", "rate": "rate", "scale": "loss scale"}


def why_figure(answer: Record) -> Drawing:
    """The curves that were logged over one another, with what happened marked.

    Parameters
    ----------
    answer : mapping
        A record of kind "why", as `surefoot.Why.to_dict` gives it.

    Returns
    -------
    Drawing
        An ``<svg>`` element.

    Examples
    --------
    >>> from surefoot import why
    >>> from surefoot.report.figures import why_figure
    >>> why_figure(why({"step": range(9), "loss": [2.0**k for k in range(9)], "lr": [0.3] * 9}).to_dict())[:4]
    '<svg'
    """
    curves = answer["curves"]
    roles = [role for role in LABELS if role in curves]
    paints = [_panel(answer, role, last=role == roles[-1], first=role == roles[0]) for role in roles]
    heights = [2.2 if role == "loss" else 1.0 for role in roles]
    return draw_stack(paints, heights, width=7.8, height=1.0 + 1.5 * sum(heights) / 1.6, above=0.2)


def _panel(answer: Record, role: str, *, last: bool, first: bool) -> Callable[[Axes], None]:
    curve = answer["curves"][role]
    held_out = answer["curves"].get("validation") if role == "loss" else None

    def paint(axes: Axes) -> None:
        one = len(curve["values"]) == 1
        axes.plot(curve["steps"], curve["values"], color=ACCENT, lw=1.3, marker="o" if one else "", label=LABELS[role])
        shown = list(curve["values"])
        if held_out is not None and held_out["values"]:
            axes.plot(held_out["steps"], held_out["values"], color=INK, lw=1.2, ls="--", label="held-out loss")
            shown += held_out["values"]
            legend_above(axes, 2)
        axes.margins(y=0.12)  # room for the words at the top
        if shown and min(shown) > 0 and max(shown) / min(shown) > FAR_APART:
            log_axis(axes, "y")
        else:
            axes.yaxis.set_major_formatter(FuncFormatter(_short))
        for step in curve["broken"][:1]:
            axes.axvline(step, color=BAD, lw=1.2)
        _mark(axes, answer["marks"], named=first)
        axes.set_ylabel(LABELS[role])
        if last:
            axes.set_xlabel(answer["unit"])

    return paint


def _short(value: float, _: int | None = None) -> str:
    """0.25 or 3e-4: a rate has more zeros than there is room for."""
    plain = value == 0 or 1e-3 <= abs(value) < 1e5
    return f"{value:.3g}" if plain else f"{value:.2g}" if "e" in f"{value:.2g}" else f"{value:.1e}".replace("e-0", "e-")


def _mark(axes: Axes, marks: Sequence[Sequence[Any]], *, named: bool) -> None:
    low, high = axes.get_xlim()
    # words of one step share its line, and each further step has a line of text of its own
    words: dict[float, list[str]] = {}
    for step, text in marks:
        if text not in words.setdefault(step, []):
            words[step].append(text)
    for line, (step, texts) in enumerate(list(words.items())[:MARKS]):
        axes.axvline(step, color=MUTED if texts == ["spike"] else LIMIT, lw=1.0, ls=":")
        if named:
            note_at_top(axes, step, "; ".join(texts), BAD, right=step < (low + high) / 2, line=line)


@view(
    title="What became of the run?",
    trust=(
        "What the log shows is read off it. Causes are conclusions from that, ordered by how much speaks for them; "
        "only a cause that the log shows by itself, such as a rate of 0, is called one without reserve. A log sees "
        "what was logged: what happened between two rows, or in a quantity that was not written down, is not in it."
    ),
)
def page(answer: Record) -> Section:
    certain = len(answer["causes"]) == 1 and answer["causes"][0]["certain"]
    causes = [f"{cause['word']}: {cause['says']}" for cause in answer["causes"]]
    figure = Figure(
        title="What the log shows",
        drawing=why_figure(answer) if answer["curves"] else "",
        caption="Full lines across mark the first value that is not finite; dotted ones what is named at the top.",
        wide=True,
    )
    return Section(
        title=answer["log"],
        word=answer["verdict"].capitalize(),
        mood=MOODS[answer["verdict"]],
        lead=f"{answer['summary']}.",
        findings=[
            *(finding["says"] for finding in answer["findings"]),
            Listing(title="The cause" if certain else "What would explain it, the likeliest first", lines=causes),
            Listing(title="Try first", lines=answer["try_first"], ordered=True),
            Listing(title="What would tell more", lines=answer["measures"]),
        ],
        facts=[("", note) for note in answer["notes"]],
        figures=[figure] if answer["curves"] else [],
    )
