"""Rates for parameter groups."""

from surefoot.training.groups._blocks import blocks, optimizer_curvature
from surefoot.training.groups._groups import GroupAdvice, GroupEvidence, suggest_groups
from surefoot.training.groups._update_ratio import GroupRatio, UpdateRatios, update_ratios

__all__ = [
    "GroupAdvice", "GroupEvidence", "GroupRatio", "UpdateRatios", "blocks", "optimizer_curvature", "suggest_groups",
    "update_ratios",
]  # fmt: skip
