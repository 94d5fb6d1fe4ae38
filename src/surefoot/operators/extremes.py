"""Matrices whose squares leave the floats."""

import numpy as np

from surefoot.errors import InvalidInput
from surefoot.operators._base import Operator

__all__ = ["refuse_extremes"]

# The largest entry of a matrix lies between these, so that its square, and a sum of many, is an ordinary float.
SMALLEST, LARGEST = 1e-150, 1e150


def refuse_extremes(operator: Operator) -> None:
    """Nothing, unless the entries, or those of a Gram product's factor, are too large or too small to be squared."""
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
