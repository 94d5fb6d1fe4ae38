"""Quadratic functions."""

from dataclasses import replace
from typing import Any

import numpy as np

from surefoot.checks import Nonnegative, checked
from surefoot.errors import InvalidInput, InvalidType, NotSymmetric, SurefootError
from surefoot.operators import Array, Matrix, Operator, as_operator
from surefoot.problems._base import Problem, compute_once, overflow_is_a_value
from surefoot.problems._changes import Change
from surefoot.problems._checks import real_vector
from surefoot.spectra import Spectrum, spectrum

# Random probes of symmetry: asymmetry shows in the first with probability 1, unless it is near rounding.
PROBES = 3
# Rounding errors, in units of the product's, up to which x'Qy - y'Qx counts as 0.
PROBE_SLACK = 100


@checked
class Quadratic(Problem):
    """A quadratic function, convex or not.

        f(x) = x'Q x / 2 - b'x + (ridge/2) |x|^2,    H = Q + ridge I

    Parameters
    ----------
    Q : matrix or operator, shape (n, n)
        Real and symmetric; anything `surefoot.operators.as_operator` takes. An operator that does not say whether it is
        symmetric is tested with random vectors.
    b : array, shape (n,), optional
        Zero by default.
    ridge : float
        Nonnegative; unit of the curvature.

    Raises
    ------
    InvalidInput
        If Q is empty or not square, b has another shape, or the ridge is negative or not finite.
    InvalidType
        If the data are complex or not numbers.
    NotFinite
        If the data hold NaN or infinity.
    NotSymmetric
        If Q is not symmetric; the message says by how much.

    Examples
    --------
    >>> from surefoot.problems._quadratic import Quadratic
    >>> problem = Quadratic([[2, 1], [1, 3]], [1, 0])
    >>> problem.value([1, 1])
    2.5
    >>> problem.gradient([1, 1])
    array([2., 4.])
    >>> problem.convex
    True
    """

    def __init__(self, Q: Any, b: Any = None, *, ridge: Nonnegative = 0.0) -> None:
        self._Q = symmetric_operator(Q)
        n = self._Q.shape[0]
        self._b = np.zeros(n) if b is None else real_vector(b, n, "b")
        self._ridge = ridge

    @property
    def name(self) -> str:
        """``quadratic`` with its size and ridge."""
        ridge = f", ridge {self._ridge:g}" if self._ridge else ""
        return f"quadratic, {self.size} unknowns{ridge}"

    @property
    def size(self) -> int:
        """Number of unknowns n."""
        return self._Q.shape[0]

    @property
    def convex(self) -> bool:
        """Whether no eigenvalue is negative, certified; measured at the first call unless Q is known to be psd."""
        return self._Q.psd or self.curvature().smallest.lower >= 0

    @property
    def constant_curvature(self) -> bool:
        """True."""
        return True

    def value(self, x: Array) -> float:
        """f(x): one product with Q."""
        x = self.checked(x)
        return self._value(x, self._apply(x))

    def gradient(self, x: Array) -> Array:
        """Q x + ridge x - b: one product with Q."""
        return self._apply(self.checked(x)) - self._b

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Both from one product with Q."""
        x = self.checked(x)
        image = self._apply(x)
        return self._value(x, image), image - self._b

    def hessian_product(self, x: Array, v: Array) -> Array:
        """Q v + ridge v, the same at every x."""
        self.checked(x)
        return self._apply(self.checked(v, "v"))

    @compute_once
    def curvature(self) -> Spectrum:
        """The eigenvalues of Q + ridge I, computed once."""
        base = spectrum(self._Q, symmetric=True, kind="curvature").shifted(self._ridge)
        formula = "eigenvalues of Q + ridge" if self._ridge else "eigenvalues of Q"
        note = f"{formula}; {base.note}" if base.note else formula
        return replace(base, provenance="closed form", scope="global", note=note)

    def curvature_in(self, change: Change) -> Spectrum:
        """The eigenvalues of S'(Q + ridge I)S, from its entries if Q and S have entries."""
        if self._Q.entries is None or change.matrix is None:
            return super().curvature_in(change)
        S = change.matrix
        product = S.T @ self.hessian_matrix() @ S
        base = spectrum(0.5 * (product + product.T), symmetric=True, kind="curvature")
        if self.convex and base.smallest.lower < 0:  # the product's entries are rounded, but its sign is known
            base = replace(base, smallest=replace(base.smallest, lower=0.0, upper=max(base.smallest.upper, 0.0)))
        note = f"eigenvalues of S'(Q + ridge)S, in the variables of {change.name}"
        return replace(base, provenance="closed form", scope="global", note=f"{note}; {base.note}".rstrip("; "))

    def hessian_matrix(self, at: Array | None = None) -> Matrix:
        """Q + ridge I, the same at every x; formed by products if Q has no entries."""
        Q = self._Q.entries
        if Q is None:
            return super().hessian_matrix(at)
        if not hasattr(Q, "tocsr"):
            return Q + self._ridge * np.eye(self.size)
        from scipy.sparse import diags_array

        return (Q + diags_array(np.full(self.size, self._ridge))).tocsr()

    def _apply(self, x: Array) -> Array:
        return self._Q.matvec(x) + self._ridge * x

    @overflow_is_a_value
    def _value(self, x: Array, image: Array) -> float:
        return float(x @ (0.5 * image - self._b))


def symmetric_operator(Q: Any) -> Operator:
    """Q as a real symmetric operator.

    Raises
    ------
    InvalidInput
        If it is not square.
    InvalidType
        If it is complex.
    NotSymmetric
        If it is not symmetric.
    """
    try:
        operator = as_operator(Q, kind="curvature")
    except SurefootError as error:
        raise type(error)(f"Q: {error}") from error
    m, n = operator.shape
    if m != n:
        raise InvalidInput(f"Q must be square; got shape {(m, n)}: for |Qx - b|^2 use LeastSquares")
    if operator.complex:
        raise InvalidType("Q must be real; got complex entries: use the real form [[Re, -Im], [Im, Re]]")
    if operator.symmetric:
        return operator
    if operator.entries is None:
        gap = _probe_symmetry(operator)
    else:
        matrix: Any = operator.entries
        gap = f"max |Q - Q'| is {float(abs(matrix - matrix.T).max()):.3g}, max |Q| is {float(abs(matrix).max()):.3g}"
    if gap:
        raise NotSymmetric(f"Q must be symmetric; {gap}: use (Q + Q.T)/2, which has the same x'Qx")
    return operator


def _probe_symmetry(operator: Operator) -> str:
    """The asymmetry that random probes of x'Qy - y'Qx show, in words; empty if it is rounding."""
    generator = np.random.default_rng([0x51, operator.shape[0]])
    n = operator.shape[0]
    for _ in range(PROBES):
        x, y = generator.standard_normal((2, n))
        Qx, Qy = operator.matvec(x), operator.matvec(y)
        gap = abs(float(x @ Qy - y @ Qx))
        size = float(np.linalg.norm(x) * np.linalg.norm(Qy) + np.linalg.norm(y) * np.linalg.norm(Qx))
        if gap > PROBE_SLACK * operator.precision * size:
            return f"random vectors gave |x'Qy - y'Qx| = {gap:.3g} where |x||Qy| + |y||Qx| is {size:.3g}"
    return ""
