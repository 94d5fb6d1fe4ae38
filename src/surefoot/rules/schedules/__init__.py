"""Rates that are a function of the step number alone."""

from surefoot.rules.schedules._chebyshev import Chebyshev
from surefoot.rules.schedules._phases import WSD, HighThenLow, OneCycle
from surefoot.rules.schedules._silver import Silver
from surefoot.rules.schedules._smooth import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    Schedule,
    StepDecay,
)
from surefoot.rules.schedules._subgradient import Subgradient

__all__ = [
    "WSD", "Chebyshev", "Constant", "Cosine", "Exponential", "HighThenLow", "InverseSqrt", "InverseTime", "Linear",
    "OneCycle", "Schedule", "Silver", "StepDecay", "Subgradient",
]  # fmt: skip
