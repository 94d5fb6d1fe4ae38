"""Records to figures and HTML: plain dictionaries in, one self-contained file out."""

from surefoot.report._write import check_destination, check_folder, write_report

__all__ = ["check_destination", "check_folder", "write_report"]
