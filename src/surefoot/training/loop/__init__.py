"""The training step, its rates, its snapshots, copies of the run."""

from surefoot.training.loop.rollback import SnapshotCost

__all__ = [
    "SnapshotCost",
]
