"""Training logs as files: read from CSV, JSON lines, JSON and TensorBoard's event files; written as two of them."""

from surefoot.logs._events import EventWriter, read_events
from surefoot.logs._lines import JsonLines
from surefoot.logs._read import LogFile, read_log

__all__ = [
    "EventWriter",
    "JsonLines",
    "LogFile",
    "read_events",
    "read_log",
]
