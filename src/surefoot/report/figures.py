"""Figures by themselves, as SVG or PNG: for a page or a paper of your own. Needs Matplotlib (the extra `report`)."""

from surefoot.report._audit import audit_figure
from surefoot.report._density import density_figure
from surefoot.report._dynamics import basins, cobweb, orbit_diagram
from surefoot.report._edge import edge_figure
from surefoot.report._order import order_figure
from surefoot.report._pilot import pilot_figure
from surefoot.report._range import range_figure
from surefoot.report._region import region_figure
from surefoot.report._residual import residual_figure
from surefoot.report._save import save_figure, save_png, save_svg
from surefoot.report._sweep import sweep_figure
from surefoot.report._why import why_figure

__all__ = [
    "audit_figure",
    "basins",
    "cobweb",
    "density_figure",
    "edge_figure",
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
