"""The training step, its rates, its snapshots, copies of the run, and the loop that owns them."""

from surefoot.training.loop._history import Event, Moment
from surefoot.training.loop.loop import Loop
from surefoot.training.loop.run_log import RunLog
from surefoot.training.loop.snapshots import SnapshotCost

__all__ = ["Event", "Loop", "Moment", "RunLog", "SnapshotCost"]
