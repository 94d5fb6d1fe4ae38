"""The argument of functions that need a symmetric operator."""

from typing import Any

from surefoot.errors import InvalidInput, NotSymmetric
from surefoot.operators import Operator, as_operator
from surefoot.operators.extremes import refuse_extremes


def symmetric_operator(source: Any) -> Operator:
    """The source as a square operator; refused if it is known not to be symmetric."""
    operator = as_operator(source, kind="curvature")
    refuse_extremes(operator)
    m, n = operator.shape
    if m != n:
        raise InvalidInput(f"needs a square operator; got shape {(m, n)}. For least squares pass gram(A)")
    if operator.symmetric is False:
        raise NotSymmetric("needs a symmetric operator and this one is not; pass gram(A) or (A + A.T)/2")
    return operator
