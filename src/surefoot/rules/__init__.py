"""Rules that decide the next step from what a run has observed: numbers only, no arrays."""

from surefoot.rules._base import Decision, Observation, Rule, Wrapper
from surefoot.rules.adaptive import PI, AdGD, Auto, BarzilaiBorwein, Confident, Polyak
from surefoot.rules.named import Known, NamedRule, named_rule, named_rules
from surefoot.rules.schedules import (
    WSD,
    Chebyshev,
    Constant,
    Cosine,
    Exponential,
    HighThenLow,
    InverseSqrt,
    InverseTime,
    Linear,
    OneCycle,
    Schedule,
    Silver,
    StepDecay,
    Subgradient,
)
from surefoot.rules.searches import Armijo, Backtracking, StrongWolfe
from surefoot.rules.training import AlongStep, Autopilot, Cooldown, Sharpness, Watch
from surefoot.rules.wrappers import Brake, Clipped, Warmup

__all__ = [
    "PI", "WSD", "AdGD", "AlongStep", "Armijo", "Auto", "Autopilot", "Backtracking", "BarzilaiBorwein", "Brake",
    "Chebyshev", "Clipped", "Confident", "Constant", "Cooldown", "Cosine", "Decision", "Exponential", "HighThenLow",
    "InverseSqrt", "InverseTime", "Known", "Linear", "Observation", "OneCycle", "Polyak", "Rule", "Schedule",
    "Sharpness", "Silver", "StepDecay", "StrongWolfe", "Subgradient", "Warmup", "Watch", "named_rule", "named_rules",
]  # fmt: skip
