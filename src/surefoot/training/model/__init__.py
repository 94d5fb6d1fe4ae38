"""A model, its loss and its data, in the forms that every tool here takes."""

from surefoot.training.model.loss import Supervised, causal_lm, supervised

__all__ = ["Supervised", "causal_lm", "supervised"]
