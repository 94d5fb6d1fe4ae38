"""Sets of symmetric matrices, any of which may be the true one, and the extreme eigenvalues over each set.

The supremum of the largest eigenvalue and the infimum of the smallest:

- The largest eigenvalue is a convex function of a symmetric matrix, so over a polytope it is largest at a vertex.
- Over C + E with |E|_ij <= D_ij (Hertz 1992; Rohn 1994) the sup is max over signs s of lambda_max(C + S D S),
  S = diag(s): with v the top eigenvector of the worst member, v'Ev <= |v|'D|v| is attained at s = sign(v).
- Over |E|_2 <= r it is lambda_max(C) + r, attained by E = r v v', which has the same Frobenius norm.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from surefoot.checks import Nonnegative, checked, real_array
from surefoot.errors import InvalidInput
from surefoot.operators import MatrixOperator, dense
from surefoot.spectra.types import Bounds

FloatArray = NDArray[np.float64]
# Up to this many signs, or parameters of a box, all 2^12 patterns are tried: a fraction of a second.
MOST_SIGNS = 12


class UncertaintySet(ABC):
    """A set of symmetric matrices of one size n.

    Examples
    --------
    >>> from surefoot.spectra import Ball
    >>> members = Ball([[2.0, 0.0], [0.0, 1.0]], 0.5)
    >>> print(members.largest(), members.smallest())
    2.5 0.5
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """The size n."""

    @abstractmethod
    def largest(self) -> Bounds:
        """An interval of the supremum of the largest eigenvalue over all members."""

    @abstractmethod
    def smallest(self) -> Bounds:
        """An interval of the infimum of the smallest eigenvalue over all members."""

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> FloatArray:
        """A random member, shape (n, n)."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the set for a note."""


@checked
@dataclass(frozen=True, slots=True, eq=False)
class Hull(UncertaintySet):
    """The convex hull of symmetric matrices: several batches, several parameter points. Exact, at a vertex.

    Parameters
    ----------
    matrices : sequence of array, shape (n, n)

    Raises
    ------
    InvalidInput
        If there are none, or they are not symmetric matrices of one size.
    """

    matrices: Sequence[Any]

    def __post_init__(self) -> None:
        if not len(self.matrices):
            raise InvalidInput("a hull needs at least one matrix")
        cleaned = tuple(symmetric(matrix, f"matrices[{i}]") for i, matrix in enumerate(self.matrices))
        if len({matrix.shape for matrix in cleaned}) > 1:
            raise InvalidInput(f"the matrices must have one size; got {[matrix.shape for matrix in cleaned]}")
        object.__setattr__(self, "matrices", cleaned)

    @property
    def size(self) -> int:
        """The size n."""
        return self.matrices[0].shape[0]

    @property
    def name(self) -> str:
        """The number of matrices."""
        return f"hull of {len(self.matrices)} matrices"

    def largest(self) -> Bounds:
        """The largest eigenvalue over the vertices."""
        return Bounds.exactly(np.linalg.eigvalsh(np.stack(self.matrices)).max())

    def smallest(self) -> Bounds:
        """The smallest eigenvalue over the vertices."""
        return Bounds.exactly(np.linalg.eigvalsh(np.stack(self.matrices)).min())

    def sample(self, rng: np.random.Generator) -> FloatArray:
        """A random convex combination."""
        weights = rng.dirichlet(np.ones(len(self.matrices)))
        return np.tensordot(weights, np.stack(self.matrices), axes=1)


@checked
@dataclass(frozen=True, slots=True, eq=False)
class Ball(UncertaintySet):
    """All symmetric C + E with |E| <= radius. The extremes are exact.

    Parameters
    ----------
    center : array, shape (n, n)
    radius : float
        Largest |E|, nonnegative; unit of the eigenvalues.
    norm : "spectral" or "frobenius"
        Norm of E; the extremes are the same for both, the members are not.

    Raises
    ------
    InvalidInput
        If the center is not symmetric, the radius negative or not finite, or the norm unknown.
    """

    center: Any
    radius: Nonnegative
    norm: Literal["spectral", "frobenius"] = "spectral"

    def __post_init__(self) -> None:
        object.__setattr__(self, "center", symmetric(self.center, "center"))

    @property
    def size(self) -> int:
        """The size n."""
        return self.center.shape[0]

    @property
    def name(self) -> str:
        """The norm and the radius."""
        return f"{self.norm} ball of radius {self.radius:g}"

    def largest(self) -> Bounds:
        """lambda_max(C) + radius."""
        return Bounds.exactly(np.linalg.eigvalsh(self.center)[-1] + self.radius)

    def smallest(self) -> Bounds:
        """lambda_min(C) - radius."""
        return Bounds.exactly(np.linalg.eigvalsh(self.center)[0] - self.radius)

    def sample(self, rng: np.random.Generator) -> FloatArray:
        """The center plus a random symmetric direction, up to the radius."""
        direction = rng.standard_normal(self.center.shape)
        direction = direction + direction.T
        size = np.linalg.norm(direction, 2 if self.norm == "spectral" else "fro")
        return self.center + self.radius * rng.uniform() * direction / size


@checked
@dataclass(frozen=True, slots=True, eq=False)
class Interval(UncertaintySet):
    """All symmetric matrices with lower <= Q <= upper entry by entry. Exact up to n = 12, a bound beyond.

    Beyond, sup lambda_max <= lambda_max(C) + lambda_max(D) with C the midpoints and D the half widths (Rohn 1994), and
    the sign pattern of C's top eigenvector gives a member close to that bound.

    Parameters
    ----------
    lower, upper : array, shape (n, n)

    Raises
    ------
    InvalidInput
        If they are not symmetric, of different sizes, or lower exceeds upper.
    """

    lower: Any
    upper: Any

    def __post_init__(self) -> None:
        low, high = symmetric(self.lower, "lower"), symmetric(self.upper, "upper")
        check_ordered(low, high)
        object.__setattr__(self, "lower", low)
        object.__setattr__(self, "upper", high)

    @property
    def size(self) -> int:
        """The size n."""
        return self.lower.shape[0]

    @property
    def name(self) -> str:
        """The largest half width."""
        return f"entries within +-{((self.upper - self.lower) / 2).max():.3g}"

    def largest(self) -> Bounds:
        """The largest over all signs, or a bound."""
        return self._top((self.lower + self.upper) / 2)

    def smallest(self) -> Bounds:
        """Minus the largest of the negated set."""
        return -self._top(-(self.lower + self.upper) / 2)

    def sample(self, rng: np.random.Generator) -> FloatArray:
        """Entries uniform in their intervals."""
        drawn = rng.uniform(self.lower, self.upper)
        return np.tril(drawn) + np.tril(drawn, -1).T

    def _top(self, center: FloatArray) -> Bounds:
        width = (self.upper - self.lower) / 2
        if self.size <= MOST_SIGNS:
            patterns = signs(self.size)
            members = center + patterns[:, :, None] * width * patterns[:, None, :]
            return Bounds.exactly(np.linalg.eigvalsh(members).max())
        values, vectors = np.linalg.eigh(center)
        pattern = np.where(vectors[:, -1] < 0, -1.0, 1.0)
        member = center + np.outer(pattern, pattern) * width
        bound = values[-1] + np.linalg.eigvalsh(width)[-1]
        return Bounds(np.linalg.eigvalsh(member)[-1], bound, "proved", "proved")


@checked
@dataclass(frozen=True, slots=True, eq=False)
class Affine(UncertaintySet):
    """All Q0 + sum_i t_i Q_i with t in a box: a physical parameter known to a tolerance.

    Exact, at a vertex of the box, for up to 12 parameters; beyond, the eigenvalue at the midpoint plus the sum of
    r_i |Q_i|_2 (half widths r_i) is a bound.

    Parameters
    ----------
    base : array, shape (n, n)
    directions : sequence of array, shape (n, n)
    box : array, shape (p, 2)
        Smallest and largest t_i.

    Raises
    ------
    InvalidInput
        If shapes do not agree, a matrix is not symmetric, or a range is empty.

    Examples
    --------
    >>> from surefoot.spectra import Affine, worst_case
    >>> tolerance = Affine([[2.0, 0.0], [0.0, 1.0]], [[[1.0, 0.0], [0.0, 0.0]]], [[-0.5, 0.5]])
    >>> print(worst_case(tolerance).largest, worst_case(tolerance).smallest)
    2.5 1
    """

    base: Any
    directions: Sequence[Any]
    box: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", symmetric(self.base, "base"))
        parts = tuple(symmetric(matrix, f"directions[{i}]") for i, matrix in enumerate(self.directions))
        if not parts or any(matrix.shape != self.base.shape for matrix in parts):
            raise InvalidInput(f"needs at least one direction, each of shape {self.base.shape}, that of the base")
        box = real_array(self.box, "box")
        if box.shape != (len(parts), 2) or not np.isfinite(box).all() or (box[:, 0] > box[:, 1]).any():
            raise InvalidInput(
                f"box must hold a finite (least, largest) for each of {len(parts)} directions; got {box}"
            )
        object.__setattr__(self, "directions", parts)
        object.__setattr__(self, "box", box)

    @property
    def size(self) -> int:
        """The size n."""
        return self.base.shape[0]

    @property
    def name(self) -> str:
        """The number of parameters."""
        return f"{len(self.directions)} uncertain parameters"

    def largest(self) -> Bounds:
        """The largest over the vertices, or a bound."""
        return self._top(1.0)

    def smallest(self) -> Bounds:
        """Minus the largest of the negated set."""
        return -self._top(-1.0)

    def sample(self, rng: np.random.Generator) -> FloatArray:
        """A member whose t is uniform in the box."""
        return self._member(rng.uniform(self.box[:, 0], self.box[:, 1]))

    def _member(self, t: FloatArray) -> FloatArray:
        return self.base + np.tensordot(t, np.stack(self.directions), axes=1)

    def _top(self, sign: float) -> Bounds:
        middle, radius = self.box.mean(axis=1), (self.box[:, 1] - self.box[:, 0]) / 2
        parameters = len(radius)
        if parameters <= MOST_SIGNS:
            corners = np.concatenate([signs(parameters), -signs(parameters)])
            tops = [np.linalg.eigvalsh(sign * self._member(middle + corner * radius))[-1] for corner in corners]
            return Bounds.exactly(max(tops))
        center = np.linalg.eigvalsh(sign * self._member(middle))[-1]
        norms = [two_norm(matrix) for matrix in self.directions]
        return Bounds(center, center + float(radius @ norms), "proved", "proved")


def two_norm(matrix: FloatArray) -> float:
    """The spectral norm."""
    return float(np.linalg.norm(matrix, 2))


def signs(size: int) -> FloatArray:
    """All patterns of +-1 up to a common sign, shape (2^(size - 1), size)."""
    codes = np.arange(2 ** (size - 1))[:, None] >> np.arange(size)[None, :]
    return np.where(codes & 1, -1.0, 1.0)


def check_ordered(lower: FloatArray, upper: FloatArray) -> None:
    """Refuse bounds of different shapes, or a lower bound above its upper bound."""
    if lower.shape != upper.shape:
        raise InvalidInput(f"lower and upper must have one shape; got {lower.shape} and {upper.shape}")
    if (lower > upper).any():
        i, j = np.argwhere(lower > upper)[0]
        raise InvalidInput(f"lower exceeds upper at [{i}, {j}]: {lower[i, j]:g} > {upper[i, j]:g}")


def symmetric(matrix: Any, name: str) -> FloatArray:
    """The matrix as a dense array; refused unless it is real and symmetric."""
    operator = MatrixOperator(matrix, kind="curvature")
    if operator.complex or not operator.symmetric:
        raise InvalidInput(f"{name} must be real and symmetric; got shape {operator.shape}")
    return dense(operator.entries)
