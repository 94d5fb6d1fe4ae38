"""The norm of a residual."""

import math
from typing import Any

import numpy as np

from surefoot.checks import checked
from surefoot.errors import NotSmooth
from surefoot.operators import Array
from surefoot.problems._base import Problem, overflow_is_a_value
from surefoot.problems._checks import real_matrix, real_vector
from surefoot.spectra import Spectrum


@checked
class ResidualNorm(Problem):
    """Euclidean norm of the residual: not smooth.

        f(x) = |A x - b|_2,    g(x) = A'r/|r|,    H(x) = A'(I - r r'/|r|^2)A/|r|,    r = A x - b

    It has the minimisers of least squares, but the gradient keeps its length as the residual shrinks, and the curvature
    grows like 1/|r|. Where r vanishes the gradient jumps (the subgradient there is taken as 0), so `curvature` raises
    NotSmooth; use a subgradient rule. Polyak's steps converge at a linear rate if b is in the range of A (least value
    0).

    Parameters
    ----------
    A : dense or sparse matrix, shape (n, d)
        Real or integer.
    b : array, shape (n,)

    Raises
    ------
    InvalidInput
        If A is empty or not two-dimensional, or shapes do not agree.
    InvalidType
        If the data are complex or not numbers.
    NotFinite
        If the data hold NaN or infinity.

    Examples
    --------
    >>> import surefoot as sf
    >>> problem = sf.problems.ResidualNorm([[3.0, 0.0], [0.0, 1.0]], [3.0, 4.0])
    >>> problem.value([0.0, 0.0])
    5.0
    >>> run = sf.descend(problem, rule=sf.rules.Polyak(optimum=0.0), tol=0, steps=200)
    >>> run.best_x.round(6)
    array([1., 4.])
    """

    def __init__(self, A: Any, b: Any) -> None:
        self._A = real_matrix(A, "A")
        self._b = real_vector(b, self._A.shape[0], "b")

    @property
    def name(self) -> str:
        """``residual norm``, rows x columns."""
        return f"residual norm, {self._A.shape[0]} x {self._A.shape[1]}"

    @property
    def size(self) -> int:
        """Number of unknowns d."""
        return self._A.shape[1]

    @property
    def convex(self) -> bool:
        """True: a norm of an affine map."""
        return True

    def value(self, x: Array) -> float:
        """f(x): one product with A."""
        return self._residual(x)[1]

    def gradient(self, x: Array) -> Array:
        """A'r/|r|, and 0, a subgradient, where r = 0."""
        return self.value_and_gradient(x)[1]

    @overflow_is_a_value
    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Both at once, sharing the product with A."""
        r, length = self._residual(x)
        if length == 0:
            return 0.0, np.zeros(self.size)
        return length, self._A.T @ (r / length)

    def hessian_product(self, x: Array, v: Array) -> Array:
        """The Hessian at x times v, shape (size,).

        Raises
        ------
        NotSmooth
            If the residual is zero at x.
        """
        r, length = self._residual(x)
        if length == 0:
            raise NotSmooth("|Ax - b| has no Hessian where the residual is zero; this x is a minimiser")
        u, image = r / length, self._A @ self.checked(v, "v")
        return self._A.T @ (image - (u @ image) * u) / length

    def curvature(self) -> Spectrum:
        """Not defined.

        Raises
        ------
        NotSmooth
            Always.
        """
        raise NotSmooth(
            "|Ax - b| is not smooth: its curvature grows like 1/|Ax - b| and its gradient jumps where that vanishes, "
            "so no step 1/L exists; use rules.Subgradient, or rules.Polyak where the least value is known, "
            "or LeastSquares, which has the same minimisers"
        )

    @overflow_is_a_value
    def _residual(self, x: Array) -> tuple[Array, float]:
        r = self._A @ self.checked(x) - self._b
        largest = float(np.abs(r).max())
        if not 0 < largest < math.inf:
            return r, largest
        # scaled, so that squares neither overflow nor vanish where the norm itself is a float
        return r, largest * float(np.linalg.norm(r / largest))
