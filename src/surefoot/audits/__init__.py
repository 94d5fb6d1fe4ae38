"""The schedule that ran against the plan."""

from surefoot.audits._audit import audit
from surefoot.audits._types import Audit

__all__ = [
    "Audit",
    "audit",
]
