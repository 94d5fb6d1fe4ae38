"""The whole answer for one target: measure, decide, verify, explain."""

from surefoot._advise._advise import advise
from surefoot._advise._types import Advice, Recommendation, Trial, Verification

__all__ = ["Advice", "Recommendation", "Trial", "Verification", "advise"]
