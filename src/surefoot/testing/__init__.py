"""Exams for what people write themselves: operators and rules."""

from surefoot.testing._operators import OperatorCheck, check_operator
from surefoot.testing._rules import RuleCheck, check_rule
from surefoot.testing.practices import practice, practices

__all__ = ["check_operator", "check_rule", "practice", "practices"]
