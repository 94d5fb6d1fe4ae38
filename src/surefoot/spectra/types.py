"""Bounds on a number with the certainty of each end, and the spectrum that two of them make."""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from surefoot.checks import Positive, checked
from surefoot.errors import InvalidInput, NotFinite
from surefoot.operators import Array, Kind
from surefoot.records import Record, key

__all__ = ["Bounds", "Certainty", "Provenance", "Scope", "Spectrum"]

Certainty = Literal["exact", "proved", "probabilistic", "estimate"]
Provenance = Literal["exact", "measured", "closed form", "predicted", "worst case"]
Scope = Literal["global", "local"]


@checked
@dataclass(frozen=True, slots=True)
class Bounds(Record):
    """An interval that holds a number, and the certainty of each end.

    Parameters
    ----------
    lower, upper : float
        Ends, lower <= upper; infinite if nothing is known.
    lower_is, upper_is : "exact", "proved", "probabilistic" or "estimate"
        exact: the number itself, to rounding; proved: always holds; probabilistic: fails with probability `failure`;
        estimate: may fail.
    failure : float
        Probability that a probabilistic end misses; 0 where both ends are certain.

    Raises
    ------
    InvalidInput
        If lower > upper or an end is NaN.

    Examples
    --------
    >>> from surefoot.spectra.types import Bounds
    >>> print(Bounds(1.0, 1.01, "proved", "probabilistic", 1e-6))
    [1, 1.01]
    >>> print(Bounds.exactly(2.0))
    2
    """

    lower: float
    upper: float
    lower_is: Certainty = "exact"
    upper_is: Certainty = "exact"
    failure: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower", float(self.lower))
        object.__setattr__(self, "upper", float(self.upper))
        if not self.lower <= self.upper:
            raise InvalidInput(f"an interval needs lower <= upper; got [{self.lower!r}, {self.upper!r}]")

    @classmethod
    def exactly(cls, value: float) -> "Bounds":
        """The interval of one number that is known to rounding."""
        return cls(float(value), float(value))

    @property
    def width(self) -> float:
        """Upper - lower."""
        return self.upper - self.lower

    @property
    def midpoint(self) -> float:
        """The middle of the interval."""
        return 0.5 * (self.lower + self.upper)

    def contains(self, value: float) -> bool:
        """Whether the value lies in the interval."""
        return bool(self.lower <= value <= self.upper)

    def shifted(self, shift: float) -> "Bounds":
        """The interval of the number plus a shift."""
        return replace(self, lower=self.lower + shift, upper=self.upper + shift)

    def scaled(self, factor: float) -> "Bounds":
        """The interval of the number times a positive factor."""
        return replace(self, lower=self.lower * factor, upper=self.upper * factor)

    def __neg__(self) -> "Bounds":
        return Bounds(-self.upper, -self.lower, self.upper_is, self.lower_is, self.failure)

    def __str__(self) -> str:
        if self.lower == self.upper:
            return f"{self.lower:.6g}"
        return f"[{self.lower:.6g}, {self.upper:.6g}]"


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Spectrum(Record):
    """The ends of a spectrum, their cost and their origin.

    Parameters
    ----------
    kind : "curvature" or "jacobian"
        Eigenvalues of a Hessian, or of the Jacobian of a flow (minus the curvature, for a gradient flow).
    largest, smallest : Bounds
        Intervals of the algebraically largest and smallest eigenvalue; for a Jacobian, of the real parts.
    size : int
        Number of eigenvalues; 0 for the limit of a large matrix.
    provenance : "exact", "measured", "closed form", "predicted" or "worst case"
        How the numbers were obtained.
    scope : "global" or "local"
        Whether they hold for the whole problem or at one point.
    products : int
        Number of products with the operator (a product with a Gram matrix counts once).
    points : array, shape (size,), or None
        All eigenvalues in ascending order, if they were computed; complex for a Jacobian. Fewer than `size` are
        estimates (Ritz values) of the outer ones.
    note : str
        Remarks: a budget that ran out, a fact that was used.
    field_of_values : complex array or None
        Corners of a convex polygon for the set of all x'Ax with |x| = 1, if the matrix is not normal: its eigenvalues
        alone do not bound the growth of an iteration.
    eigenvector_condition : float
        Condition number of the eigenvectors; 1 for a normal matrix, infinite if it is not known.
    region : str
        Where a local claim holds, if not only at one point; completes the sentence "holds ...".

    Examples
    --------
    >>> import surefoot as sf
    >>> found = sf.spectrum([[3.0, 0.0], [0.0, 1.0]])
    >>> print(found.largest, found.smallest, found.provenance, found.shifted(0.5).largest)
    3 1 exact 3.5
    """

    kind: Kind = field(metadata=key("of"))
    largest: Bounds
    smallest: Bounds
    size: int
    provenance: Provenance
    scope: Scope = "global"
    products: int = 0
    points: Array | None = field(default=None, repr=False, compare=False)
    note: str = ""
    field_of_values: Array | None = field(default=None, repr=False, compare=False)
    eigenvector_condition: float = 1.0
    region: str = ""

    @property
    def negative(self) -> bool:
        """Whether the smallest eigenvalue is certified to be negative."""
        return self.smallest.upper < 0

    @property
    def undecided(self) -> bool:
        """Whether the interval of the smallest eigenvalue leaves its sign open."""
        return self.smallest.lower < 0 <= self.smallest.upper

    @property
    def failure(self) -> float:
        """An upper bound on the probability that either interval misses."""
        return self.largest.failure + self.smallest.failure

    def shifted(self, shift: float) -> "Spectrum":
        """The spectrum of A + shift I: ridge, coupled weight decay.

        Raises
        ------
        NotFinite
            If the shift is NaN or infinite.
        """
        if not math.isfinite(shift):
            raise NotFinite(f"shift must be finite; got {shift!r}")
        return self._affine(1.0, shift)

    @checked
    def scaled(self, factor: Positive) -> "Spectrum":
        """The spectrum of factor * A, factor > 0: another unit for the loss, a loss scale.

        Raises
        ------
        InvalidInput
            If the factor is not positive and finite.
        """
        return self._affine(factor, 0.0)

    def _affine(self, factor: float, shift: float) -> "Spectrum":
        largest, smallest = (end.scaled(factor).shifted(shift) for end in (self.largest, self.smallest))
        points, corners = (None if a is None else factor * a + shift for a in (self.points, self.field_of_values))
        return replace(self, largest=largest, smallest=smallest, points=points, field_of_values=corners)

    def __str__(self) -> str:
        size = f"size {self.size}" if self.size else "a large size"
        lines = [
            f"{self.provenance} {self.kind} spectrum of {size}, {self.scope}",
            f"  largest   {self.largest}  ({_trust(self.largest)})",
            f"  smallest  {self.smallest}  ({_trust(self.smallest)})",
        ]
        if self.products:
            lines.append(f"  cost      {self.products} products")
        if self.note:
            lines.append(f"  note      {self.note}")
        if self.region:
            lines.append(f"  holds     {self.region}")
        return "\n".join(lines)


def _trust(bounds: Bounds) -> str:
    if bounds.lower_is == bounds.upper_is == "exact":
        return "exact"
    ends = f"lower {bounds.lower_is}, upper {bounds.upper_is}"
    return f"{ends}, wrong with probability <= {bounds.failure:g}" if bounds.failure else ends
