"""Sums of powers, the simplest functions for which no step holds everywhere."""

from typing import Annotated, Any

import numpy as np

from surefoot.checks import Count, Range, checked, real_array
from surefoot.errors import InvalidInput, NotSmooth
from surefoot.operators import Array
from surefoot.problems._base import Problem, overflow_is_a_value
from surefoot.problems._checks import real_vector
from surefoot.spectra import Bounds, Spectrum

# For exponents below 2 the bounds hold while no |x_i| falls below this share of the smallest at the start. By
# convention.
KEPT = 0.5
Exponent = Annotated[float, Range("(1, inf)", "for 1 use AbsoluteLoss, which knows that it is not smooth")]


@checked
class PowerSum(Problem):
    """Sum of the p-th powers of the absolute values of the unknowns, p > 1.

        f(x) = sum_i |x_i|^p,    H(x) = diag(p (p - 1) |x_i|^(p - 2))

    Except for p = 2 no step suits all x, and the bounds are local, with a region:

    - p > 2: the curvature grows without bound as x grows. In the level set f <= f(x0) of the start it is at most
      p (p - 1) f(x0)^((p - 2)/p) (exact, at a corner), and a run with a step below 2/L, L that bound, stays
      there: f never rises. Near 0 it vanishes, so convergence is sublinear.
    - 1 < p < 2: the curvature grows without bound as some x_i tends to 0, the minimiser. The bounds hold in the level
      set of the start while all |x_i| are at least half the smallest of x0. A constant step h never converges: it ends
      in the 2-cycle +-(h p/2)^(1/(2 - p)), which is stable, since h times the curvature there is 2 (p - 1) < 2.

    Parameters
    ----------
    exponent : float
        p > 1.
    size : int
        Number of unknowns; that of the start by default, else 1.
    start : array, shape (size,), optional
        Start of runs and centre of the local bounds; ones by default. Not 0, and without a zero entry for p < 2.

    Raises
    ------
    InvalidInput
        If the exponent is not a finite number > 1, the size is not positive, or the start is not allowed.

    Examples
    --------
    >>> import surefoot as sf
    >>> quartic = sf.problems.PowerSum(4, start=[1.0])
    >>> print(sf.limits(quartic))
    step limits of gradient descent (local claim)
      stable           0.166667  2/L, L <= 12
      curvature limit  0.166667  2/L, L <= 12
      safe             0.0833333  1/L: best guaranteed decrease
      optimal          0.0833333  the safe step
      rate             1         sublinear in general: the smallest curvature is 0
      condition        inf       L/mu
      holds in f <= f(x0) = 1; no step holds for all x: the curvature grows without bound as x grows
    """

    def __init__(self, exponent: Exponent, *, size: Count | None = None, start: Any = None) -> None:
        self._p = exponent
        if start is None:
            start = np.ones(1 if size is None else size)
        start = real_array(start, "start")
        self._start = real_vector(start, start.size if size is None else size, "start")
        if not self._start.size:
            raise InvalidInput("there must be at least one unknown; got size 0")
        if not self._start.all() and (self._p < 2 or not self._start.any()):
            raise InvalidInput("the start must not be 0, where the claim would be empty; give another start")

    @property
    def name(self) -> str:
        """``sum of |x|^p``, with its size."""
        return f"sum of |x|^{self._p:g}, {self.size} unknowns"

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return self._start.size

    @property
    def convex(self) -> bool:
        """True."""
        return True

    @property
    def constant_curvature(self) -> bool:
        """Whether p = 2."""
        return self._p == 2

    def start(self) -> Array:
        """The start, where the local bounds are made."""
        return self._start.copy()

    @overflow_is_a_value
    def value(self, x: Array) -> float:
        """f(x); infinite where it overflows."""
        return float(np.sum(np.abs(self.checked(x)) ** self._p))

    @overflow_is_a_value
    def gradient(self, x: Array) -> Array:
        """The gradient: p |x_i|^(p - 1) sign(x_i)."""
        x = self.checked(x)
        return self._p * np.abs(x) ** (self._p - 1) * np.sign(x)

    @overflow_is_a_value
    def hessian_product(self, x: Array, v: Array) -> Array:
        """The Hessian at x times v.

        Raises
        ------
        NotSmooth
            If p < 2 and an entry of x is 0, where the curvature is infinite.
        """
        x = self.checked(x)
        if self._p < 2 and not x.all():
            raise NotSmooth(f"|x|^{self._p:g} has infinite curvature at 0, and an entry of x is; move it away from 0")
        return self._curvature_at(np.abs(x)) * self.checked(v, "v")

    def curvature(self) -> Spectrum:
        """The curvature: global for p = 2, else of a region around the start, which the spectrum names."""
        level = self.value(self._start)
        # no |x_i| exceeds this in the level set, since f is at least |x_i|^p
        radius = level ** (1 / self._p)
        if self._p == 2:
            return self._bounds(Bounds.exactly(2.0), 2.0, "", "global")
        if self._p > 2:
            region = (
                f"in f <= f(x0) = {level:.6g}; no step holds for all x: the curvature grows without bound as x grows"
            )
            return self._bounds(Bounds.exactly(0.0), self._curvature_at(radius), region)
        least = KEPT * float(np.abs(self._start).min())
        region = (
            f"in f <= f(x0) = {level:.6g} while all |x_i| >= {least:.6g}; no step holds for all x: the curvature grows "
            f"without bound as some x_i tends to 0, and a step h ends in a cycle of |x_i| = "
            f"({self._p / 2:g} h)^{1 / (2 - self._p):.3g}"
        )
        # 0 as lower end: a run leaves the region, so that no rate follows from the smallest curvature in it
        return self._bounds(
            Bounds(0.0, self._curvature_at(radius), "proved", "exact"), self._curvature_at(least), region
        )

    def _curvature_at(self, size: Any) -> Any:
        return self._p * (self._p - 1) * size ** (self._p - 2)

    def _bounds(self, smallest: Bounds, largest: float, region: str, scope: Any = "local") -> Spectrum:
        return Spectrum(
            kind="curvature",
            largest=Bounds.exactly(largest),
            smallest=smallest,
            size=self.size,
            provenance="closed form",
            scope=scope,
            note="p (p - 1) |x|^(p - 2)",
            region=region,
        )
