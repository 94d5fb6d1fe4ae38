"""Figures by themselves, as SVG or PNG: for a page or a paper of your own. Needs Matplotlib (the extra `report`)."""

from collections.abc import Callable, Mapping
from typing import Any

from surefoot.errors import InvalidInput
from surefoot.records import with_floats
from surefoot.report._advice_figures import overview
from surefoot.report._audit import audit_figure
from surefoot.report._density import density_figure
from surefoot.report._dynamics import basins, cobweb, orbit_diagram
from surefoot.report._order import order_figure
from surefoot.report._pilot import pilot_figure
from surefoot.report._race import gap_curves
from surefoot.report._range import range_figure
from surefoot.report._region import region_figure
from surefoot.report._residual import residual_figure
from surefoot.report._run import losses
from surefoot.report._save import save_figure, save_png, save_svg
from surefoot.report._sweep import sweep_figure
from surefoot.report._why import why_figure

__all__ = [
    "audit_figure",
    "basins",
    "cobweb",
    "density_figure",
    "figure_of",
    "orbit_diagram",
    "order_figure",
    "pilot_figure",
    "range_figure",
    "region_figure",
    "residual_figure",
    "save_figure",
    "save_png",
    "save_svg",
    "sweep_figure",
    "why_figure",
]

# The figure that says most of a record, by its kind.
_FIGURES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "advice": lambda record: overview([(r["label"], r) for r in record["recommendations"]]),
    "audit": audit_figure,
    "race": gap_curves,
    "range test": range_figure,
    "run": losses,
    "sweep": sweep_figure,
    "training run": lambda record: pilot_figure(record["moments"]),
    "why": why_figure,
}


def figure_of(record: Mapping[str, Any]) -> str:
    """The main figure of a record.

    Parameters
    ----------
    record : mapping
        As the `to_dict` of a result gives it.

    Returns
    -------
    Drawing
        An ``<svg>`` element.

    Raises
    ------
    InvalidInput
        If there is no figure for records of its kind.

    Examples
    --------
    >>> from surefoot import audit
    >>> from surefoot.report.figures import figure_of
    >>> figure_of(audit([0.1] * 20, "constant:0.1").to_dict())[:4]
    '<svg'
    """
    kind = record.get("kind")
    if kind not in _FIGURES:
        raise InvalidInput(f"there is no figure of a {kind}; leave out --svg and --png")
    return _FIGURES[kind](with_floats(record))
