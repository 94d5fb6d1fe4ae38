"""A rate to start with, from short rehearsals."""

from surefoot.training.range_tests._range_test import range_test
from surefoot.training.range_tests._result import RangeTest, Rehearsal

__all__ = ["RangeTest", "Rehearsal", "range_test"]
