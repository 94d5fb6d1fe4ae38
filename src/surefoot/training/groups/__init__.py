"""Rates for parameter groups."""

from surefoot.training.groups._blocks import blocks, preconditioned
from surefoot.training.groups._groups import GroupAdvice, GroupEvidence, suggest_groups
from surefoot.training.groups._update_ratio import GroupRatio, UpdateRatios, watch

__all__ = [
    "GroupAdvice",
    "GroupEvidence",
    "GroupRatio",
    "UpdateRatios",
    "blocks",
    "preconditioned",
    "suggest_groups",
    "watch",
]
