"""How well curves explain the rates of a log, many curves at a time."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from surefoot.tables import spread

Array = NDArray[np.float64]

# Points of the grid that is laid between the neighbours of the best one, again and again, until they are whole numbers.
_ZOOM = 33
# With fewer rows to explain, too many explanations would fit.
FEWEST = 3
# Rows that a search looks at: half of them evenly, half of them dense at the start, where a warm-up is.
SAMPLE = 96


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Steps with their rates, and the tolerances that a curve is held to.

    Parameters
    ----------
    steps, rates : array, shape (n,)
    largest : float
        The largest rate that ran, positive.
    tight : float
        Largest difference that rounding in the log can make, as a part of that rate.
    loose : float
        Largest difference that counts as agreement, likewise as a part of it.
    marked : int
        Index of a row that every sample includes: the one that is hardest to explain.
    """

    steps: Array
    rates: Array
    largest: float
    tight: float
    loose: float
    marked: int = 0

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def level(self) -> float | None:
        """The rate of all rows if they agree to rounding; None if they differ, or there is only one."""
        high = float(self.rates.max())
        held = len(self) > 1 and high - float(self.rates.min()) <= self.tight * self.largest
        return high if held else None

    def part(self, first: int, last: int | None = None) -> "Rows":
        """Rows from one index to before another."""
        return self._of(np.arange(len(self))[first:last])

    def some(self, most: int = SAMPLE) -> "Rows":
        """A sample of at most `most` rows: half evenly spread, half dense at the start, and those at the marked one."""
        n = len(self)
        if n <= most:
            return self
        # a warm-up of ten rows in ten thousand would fall between evenly spread ones
        even = np.linspace(0, n - 1, most // 2)
        early = np.geomspace(1, n, most // 2) - 1
        near = np.clip(np.arange(self.marked - 2, self.marked + 3), 0, n - 1)
        return self._of(np.unique(np.concatenate([even, early, near]).round().astype(int)))

    def thin(self, most: int) -> "Rows":
        """At most `most` of the rows, evenly spread, and the marked one."""
        if len(self) <= most:
            return self
        return self._of(np.array(sorted({*spread(len(self), most), self.marked})))

    def fit(self, values: Array, scale: float | None = None) -> tuple[Array, Array]:
        """Largest difference of ``scale * values`` as a part of the largest rate, and the scale.

        Parameters
        ----------
        values : array, shape (..., n)
        scale : float, optional
            Default: the best one in the mean square, for each curve.

        Returns
        -------
        worst, scale : array, shape (...)
        """
        if scale is None:
            weight = np.sum(values * values, axis=-1)
            factor = np.sum(values * self.rates, axis=-1) / np.where(weight > 0, weight, 1.0)
            factor = np.where(weight > 0, factor, 1.0)
        else:
            factor = np.full(values.shape[:-1], scale)
        worst = np.max(np.abs(self.rates - factor[..., None] * values), axis=-1, initial=0.0) / self.largest
        # a curve that overflows explains nothing
        return np.where(np.isfinite(worst), worst, np.inf), factor

    def count_agreeing(self, values: Array, scale: float, slack: float) -> int:
        """Number of rows, counted from the first, that agree to within `slack` before one does not."""
        off = np.abs(self.rates - scale * values) > slack * self.largest
        return int(np.argmax(off)) if off.any() else len(self)

    def _of(self, kept: NDArray[np.intp]) -> "Rows":
        # where the marked row is not among them, the first one is
        marked = int(np.argmax(kept == self.marked))
        return replace(self, steps=self.steps[kept], rates=self.rates[kept], marked=marked)


def distances(rows: Rows) -> Array:
    """Whole numbers from 1 to beyond the last step, each about 1.3 times the one before: guesses for a search."""
    reach = max(float(np.abs(rows.steps).max()), 1.0)
    return np.round(1.3 ** np.arange(0.0, 2 + int(np.log(reach) / np.log(1.3))))


def nearest_whole(
    rows: Rows, curve: Callable[[Array, Array], Array], scale: float | None, guesses: Array, *, least: float = -np.inf
) -> float:
    """The whole number at which a curve fits best: the best of some guesses, then ever closer between its neighbours.

    The number of evaluations grows with the logarithm of the range, whatever the numbers are.

    Parameters
    ----------
    rows : Rows
        A sample of them is looked at.
    curve : callable
        Steps, shape (n,), and whole numbers, shape (m, 1), to rates, shape (m, n).
    scale : float or None
        Factor of the curves; None for the best one of each.
    guesses : array, shape (m,)
    least : float
        The smallest number allowed.
    """
    few = rows.some()
    grid = np.unique(np.maximum(np.round(guesses), least))
    while True:
        at = int(np.argmin(few.fit(curve(few.steps, grid[:, None]), scale)[0]))
        low, high = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
        if high - low <= 2:
            return float(grid[at])  # its neighbours are in the grid, and worse
        finer = np.unique(np.round(np.linspace(low, high, _ZOOM)))
        # the best one so far stays in the grid, so that a search never loses ground
        grid = np.unique(np.append(finer, grid[at]))
