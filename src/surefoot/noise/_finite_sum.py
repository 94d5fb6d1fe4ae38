"""The exact gradient noise of a finite sum, all of whose terms are known."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot.checks import Count, Positive, checked
from surefoot.errors import InvalidType, NotFinite
from surefoot.noise._types import GradientNoise, remainder
from surefoot.noise.source import Source, measure_noise
from surefoot.operators import Array
from surefoot.problems import Problem
from surefoot.records import Record

# Numbers held at a time for the gradients of terms: 32 MB, by convention.
CHUNK = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMoments(Record):
    """The mean and the covariance of one SGD step.

    Parameters
    ----------
    drift : array, shape (size,)
        E[x_{t+1} - x_t].
    covariance : array, shape (size, size)
        Covariance of x_{t+1}, given x_t.
    """

    drift: Array
    covariance: Array


@checked
def gradient_noise(problem: Problem, x: Any = None, *, curvature: bool = False) -> GradientNoise:
    """The exact noise of the gradients of a finite sum's terms at a point.

        Sigma = (1/n) sum_i (g_i - G)(g_i - G)',    scale = tr(Sigma)/|G|^2

    Parameters
    ----------
    problem : Problem
        A problem with `terms` and `term_gradients`: least squares, logistic, softmax, Huber.
    x : array, shape (size,), optional
        The point; by default the problem's start.
    curvature : bool
        Whether to compute tr(H Sigma)/(G'HG) too, for one Hessian product per term.

    Returns
    -------
    GradientNoise
        Its intervals are single numbers; the cost is two gradients.

    Raises
    ------
    InvalidType
        If the problem has no terms.
    NotFinite
        If a gradient is not finite.

    References
    ----------
    S. McCandlish, J. Kaplan, D. Amodei, An empirical model of large-batch training, arXiv 1812.06162 (2018), equations
    2.8 and 2.9.

    Examples
    --------
    >>> from surefoot.problems import LeastSquares
    >>> from surefoot.noise import gradient_noise
    >>> problem = LeastSquares([[1.0], [1.0]], [1.0, 3.0])
    >>> gradient_noise(problem).scale  # gradients -1 and -3
    0.25
    """
    x = _point(problem, x)
    product = (lambda v: problem.hessian_product(x, v)) if curvature else None
    return measure_noise(_Terms(problem, x), failure=None, product=product)


class _Terms(Source):
    """The gradients of all terms of a finite sum at x, as a `Source`."""

    def __init__(self, problem: Any, x: Array) -> None:
        self.problem, self.x = problem, x

    @property
    def name(self) -> str:
        return "gradients of terms"

    @property
    def passes(self) -> int:
        return 2

    def mean(self) -> Array:
        return sum(rows.sum(axis=0) for rows in self.gradients()) / self.problem.terms

    def deviations(self, mean: Array) -> Iterator[tuple[Array, Array]]:
        for rows in self.gradients():
            yield np.ones(len(rows)), rows - mean

    def gradients(self) -> Iterator[Array]:
        """The gradients, some rows at a time."""
        most = max(1, CHUNK // self.problem.size)
        for first in range(0, self.problem.terms, most):
            rows = self.problem.term_gradients(np.arange(first, min(first + most, self.problem.terms)), self.x)
            if not np.isfinite(rows).all():
                raise NotFinite("a term's gradient is not finite at x; start elsewhere")
            yield rows


@checked
def step_moments(
    problem: Problem, x: Any = None, *, rate: Positive, batch: Count, replacement: bool = True
) -> StepMoments:
    """The exact drift and covariance of one step of SGD, x <- x - rate g_B.

        drift = -rate G,    covariance = rate^2 Sigma/B;    without replacement, times (n - B)/(n - 1)

    Parameters
    ----------
    problem, x
        As in `gradient_noise`.
    rate : float
    batch : int
        Batch size B.
    replacement : bool
        Whether a term can be drawn twice.

    Returns
    -------
    StepMoments

    Raises
    ------
    InvalidInput
        If a number is out of range.
    InvalidType
        If the problem has no terms.
    NotFinite
        If a gradient is not finite.

    Examples
    --------
    >>> from surefoot.problems import LeastSquares
    >>> from surefoot.noise import step_moments
    >>> problem = LeastSquares([[1.0], [1.0]], [1.0, 3.0])
    >>> moments = step_moments(problem, rate=0.5, batch=1)
    >>> moments.drift, moments.covariance
    (array([1.]), array([[0.25]]))
    """
    terms = _Terms(problem, _point(problem, x))
    mean, total = terms.mean(), np.zeros((problem.size, problem.size))
    for _, away in terms.deviations(mean):
        total += away.T @ away
    count = terms.problem.terms
    factor = rate * rate / batch * remainder(batch, None if replacement else count)
    return StepMoments(drift=-rate * mean, covariance=factor / count * total)


def _point(problem: Any, x: Any) -> Array:
    if not hasattr(problem, "term_gradients"):
        raise InvalidType(
            f"{type(problem).__name__} is no sum of terms, so its gradient has no noise; give LeastSquares, Logistic, "
            "Softmax or a problem of yours with `terms` and `term_gradients`"
        )
    return problem.start() if x is None else problem.checked(x)
