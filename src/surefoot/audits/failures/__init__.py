"""Why a run failed: what its log shows, what could have caused it, and what to try first."""

from surefoot.audits.failures._types import Cause, Finding, Why
from surefoot.audits.failures._why import why

__all__ = ["Cause", "Finding", "Why", "why"]
