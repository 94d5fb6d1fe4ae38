"""Advice from numbers alone: batch size, clip, warm-up."""

from surefoot.recipes._batch_size import BatchScaling, scale_batch
from surefoot.recipes._clip import ClipAdvice, clip_advice
from surefoot.recipes._logged_norms import logged_norms
from surefoot.recipes._warmup import WarmupAdvice, warmup_advice

__all__ = [
    "clip_advice",
    "logged_norms",
    "scale_batch",
    "warmup_advice",
]
