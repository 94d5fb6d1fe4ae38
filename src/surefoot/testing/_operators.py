"""The exam of a linear operator: linearity, adjoint, symmetry, repeatability."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.checks import Count, checked, random_generator
from surefoot.errors import InvalidInput, NotFinite, NotRepeatable, NotSymmetric
from surefoot.operators import Array, Operator, as_operator
from surefoot.records import Record

Defects = tuple[float, float | None, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCheck(Record):
    """Largest relative defects seen; about the products' rounding for a sound operator.

    Parameters
    ----------
    linearity : float
        |A(x + c y) - Ax - c Ay| over the size of the terms.
    adjoint : float or None
        |<Ax, y> - <x, A^H y>| over |Ax||y|; None where there is no adjoint product.
    symmetry : float or None
        |<Ax, y> - <x, Ay>| over |Ax||y|; None where the operator does not say it is symmetric.
    """

    linearity: float
    adjoint: float | None
    symmetry: float | None


@checked
def check_operator(
    operator: Any, *, trials: Count = 3, tolerance: float | None = None, rng: int | np.random.Generator = 0
) -> OperatorCheck:
    """Check products with random vectors: the dot test of an adjoint, of symmetry, and linearity.

    Parameters
    ----------
    operator : matrix or operator
        Anything `surefoot.operators.as_operator` takes.
    trials : int
        Random pairs to try.
    tolerance : float, optional
        Largest relative defect allowed; default the square root of the products' precision.
    rng : int or numpy Generator

    Returns
    -------
    OperatorCheck

    Raises
    ------
    NotRepeatable
        If the same product gives two answers.
    NotSymmetric
        If the operator says it is symmetric and is not.
    InvalidInput
        If it is not linear, or its adjoint is not the adjoint.

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.testing import check_operator
    >>> check_operator(np.eye(3)).symmetry < 1e-15
    True
    """
    operator = as_operator(operator)
    generator = random_generator(rng)
    # rounding in long sums stays far below the root of the precision; a wrong entry or a wrong sign does not
    allowed = operator.precision**0.5 if tolerance is None else tolerance
    defects = [_defects(operator, generator, allowed) for _ in range(trials)]
    linearity, adjoint, symmetry = zip(*defects, strict=True)
    return OperatorCheck(linearity=max(linearity), adjoint=_worst(adjoint), symmetry=_worst(symmetry))


def _worst(defects: Sequence[float | None]) -> float | None:
    known = [defect for defect in defects if defect is not None]
    return max(known) if known else None


def _defects(operator: Operator, generator: np.random.Generator, allowed: float) -> Defects:
    m, n = operator.shape
    x, other = _random(operator, n, generator), _random(operator, n, generator)
    y = _random(operator, m, generator)
    image = operator.matvec(x)
    size = _norm(image) or 1.0
    if not math.isfinite(size):
        raise NotFinite("a product with a random vector leaves the floats; rescale the operator")

    # repeatability first: where it fails, every other defect would be noise
    again = _norm(operator.matvec(x) - image) / size
    if again > allowed:
        raise NotRepeatable(f"the same product gave two answers, {again:.2g} apart relative to their size")
    other_image = operator.matvec(other)
    total = size + _norm(other_image)
    linearity = _norm(operator.matvec(x - 2 * other) - image + 2 * other_image) / total
    if linearity > allowed:
        raise InvalidInput(f"the operator is not linear: relative defect {linearity:.2g}")

    symmetry = None
    if operator.symmetric:
        symmetry = _mismatch(other, image / size, other_image / size, x)
        if symmetry > allowed:
            raise NotSymmetric(f"the operator says it is symmetric and is not: relative defect {symmetry:.2g}")
    try:
        pulled = operator.rmatvec(y)
    except InvalidInput:  # it has no adjoint product, which is allowed
        return linearity, None, symmetry
    adjoint = _mismatch(y, image / size, pulled / size, x)
    if adjoint > allowed:
        raise InvalidInput(f"rmatvec is not the adjoint of matvec: relative defect {adjoint:.2g}")
    return linearity, adjoint, symmetry


def _random(operator: Operator, size: int, generator: np.random.Generator) -> Array:
    vector: Array = generator.standard_normal(size)
    return vector + 1j * generator.standard_normal(size) if operator.complex else vector


def _mismatch(y: Array, image: Array, pulled: Array, x: Array) -> float:
    """|<y, A x> - <A^H y, x>| over |y|, of products that were divided by |A x|: large ones would overflow."""
    return float(abs(complex(np.vdot(y, image)) - complex(np.vdot(pulled, x)))) / (_norm(y) or 1.0)


def _norm(x: Array) -> float:
    # SciPy's does not square what is large
    from scipy.linalg import norm

    return float(norm(x, check_finite=False))
