"""What is known of a model, its loss and its data."""

from surefoot.training.model.loss import Supervised, causal_lm, supervised

__all__ = [
    "Supervised",
    "causal_lm",
    "supervised",
]
