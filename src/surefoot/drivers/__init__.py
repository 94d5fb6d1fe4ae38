"""Drivers: rules at work on NumPy problems."""

from surefoot.drivers._descend import Descent, descend
from surefoot.drivers._trace import Trace
from surefoot.drivers._verdict import Verdict

__all__ = ["Descent", "Trace", "Verdict", "descend"]
