"""Optimizers as methods, and their limits."""

from surefoot.training.optimizers._effective_rate import effective_rate, equivalent_rate
from surefoot.training.optimizers._limits import optimizer_limits
from surefoot.training.optimizers.frozen import method_of

__all__ = ["effective_rate", "equivalent_rate", "method_of", "optimizer_limits"]
