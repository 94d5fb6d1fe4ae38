"""Training without a learning rate."""

from surefoot.training.pilot._pilot import Pilot

__all__ = ["Pilot"]
