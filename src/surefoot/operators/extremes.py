"""Matrices whose entries overflow or underflow when they are squared."""

import numpy as np

from surefoot.errors import InvalidInput
from surefoot.operators._base import Operator

__all__ = ["refuse_extremes"]

# Bounds on the largest entry of a matrix. Its square, and a sum of 1e8 of them, is then a normal float64.
SMALLEST, LARGEST = 1e-150, 1e150


def refuse_extremes(operator: Operator) -> None:
    """Refuse a matrix, or a Gram product's factor, whose entries are too large or too small to be squared."""
    source = operator if operator.factor is None else operator.factor
    entries = source.entries
    values = getattr(entries, "data", None) if hasattr(entries, "tocsr") else entries
    if not isinstance(values, np.ndarray) or not values.size:
        return
    largest = float(np.abs(values).max())
    if largest and not SMALLEST <= largest <= LARGEST:
        raise InvalidInput(
            f"the largest entry of the matrix is {largest:.3g}, and squares of it leave the floats; rescale it"
        )
