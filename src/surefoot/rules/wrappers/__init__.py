"""Rules that change another rule's decision."""

from surefoot.rules.wrappers._warmup import Warmup
from surefoot.rules.wrappers.brake import Brake
from surefoot.rules.wrappers.clipped import Clipped

__all__ = ["Brake", "Clipped", "Warmup"]
