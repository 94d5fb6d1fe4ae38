"""Controllers: from what was observed to how far to go next. Numbers only."""

from surefoot.rules._adgd import AdGD
from surefoot.rules._armijo import Armijo
from surefoot.rules._auto import Auto
from surefoot.rules._backtracking import Backtracking
from surefoot.rules._barzilai import BarzilaiBorwein
from surefoot.rules._base import Decision, Observation, Rule
from surefoot.rules._brake import Brake
from surefoot.rules._chebyshev import Chebyshev
from surefoot.rules._clip_advice import ClipAdvice, clip_advice
from surefoot.rules._clipped import Clipped
from surefoot.rules._confident import Confident
from surefoot.rules._named import Known, NamedRule, named_rule, named_rules
from surefoot.rules._phases import WSD, HighThenLow, OneCycle
from surefoot.rules._pi import PI
from surefoot.rules._polyak import Polyak
from surefoot.rules._schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    InverseTime,
    Linear,
    Schedule,
    StepDecay,
)
from surefoot.rules._silver import Silver
from surefoot.rules._subgradient import Subgradient
from surefoot.rules._warmup import Warmup
from surefoot.rules._warmup_advice import WarmupAdvice, warmup_advice
from surefoot.rules._wolfe import StrongWolfe

__all__ = [
    "PI",
    "WSD",
    "AdGD",
    "Armijo",
    "Auto",
    "Backtracking",
    "BarzilaiBorwein",
    "Brake",
    "Chebyshev",
    "ClipAdvice",
    "Clipped",
    "Confident",
    "Constant",
    "Cosine",
    "Decision",
    "Exponential",
    "HighThenLow",
    "InverseSqrt",
    "InverseTime",
    "Known",
    "Linear",
    "NamedRule",
    "Observation",
    "OneCycle",
    "Polyak",
    "Rule",
    "Schedule",
    "Silver",
    "StepDecay",
    "StrongWolfe",
    "Subgradient",
    "Warmup",
    "WarmupAdvice",
    "clip_advice",
    "named_rule",
    "named_rules",
    "warmup_advice",
]
