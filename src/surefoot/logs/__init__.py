"""Training logs: read from what loggers write, as rows and as curves; written as two of their formats."""

from surefoot.logs._curves import Curve, Curves, read_curves
from surefoot.logs._events import EventWriter, read_events
from surefoot.logs._lines import JsonLines
from surefoot.logs._read import LogFile, read_log

__all__ = [
    "EventWriter",
    "JsonLines",
    "read_curves",
    "read_events",
    "read_log",
]
