"""The schedule that ran against the plan."""

from surefoot._audit._audit import audit
from surefoot._audit._types import Audit

__all__ = ["Audit", "audit"]
