"""Exams for what people write themselves: operators and rules."""

from surefoot.testing._operators import OperatorCheck, check_operator

__all__ = ["OperatorCheck", "check_operator"]
