"""What a log says of a run: the schedule that ran against the plan, and why a run failed."""

from surefoot.audits._audit import audit
from surefoot.audits._types import Audit
from surefoot.audits.failures import Why, why

__all__ = [
    "audit",
    "why",
]
