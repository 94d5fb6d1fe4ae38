"""Random directions from a part of the problem: SGD, SAGA, single coordinates.

Each is unbiased: its mean is minus the gradient (for `Coordinate`, minus a scaled gradient).
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from surefoot.checks import Count, checked
from surefoot.errors import InvalidInput
from surefoot.operators import Array


class FiniteSum(Protocol):
    """A mean of terms, f(x) = (1/n) sum_i f_i(x).

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.problems import LeastSquares
    >>> f = LeastSquares([[1.0], [2.0]], [1.0, 2.0])  # two terms
    >>> f.terms, f.term_gradients(np.array([0, 1]), np.zeros(1)).ravel()
    (2, array([-1., -4.]))
    """

    @property
    def terms(self) -> int:
        """The number n of terms."""
        ...

    def term_gradients(self, rows: Array, x: Array) -> Array:
        """The gradients of the given terms, shape (len(rows), size)."""
        ...

    def term_curvatures(self) -> Array:
        """An upper bound on the curvature of each term, shape (n,)."""
        ...


class Partial(Protocol):
    """A function whose partial derivatives cost less than its gradient.

    It may also have a method `follow(x)` if derivatives along a path are cheaper still: that returns an object with
    `partial(i)`, the derivative at the current point, and `move(i, value)`, which sets a coordinate.

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.problems import LeastSquares
    >>> f = LeastSquares([[1.0, 0.0], [0.0, 2.0]], [1.0, 2.0])
    >>> float(f.partial(1, np.zeros(2))), f.gradient(np.zeros(2))
    (-2.0, array([-0.5, -2. ]))
    """

    @property
    def size(self) -> int:
        """Number of coordinates."""
        ...

    def partial(self, i: int, x: Array) -> float:
        """The i-th partial derivative at x."""
        ...

    def coordinate_curvatures(self) -> Array:
        """An upper bound on the second derivative along each coordinate, shape (size,)."""
        ...


class Sampler(Protocol):
    """Draws directions.

    Examples
    --------
    One term at a time gives 1 or 4, minus the gradients of the terms; their mean is minus the gradient, 2.5:

    >>> import numpy as np
    >>> from surefoot.problems import LeastSquares
    >>> from surefoot.solvers import SGD
    >>> f, x, rng = LeastSquares([[1.0], [2.0]], [1.0, 2.0]), np.zeros(1), np.random.default_rng(0)
    >>> sampler = SGD(batch=1)
    >>> sorted({float(sampler.direction(sampler.begin(f, x), f, x, rng)[0]) for _ in range(20)})
    [1.0, 4.0]
    """

    def begin(self, problem: Any, x: Array) -> Any:
        """The sampler's memory at the start."""
        ...

    def draws(self, problem: Any) -> int:
        """Number of draws in a pass."""
        ...

    def direction(self, memory: Any, problem: Any, x: Array, rng: np.random.Generator) -> Array:
        """A direction of descent in the mean, shape (size,); may update the memory."""
        ...


@runtime_checkable
class Repeatable(Protocol):
    """A sampler that can evaluate the same part of the problem at two points."""

    def again(self, memory: Any, problem: Any, x: Array) -> Array:
        """The direction of the last part drawn, at another point, shape (size,)."""
        ...


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class SGD:
    """Minus the mean gradient of a random batch.

        d = -(1/B) sum_{i in batch} g_i/(n p_i)

    (Robbins, Monro 1951; p_i = L_i/sum L with `importance`: Needell, Srebro, Ward 2014.) With a constant step it
    reaches a neighbourhood of the minimum set by the noise; with InverseTime it converges.

    Parameters
    ----------
    batch : int
        B >= 1, drawn with replacement.
    importance : bool
        Whether sharp terms are drawn more often; else all equally often.

    Raises
    ------
    InvalidInput
        If the batch is smaller than 1.
    """

    batch: Count = 1
    importance: bool = False

    def begin(self, problem: FiniteSum, x: Array) -> list[Array | None]:  # noqa: ARG002 - the contract
        """The probabilities, if they differ, and the rows drawn last."""
        if not self.importance:
            return [None, None]
        curvatures = np.asarray(problem.term_curvatures(), dtype=np.float64)
        return [curvatures / curvatures.sum(), None]

    def draws(self, problem: FiniteSum) -> int:
        """n/B, rounded up."""
        return -(-problem.terms // self.batch)

    def direction(self, memory: list[Array | None], problem: FiniteSum, x: Array, rng: np.random.Generator) -> Array:
        """Minus the mean gradient of one batch."""
        memory[1] = rng.choice(problem.terms, size=self.batch, p=memory[0])
        return self.again(memory, problem, x)

    def again(self, memory: list[Array | None], problem: FiniteSum, x: Array) -> Array:
        """The direction of the last batch, at another point."""
        probabilities, rows = memory
        assert rows is not None
        gradients = problem.term_gradients(rows, x)
        # rows that are drawn more often get less weight, so that the mean stays the gradient
        if probabilities is not None:
            gradients = gradients / (problem.terms * probabilities[rows])[:, None]
        return -gradients.mean(axis=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SAGA:
    """Minus the gradient of one term, corrected by a table of the latest gradients.

        d = -(g_i(x) - table_i + mean(table))

    The noise vanishes at the minimum: with a step 1/(3 max L_i) the error falls by 1 - min(1/(4n), mu/(3 max L_i)) per
    draw, in the mean (Defazio, Bach, Lacoste-Julien 2014, corollary 1). The table takes n x size numbers.
    """

    def begin(self, problem: FiniteSum, x: Array) -> list[Array]:
        """The table at x and its mean: one pass."""
        table = np.array(problem.term_gradients(np.arange(problem.terms), x), dtype=np.float64)
        return [table, table.mean(axis=0)]

    def draws(self, problem: FiniteSum) -> int:
        """Draws per pass: n."""
        return problem.terms

    def direction(self, memory: list[Array], problem: FiniteSum, x: Array, rng: np.random.Generator) -> Array:
        """The corrected direction of one term, whose row of the table is replaced."""
        table, mean = memory
        i = int(rng.integers(problem.terms))
        new = problem.term_gradients(np.array([i]), x)[0]
        # the old row has the table's mean as its mean, so the change has a variance that vanishes at the minimum
        change = new - table[i]
        direction = -(change + mean)
        mean += change / problem.terms
        table[i] = new
        return direction


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinate:
    """One coordinate at a time, each with its own limit.

        d = -(g_i/L_i) e_i

    With a step of 1 the loss never rises (Nesterov 2012). On a quadratic this is a random Gauss-Seidel sweep.

    Parameters
    ----------
    cyclic : bool
        Whether to take the coordinates in order instead of at random.
    """

    cyclic: bool = False

    def begin(self, problem: Partial, x: Array) -> list[Any]:
        """The curvatures, the next coordinate, the path if the problem follows one, and the coordinate moved last.

        Raises
        ------
        InvalidInput
            If a curvature is not positive.
        """
        curvatures = np.asarray(problem.coordinate_curvatures(), dtype=np.float64)
        if not bool(np.all(curvatures > 0)):
            raise InvalidInput(
                f"coordinate curvatures must be positive; the least is {curvatures.min():g}; add a ridge"
            )
        follow = getattr(problem, "follow", None)
        return [curvatures, 0, None if follow is None else follow(x), 0]

    def draws(self, problem: Partial) -> int:
        """One draw for each coordinate."""
        return problem.size

    def direction(self, memory: list[Any], problem: Partial, x: Array, rng: np.random.Generator) -> Array:
        """A direction along one coordinate."""
        curvatures, following, path, last = memory
        i = following if self.cyclic else int(rng.integers(problem.size))
        memory[1] = (following + 1) % problem.size
        direction = np.zeros(problem.size)
        # the driver has moved the last coordinate: the path is updated at the cost of one column
        if path is not None:
            path.move(last, float(x[last]))
        direction[i] = -(problem.partial(i, x) if path is None else path.partial(i)) / curvatures[i]
        memory[3] = i
        return direction
