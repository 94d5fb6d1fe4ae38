"""Records to figures and HTML: plain dictionaries in, one self-contained file out."""

from surefoot.report._page import Cell, Figure, Listing, Page, Section, Table
from surefoot.report._write import KINDS, check_destination, check_folder, write_page, write_report

__all__ = ["write_report"]
