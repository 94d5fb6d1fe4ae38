"""Linear maps, known by their products with vectors and by a few facts."""

from surefoot.operators._adapters import LinearMap, MatrixOperator, as_operator
from surefoot.operators._base import Array, Kind, Matrix, Operator, dense
from surefoot.operators._blocks import BlockDiagonal, Kronecker, Stacked, block_diagonal, kronecker, stacked
from surefoot.operators._differences import Divergence, Gradient, divergence, gradient
from surefoot.operators._out_of_core import OutOfCore, at_once
from surefoot.operators._products import Gram, Shifted, gram, scaled, shifted
from surefoot.operators.convolution import Convolution, convolution
from surefoot.operators.space import Space

__all__ = [
    "Operator",
    "as_operator",
    "block_diagonal",
    "convolution",
    "divergence",
    "gradient",
    "gram",
    "kronecker",
    "scaled",
    "shifted",
    "stacked",
]
