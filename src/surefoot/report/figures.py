"""Figures by themselves, as SVG: for a page or a paper of your own. Needs Matplotlib (the extra `report`)."""

from surefoot.report._dynamics import basins, cobweb, orbit_diagram, save_svg
from surefoot.report._order import order_figure
from surefoot.report._region import region_figure

__all__ = ["basins", "cobweb", "orbit_diagram", "order_figure", "region_figure", "save_svg"]
