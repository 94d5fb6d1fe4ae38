"""What only a training run senses, decided from numbers still."""

from surefoot.rules.training._along_step_rule import AlongStep
from surefoot.rules.training._cooldown import Cooldown
from surefoot.rules.training._sharpness_rule import Sharpness
from surefoot.rules.training.autopilot import Autopilot
from surefoot.rules.training.watch import Watch

__all__ = ["AlongStep", "Autopilot", "Cooldown", "Sharpness", "Watch"]
