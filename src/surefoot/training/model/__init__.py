"""What is known of a model, its loss and its data."""

from surefoot.training.model.loss import Supervised, supervised

__all__ = [
    "Supervised",
    "supervised",
]
