"""The view of a width study: limits and best rates against width."""

from collections.abc import Callable

from matplotlib.axes import Axes

from surefoot.report._canvas import GOOD, LIMIT, MUTED, draw_row, log_axis
from surefoot.report._numbers import number
from surefoot.report._page import Figure, Record, Section, Table

# Parametrisations as papers write them.
NAMES = {"standard": "standard", "ntk": "NTK", "mup": "muP"}
# Entry of a point, colour, dash, marker and label of each curve.
CURVES = (("predicted", LIMIT, "-", "s", "limit, predicted"), ("measured", MUTED, "--", "D", "limit, measured"),
          ("best", GOOD, "-", "o", "best in short runs"))  # fmt: skip


def section(study: Record) -> Section:
    """What the page shows of a width study.

    Parameters
    ----------
    study : mapping
        Record of a `WidthStudy`.
    """
    lead = "As the width grows the best rate goes like " + "; ".join(
        f"width to the power {powers['best']:+.2f} ({_title(name)}; the limit {powers['predicted']:+.2f})"
        for name, powers in study["slopes"].items()
    )
    caption = (
        "The linear limit at the start, predicted and measured, and the rate of the least loss in short runs: "
        + ", ".join(_title(name) for name in study["slopes"])
        + " from left to right."
    )
    return Section(
        title="Rate against width",
        lead=f"{lead}.",
        notes=[
            f"The predicted limit needs no network. Best: the least loss after {study['steps']} steps, in the mean of "
            f"{study['networks']} random networks. Powers are fitted to these widths."
        ],
        figures=[
            Figure(
                title="How must the rate change with width?",
                drawing=rates_against_width(study),
                caption=caption,
                wide=True,
            )
        ],
        tables=[
            Table(
                title="Rates",
                about="by parametrisation and width",
                heads=("parametrisation", "width", "predicted limit", "measured limit", "best rate", "best / limit"),
                rows=[_row(point) for point in study["points"]],
            )
        ],
    )


def rates_against_width(study: Record) -> str:
    """One panel for each parametrisation."""
    rates = [point[what] for point in study["points"] for what, *_ in CURVES]
    widths = [point["width"] for point in study["points"]]

    def panel(name: str) -> Callable[[Axes], None]:
        points = sorted((p for p in study["points"] if p["parametrization"] == name), key=lambda p: p["width"])

        def paint(axes: Axes) -> None:
            axes.set_xlim(min(widths) / 1.2, max(widths) * 1.2)
            axes.set_ylim(min(rates) / 2, max(rates) * 2)
            log_axis(axes, "x")
            log_axis(axes, "y")
            for what, color, style, marker, label in CURVES:
                axes.plot(
                    [p["width"] for p in points], [p[what] for p in points], color=color, ls=style, marker=marker, ms=4,
                    label=label,
                )  # fmt: skip
            axes.set_xlabel(f"width, {_title(name)}")

        return paint

    return draw_row([panel(name) for name in study["slopes"]], "learning rate")


def _title(parametrization: str) -> str:
    return NAMES.get(parametrization, parametrization)


def _row(point: Record) -> tuple[str, ...]:
    return (
        _title(point["parametrization"]),
        f"{point['width']:,}",
        number(point["predicted"]),
        number(point["measured"]),
        number(point["best"]),
        number(point["best"] / point["predicted"], digits=3),
    )
