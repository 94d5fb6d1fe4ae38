"""Bifurcation diagrams: orbits, their periods and their exponents against the parameter, in one pass."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.checks import Count, Positive, Range, checked
from surefoot.dynamics._orbit import period
from surefoot.dynamics._tangent import travel
from surefoot.dynamics.maps import Real, Update, prepare
from surefoot.errors import InvalidInput
from surefoot.tables import Table


@dataclass(frozen=True, slots=True, eq=False)
class Diagram(Table):
    """The long-run behaviour of orbits at many parameters.

    Parameters
    ----------
    parameters : array, shape (p,)
    points : array, shape (keep, p) or (keep, d, p)
        Last states in order of time.
    period : int array, shape (p,)
        Period of each orbit; 0 if none was found: chaos, an orbit that still creeps, or one that diverged.
    exponent : array, shape (p,)
        Largest Lyapunov exponent per step; NaN if the orbit diverged.
    """

    parameters: Real
    points: Real = field(repr=False)
    period: NDArray[np.int64] = field(repr=False)
    exponent: Real = field(repr=False)

    @property
    def left(self) -> NDArray[np.bool_]:
        """Whether the orbit diverged, shape (p,)."""
        axes = tuple(range(self.points.ndim - 1))
        return ~np.isfinite(self.points).all(axis=axes) | np.isnan(self.exponent)

    @property
    def chaotic(self) -> NDArray[np.bool_]:
        """Whether no period was found and nearby orbits separate, shape (p,)."""
        return ~self.left & (self.period == 0) & (self.exponent > 0)

    def __str__(self) -> str:
        low, high = float(self.parameters.min()), float(self.parameters.max())
        lines = [f"{self.parameters.size} parameters from {low:.6g} to {high:.6g}"]
        settled, sizes = np.unique(self.period[self.period > 0], return_counts=True)
        lines += [f"  period {q:<6} {n}" for q, n in zip(settled.tolist(), sizes.tolist(), strict=True)]
        others = (("chaotic", self.chaotic), ("left", self.left), ("undecided", ~self.left & ~self.chaotic))
        for name, where in others:
            number = int(np.count_nonzero(where & (self.period == 0)))
            lines += [f"  {name:<13} {number}"] if number else []
        return "\n".join(lines)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The heading, then a row per parameter: parameter, period, exponent, and the kept points in order of time.

        A vector state takes one column per coordinate: point_3_1 is coordinate 1 of the kept point 3.
        """
        keep = self.points.shape[0]
        if self.points.ndim == 2:
            names = [f"point_{t}" for t in range(keep)]
        else:
            names = [f"point_{t}_{i}" for t in range(keep) for i in range(self.points.shape[1])]
        yield "parameter", "period", "exponent", *names
        columns = self.points.reshape(-1, self.parameters.size).T.tolist()
        rows = zip(self.parameters.tolist(), self.period.tolist(), self.exponent.tolist(), columns, strict=True)
        yield from ((parameter, q, exponent, *points) for parameter, q, exponent, points in rows)


@checked
def diagram(
    update: Update,
    parameters: ArrayLike,
    x0: ArrayLike,
    *,
    steps: Annotated[int, Range("[2, inf)")] = 2000,
    keep: Annotated[int, Range("[2, inf)")] = 128,
    tolerance: Positive = 1e-6,
    longest: Count = 64,
) -> Diagram:
    """Orbits, periods and exponents for many parameters, in one pass over the orbits.

    Parameters
    ----------
    update, parameters, x0, steps, keep
        Arguments of `orbit`; `parameters` of shape (p,).
    tolerance, longest
        Arguments of `period`.

    Returns
    -------
    Diagram
        The exponent is averaged over the second half of the steps.

    Raises
    ------
    InvalidInput
        If an argument has the wrong shape or range.

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.dynamics import diagram
    >>> print(diagram(lambda x, r: r * x * (1 - x), np.linspace(2.81, 4.01, 7), 0.3))
    7 parameters from 2.81 to 4.01
      period 1      1
      period 2      3
      chaotic       2
      left          1
    """
    values, states = prepare(update, parameters, x0)
    if keep > steps:
        raise InvalidInput(f"keep must be at most steps = {steps}; got {keep}")
    points, exponent = travel(update, values, states, steps=steps, discard=steps // 2, keep=keep)
    return Diagram(values, points, period(points, tolerance=tolerance, longest=longest), exponent)
