"""Training without a learning rate."""

from surefoot.training.pilot._pilot import Pilot
from surefoot.training.pilot.log import PilotLog

__all__ = [
    "Pilot",
    "PilotLog",
]
