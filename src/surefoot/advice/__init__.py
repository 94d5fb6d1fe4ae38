"""The whole answer for one target: measure, decide, verify, explain."""

from surefoot.advice._advise import advise
from surefoot.advice._types import Advice, Recommendation, Verification

__all__ = [
    "advise",
]
