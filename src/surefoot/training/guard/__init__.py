"""A run that takes back what goes wrong."""

from surefoot.training.guard._history import Event
from surefoot.training.guard.guard import Guard

__all__ = [
    "Event",
    "Guard",
]
