"""Sets of design matrices A: the extreme eigenvalues of A'A for data known only to a tolerance."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.checks import Nonnegative, checked, real_array
from surefoot.errors import InvalidInput
from surefoot.operators import MatrixOperator, dense
from surefoot.spectra.types import Bounds
from surefoot.spectra.uncertain._sets import MOST_SIGNS, FloatArray, UncertaintySet, check_ordered, signs, two_norm


class _DesignSet(UncertaintySet):
    """The set of A'A for A in a set: `size` is the number of columns, members are Gram matrices."""

    def sample(self, rng: np.random.Generator) -> FloatArray:
        """A'A of a random member."""
        A = self.sample_design(rng)
        return A.T @ A

    @abstractmethod
    def sample_design(self, rng: np.random.Generator) -> FloatArray:
        """A random member A."""


@checked
@dataclass(frozen=True, slots=True, eq=False)
class Rectangular(_DesignSet):
    """A'A for lower <= A <= upper entry by entry.

        sup |A|_2 = max over signs x, y of |C + diag(x) D diag(y)|_2

    with C the midpoints and D the half widths (from u'(A - C)v <= |u|'D|v|). Exact for few rows and columns
    (m + n <= 13), else |C|_2 + |D|_2 is a bound. The smallest eigenvalue is bounded by Weyl's inequality.

    Parameters
    ----------
    lower, upper : array, shape (m, n)

    Raises
    ------
    InvalidInput
        If shapes differ or lower exceeds upper.
    """

    lower: Any
    upper: Any

    def __post_init__(self) -> None:
        low, high = _design(self.lower, "lower"), _design(self.upper, "upper")
        check_ordered(low, high)
        object.__setattr__(self, "lower", low)
        object.__setattr__(self, "upper", high)

    @property
    def size(self) -> int:
        """The number of columns."""
        return self.lower.shape[1]

    @property
    def name(self) -> str:
        """The largest half width."""
        return f"data within +-{((self.upper - self.lower) / 2).max():.3g}"

    def largest(self) -> Bounds:
        """The largest over all signs, or a bound."""
        center, width = self._parts()
        m, n = center.shape
        if m + n <= MOST_SIGNS + 1:
            rows, columns = signs(m), np.concatenate([signs(n), -signs(n)])
            tops = [
                np.linalg.norm(center + x[:, None] * width * columns[:, None, :], 2, axis=(1, 2)).max() for x in rows
            ]
            return Bounds.exactly(max(tops) ** 2)
        # the signs of the top singular vectors give a member close to the bound
        left, values, right = np.linalg.svd(center, full_matrices=False)
        pattern = np.where(np.outer(left[:, 0], right[0]) < 0, -1.0, 1.0)
        reached = two_norm(center + pattern * width)
        return Bounds(reached**2, (float(values[0]) + two_norm(width)) ** 2, "proved", "proved")

    def smallest(self) -> Bounds:
        """(max(0, sigma_min(C) - |D|_2))^2 <= inf <= sigma_min(C)^2."""
        center, width = self._parts()
        least = _least_singular(center)
        return Bounds(max(0.0, least - two_norm(width)) ** 2, least**2, "proved", "proved")

    def sample_design(self, rng: np.random.Generator) -> FloatArray:
        """Entries uniform in their intervals."""
        return rng.uniform(self.lower, self.upper)

    def _parts(self) -> tuple[FloatArray, FloatArray]:
        return (self.lower + self.upper) / 2, (self.upper - self.lower) / 2


@checked
@dataclass(frozen=True, slots=True, eq=False)
class FeatureRanges(_DesignSet):
    """(A S)'(A S) for S = diag(s), each feature's scale s_j anywhere in [low_j, high_j]: units, drift, calibration.

    Exact: A S S A' = sum_j s_j^2 a_j a_j' grows with every s_j, so the largest eigenvalue is largest at `high`; the
    inverse of S A'A S falls with every s_j, so the smallest is smallest at `low`.

    Parameters
    ----------
    design : array, shape (m, n)
    low, high : array, shape (n,), or float
        Positive factors, low <= high.

    Raises
    ------
    InvalidInput
        If the factors are not positive and ordered, or of another shape.
    """

    design: Any
    low: Any
    high: Any

    def __post_init__(self) -> None:
        design = _design(self.design, "design")
        low, high = real_array(self.low, "low"), real_array(self.high, "high")
        shapes = {low.shape, high.shape} - {(), (design.shape[1],)}
        if shapes or not (np.isfinite(high).all() and (low > 0).all() and (low <= high).all()):
            raise InvalidInput(f"needs positive factors low <= high, numbers or of shape ({design.shape[1]},)")
        object.__setattr__(self, "design", design)
        object.__setattr__(self, "low", np.broadcast_to(low, design.shape[1:]))
        object.__setattr__(self, "high", np.broadcast_to(high, design.shape[1:]))

    @property
    def size(self) -> int:
        """The number of columns."""
        return self.design.shape[1]

    @property
    def name(self) -> str:
        """The widest range."""
        return f"feature scales between {self.low.min():g} and {self.high.max():g}"

    def largest(self) -> Bounds:
        """The largest eigenvalue at `high`."""
        return Bounds.exactly(two_norm(self.design * self.high) ** 2)

    def smallest(self) -> Bounds:
        """The smallest eigenvalue at `low`."""
        return Bounds.exactly(_least_singular(self.design * self.low) ** 2)

    def sample_design(self, rng: np.random.Generator) -> FloatArray:
        """Scales uniform in their ranges."""
        return self.design * rng.uniform(self.low, self.high)


@checked
@dataclass(frozen=True, slots=True, eq=False)
class RowPerturbation(_DesignSet):
    """(A + E)'(A + E) for every row of E of length <= radius: each sample known to a tolerance.

        max_v | |A v| + radius 1 |  <=  |A|_2 + radius sqrt(m)

    The left side, at A's top right singular vector, is reached by a member; the right side is a bound (E has spectral
    norm at most radius sqrt(m)).

    Parameters
    ----------
    design : array, shape (m, n)
    radius : float
        Largest length of a row of E, nonnegative; unit of the data.

    Raises
    ------
    InvalidInput
        If the radius is negative or not finite.

    Examples
    --------
    A single sample 2, known to 0.1, has a curvature of (2 + 0.1)^2 at most:

    >>> from surefoot.spectra import RowPerturbation
    >>> print(RowPerturbation([[2.0]], 0.1).largest())
    4.41
    """

    design: Any
    radius: Nonnegative

    def __post_init__(self) -> None:
        object.__setattr__(self, "design", _design(self.design, "design"))

    @property
    def size(self) -> int:
        """The number of columns."""
        return self.design.shape[1]

    @property
    def name(self) -> str:
        """The radius."""
        return f"samples within {self.radius:g}"

    def largest(self) -> Bounds:
        """An interval from the value of a member to the bound."""
        _, values, right = np.linalg.svd(self.design, full_matrices=False)
        reached = float(np.linalg.norm(np.abs(self.design @ right[0]) + self.radius))
        return Bounds(reached**2, (float(values[0]) + self._spread) ** 2, "proved", "proved")

    def smallest(self) -> Bounds:
        """(max(0, sigma_min - radius sqrt(m)))^2 <= inf <= sigma_min^2."""
        least = _least_singular(self.design)
        return Bounds(max(0.0, least - self._spread) ** 2, least**2, "proved", "proved")

    def sample_design(self, rng: np.random.Generator) -> FloatArray:
        """A with rows moved in random directions by up to the radius."""
        moves = rng.standard_normal(self.design.shape)
        lengths = np.linalg.norm(moves, axis=1, keepdims=True)
        return self.design + self.radius * rng.uniform(size=lengths.shape) * moves / lengths

    @property
    def _spread(self) -> float:
        return self.radius * float(np.sqrt(self.design.shape[0]))


def _design(matrix: Any, name: str) -> FloatArray:
    operator = MatrixOperator(matrix, tolerance=0.0)
    if operator.complex:
        raise InvalidInput(f"{name} must be real; got complex entries")
    return dense(operator.entries)


def _least_singular(matrix: FloatArray) -> float:
    """The smallest singular value that counts for A'A: 0 for fewer rows than columns."""
    return float(np.linalg.svd(matrix, compute_uv=False)[-1]) if matrix.shape[0] >= matrix.shape[1] else 0.0
