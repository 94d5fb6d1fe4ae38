"""Linear maps: what can be multiplied by a vector, and what is known about it."""

from surefoot.operators._adapters import LinearMap, MatrixOperator, as_operator
from surefoot.operators._base import Array, Kind, Matrix, Operator
from surefoot.operators._products import Gram, gram, scaled, shifted

__all__ = [
    "Array",
    "Gram",
    "Kind",
    "LinearMap",
    "Matrix",
    "MatrixOperator",
    "Operator",
    "as_operator",
    "gram",
    "scaled",
    "shifted",
]
