"""The field of values, which bounds the growth of a matrix that is not normal where its eigenvalues do not.

    W(A) = {x'Ax : |x| = 1},    max Re(exp(-i theta) W) = lambda_max of the Hermitian part of exp(-i theta) A

It is convex, holds the eigenvalues, and is their convex hull for a normal matrix. The support line in a direction is a
largest eigenvalue, for which Lanczos has a certificate; the lines bound a polygon around W. (Johnson, Numerical
determination of the field of values of a general complex matrix, SIAM J. Numer. Anal. 15, 1978, 595-602.)
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surefoot.errors import InvalidInput
from surefoot.operators import Array, LinearMap, Matrix, MatrixOperator, Operator, dense
from surefoot.spectra.measured._basis import Basis
from surefoot.spectra.measured.ends import measured_ends
from surefoot.spectra.measured.lanczos import random_unit
from surefoot.spectra.types import Certainty

__all__ = ["Field", "departure_from_normality", "measured_field"]

# |AA' - A'A| up to this share of |A|^2 is rounding of entries that come from a few operations. By convention.
NORMAL = 1e-10
# Boundary points of small fields: a chord between neighbours misses a disc by 0.1%.
DIRECTIONS = 64
# Size up to which boundary points are computed, each by an eigenvalue problem: a second in all.
SMALL = 200
# Support lines of measured fields; a polygon of 16 sides exceeds a disc by 2%.
SIDES = 16
# Default budgets, by convention: Lanczos steps for each support line, and Arnoldi steps without an adjoint.
STEPS = 100
ARNOLDI_STEPS = 80


@dataclass(frozen=True, slots=True)
class Field:
    """A polygon around a field of values, or inside it for an estimate.

    `corners` are in counterclockwise order; `ritz` are Ritz values, which estimate eigenvalues.
    """

    corners: NDArray[np.complex128]
    trust: Certainty
    products: int
    note: str
    ritz: NDArray[np.complex128]


def departure_from_normality(matrix: Matrix) -> tuple[NDArray[np.complex128] | None, float]:
    """Boundary points of a matrix's field of values, and the condition number of its eigenvectors; (None, 1) if normal.

    Parameters
    ----------
    matrix : array or sparse, shape (n, n)

    Returns
    -------
    corners : complex array or None
        Points on the boundary of the field of values for n <= 200, else the corners of the rectangle around it.
    condition : float
        ||V|| ||V^-1||; infinite for a defective matrix.
    """
    A = dense(matrix)
    adjoint = A.conj().T
    size = float(np.linalg.norm(A)) ** 2
    if size == 0 or float(np.linalg.norm(A @ adjoint - adjoint @ A)) <= NORMAL * size:
        return None, 1.0
    vectors = np.linalg.eig(A)[1]
    singular = np.linalg.svd(vectors, compute_uv=False)
    # singular to rounding: the matrix is defective
    floor = len(A) * float(np.finfo(np.float64).eps)
    condition = float(singular[0] / singular[-1]) if singular[-1] > floor * singular[0] else math.inf
    if len(A) > SMALL:
        # the ends of the Hermitian and the skew-Hermitian part
        bottom, top = np.linalg.eigvalsh((A + adjoint) / 2)[[0, -1]]
        low, high = np.linalg.eigvalsh((A - adjoint) / 2j)[[0, -1]]
        corners = [complex(x, y) for x, y in ((bottom, low), (top, low), (top, high), (bottom, high))]
        return np.asarray(corners), condition
    return _boundary(A), condition


def _boundary(A: Array) -> NDArray[np.complex128]:
    """Boundary points of the field of values of a small matrix, counterclockwise."""
    # the field of a real matrix is symmetric about the real axis
    count = DIRECTIONS if np.iscomplexobj(A) else DIRECTIONS // 2 + 1
    corners: list[complex] = []
    for theta in 2 * np.pi * np.arange(count) / DIRECTIONS:
        rotated = np.exp(-1j * theta) * A
        x = np.linalg.eigh((rotated + rotated.conj().T) / 2)[1][:, -1]
        corners.append(complex(x.conj() @ A @ x))
    if not np.iscomplexobj(A):
        corners += [z.conjugate() for z in corners[-2:0:-1]]
    return np.asarray(corners)


def measured_field(
    operator: Operator, *, rtol: float, failure: float, max_products: int | None, rng: np.random.Generator
) -> Field:
    """A polygon around the field of values, from products with the operator and its adjoint.

    Without an adjoint only an estimate is possible: the field of values of a Krylov compression, which lies inside.

    Parameters
    ----------
    operator : Operator, shape (n, n)
    rtol, failure, max_products
        As in `measured_ends`, for all support lines together.
    rng : numpy Generator
    """
    try:
        operator.rmatvec(np.zeros(operator.shape[0]))
    except InvalidInput:
        return _estimate(operator, max_products or ARNOLDI_STEPS, rng)
    # the field of a real operator is symmetric about the real axis: directions in the upper half plane suffice
    directions = SIDES if operator.complex else SIDES // 2 + 1
    # each direction costs up to four products for one of its Hermitian part
    budget = STEPS if max_products is None else max(2, max_products // (4 * directions))
    supports: list[float] = []
    products, trust, short = 0, "proved", 0
    for k in range(directions):
        part, each = _hermitian_part(operator, 2 * math.pi * k / SIDES)
        ends = measured_ends(
            part, rtol=rtol / 2, failure=failure / directions, which="largest", max_products=budget, rng=rng
        )
        supports.append(ends.largest.upper)
        products += each * ends.products
        short += not ends.converged
        trust = "probabilistic" if ends.largest.upper_is != "proved" else trust
    if not operator.complex:
        supports += supports[-2:0:-1]
    note = "enclosed by its field of values"
    if short:
        note += f"; {short} of {directions} support lines are looser than rtol={rtol:g}, allow more max_products"
    certainty: Certainty = "proved" if trust == "proved" else "probabilistic"
    ritz = np.linalg.eigvals(_compress(operator, budget, rng)).astype(np.complex128)
    return Field(_corners(np.asarray(supports)), certainty, products + ritz.size, note, ritz)


def _hermitian_part(operator: Operator, theta: float) -> tuple[Operator, int]:
    """The Hermitian part of exp(-i theta) A, and how many products with A or A^H one product with it costs."""
    # rounded, so that the axes are met exactly and the part of a real operator is real there
    turn = complex(round(math.cos(theta), 15), -round(math.sin(theta), 15))
    is_real = turn.imag == 0 and not operator.complex
    if operator.entries is not None:
        rotated = (turn.real if is_real else turn) * operator.entries
        return MatrixOperator((rotated + rotated.conj().T) / 2), 2

    def apply(product: Any, x: Array) -> Array:
        if operator.complex or not np.iscomplexobj(x):
            return product(x)
        return product(np.real(x)) + 1j * product(np.imag(x))

    def hermitian(x: Array) -> Array:
        y = turn * apply(operator.matvec, x) + turn.conjugate() * apply(operator.rmatvec, x)
        return (np.real(y) if is_real else y) / 2

    dtype = np.float64 if is_real else np.complex128
    part = LinearMap(
        operator.shape, hermitian, dtype=dtype, symmetric=True, precision=operator.precision, black_box=False
    )
    return part, 2 if is_real or operator.complex else 4


def _corners(supports: NDArray[np.float64]) -> NDArray[np.complex128]:
    """The corners of the polygon that the support lines Re(exp(-i theta) w) = support enclose, counterclockwise.

    Neighbouring lines meet in a corner. Each line has some slack of its own, so one may lie outside the point where its
    two neighbours meet, and its corners would form a loop: it is moved in to that point.
    """
    theta = 2 * np.pi * np.arange(len(supports)) / len(supports)
    step = 2 * np.pi / len(supports)
    supports = supports.copy()
    for _ in range(len(supports)):
        meet = (np.roll(supports, 1) + np.roll(supports, -1)) / (2 * np.cos(step))
        if (supports <= meet).all():
            break
        supports = np.minimum(supports, meet)
    along = (np.roll(supports, -1) - supports * np.cos(step)) / np.sin(step)
    return (supports + 1j * along) * np.exp(1j * theta)


def _estimate(operator: Operator, steps: int, rng: np.random.Generator) -> Field:
    """Boundary points of the field of values of V'AV, by Arnoldi's method."""
    H = _compress(operator, steps, rng)
    note = (
        f"an estimate from inside by {len(H)} Arnoldi steps, no bound: without an adjoint product none is possible; "
        "give a matrix, a sparsity pattern or an rmatvec"
    )
    return Field(_boundary(H), "estimate", len(H), note, np.linalg.eigvals(H).astype(np.complex128))


def _compress(operator: Operator, steps: int, rng: np.random.Generator) -> Array:
    """V'AV on a Krylov space, by Arnoldi's recurrence with reorthogonalisation."""
    n = operator.shape[0]
    steps = min(steps, n - 1)
    space, basis = operator.space, Basis(operator.space, n)
    compressed = np.zeros((steps + 1, steps), dtype=operator.dtype)
    basis.append(random_unit(space, n, rng))
    for k in range(steps):
        w = operator.matvec(basis[k])
        for _ in range(2):
            coefficients = basis.project(w)
            compressed[: k + 1, k] += space.host(coefficients)
            w = basis.subtract(w, coefficients)
        size = compressed[k + 1, k] = space.norm(w)
        if size <= operator.precision * np.abs(compressed).max():
            return compressed[: k + 1, : k + 1]
        basis.append(w / size)
    return compressed[:steps, :steps]
