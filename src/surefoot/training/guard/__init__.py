"""A run that takes back what goes wrong."""

from surefoot.training.guard._guard import Guard

__all__ = ["Guard"]
