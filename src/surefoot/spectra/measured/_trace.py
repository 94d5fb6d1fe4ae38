"""The trace of an operator, from products with random vectors."""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from surefoot.checks import Fraction, Range, checked
from surefoot.errors import InvalidInput
from surefoot.operators import Array, Operator, as_operator
from surefoot.records import Record
from surefoot.spectra.measured.spectrum import private_generator
from surefoot.spectra.types import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceEstimate(Record):
    """An estimate of a trace with its error.

    Parameters
    ----------
    value : float
        The estimate; unbiased.
    standard_error : float
        Standard error of the value; 0 if it is exact.
    interval : Bounds
        value +- t standard errors. Its ends are estimates (Student's t, for samples that are not quite normal): it
        misses with about the probability asked for.
    products : int
        Number of products that it cost.
    method : "exact", "Hutch++" or "Hutchinson"
    """

    value: float
    standard_error: float
    interval: Bounds
    products: int
    method: str

    def __str__(self) -> str:
        if self.method == "exact":
            return f"trace {self.value:.6g} (exact)"
        return (
            f"trace {self.value:.6g} +- {self.standard_error:.2g}, in {self.interval}, wrong with probability about "
            f"{self.interval.failure:g} ({self.method}, {self.products} products)"
        )


@checked
def trace(
    operator: Any,
    *,
    products: Annotated[int, Range("[6, inf)")] = 60,
    failure: Fraction = 0.05,
    deflate: bool = True,
    rng: int | np.random.Generator = 0,
) -> TraceEstimate:
    """The trace of a square operator with a confidence interval, by Hutch++.

        tr A = tr Q'AQ + E g'(I - QQ')A(I - QQ')g,    Q an orthonormal basis of A S,    S, g random signs

    A third of the products finds the range of A, a third gives its part of the trace exactly, the rest samples what is
    left: for a positive semidefinite A the error falls as 1/products instead of the 1/sqrt(products) of Hutchinson's
    estimator (``deflate=False``), which is better only where the eigenvalues hardly decay. Both are unbiased for any
    square A. Up to `products` rows the trace is computed exactly.

    Parameters
    ----------
    operator : matrix or operator, shape (n, n)
    products : int
        Budget, at least 6.
    failure : float
        Probability that the interval misses, in (0, 1).
    deflate : bool
        Hutch++ if True, else Hutchinson.
    rng : int or numpy Generator

    Returns
    -------
    TraceEstimate

    Raises
    ------
    InvalidInput
        If the operator is not square or a number is out of range.

    References
    ----------
    R. A. Meyer, C. Musco, C. Musco, D. P. Woodruff, Hutch++: optimal stochastic trace estimation, SOSA 2021.

    Examples
    --------
    >>> import surefoot as sf
    >>> print(sf.spectra.trace([[2, 1], [1, 3]]))
    trace 5 (exact)
    """
    operator = as_operator(operator)
    m, n = operator.shape
    if m != n:
        raise InvalidInput(f"a trace needs a square operator; got shape {(m, n)}")
    if operator.entries is not None:
        return _exact(float(np.real(operator.entries.diagonal().sum())), 0)
    if operator.factor is not None and operator.factor.entries is not None:  # tr F'F, the sum of squares
        return _exact(float((abs(operator.factor.entries) ** 2).sum()), 0)
    if n <= products:
        return _exact(sum(float(np.real(operator.matvec(e)[i])) for i, e in enumerate(np.eye(n))), n)
    from scipy.special import stdtrit

    generator = private_generator(rng)
    third = products // 3 if deflate else 0
    known, basis = _deflate(operator, third, generator)
    samples = np.array([_sample(operator, basis, generator) for _ in range(products - 2 * third)])
    value = known + float(samples.mean())
    error = float(samples.std(ddof=1)) / math.sqrt(samples.size)
    reach = float(stdtrit(samples.size - 1, 1 - failure / 2)) * error
    return TraceEstimate(
        value=value,
        standard_error=error,
        interval=Bounds(value - reach, value + reach, "estimate", "estimate", failure),
        products=products,
        method="Hutch++" if deflate else "Hutchinson",
    )


def _deflate(operator: Operator, count: int, generator: np.random.Generator) -> tuple[float, Array | None]:
    """The trace of Q'AQ, and Q, an orthonormal basis of A times `count` random sign vectors; 0 and None for count 0."""
    if not count:
        return 0.0, None
    space = operator.space
    images = space.xp.stack([operator.matvec(_signs(operator, generator)) for _ in range(count)], axis=1)
    basis = space.xp.linalg.qr(images)[0]
    known = (space.inner(q, operator.matvec(q)) for q in (basis[:, i] for i in range(count)))
    return sum(float(x.real) for x in known), basis


def _sample(operator: Operator, basis: Array | None, generator: np.random.Generator) -> float:
    """A sample g'Ag, g random signs orthogonal to the basis: its mean is the rest of the trace."""
    g = _signs(operator, generator)
    if basis is not None:
        g = g - basis @ (operator.space.xp.conj(basis).T @ g)
    return float(operator.space.inner(g, operator.matvec(g)).real)


def _signs(operator: Operator, generator: np.random.Generator) -> Array:
    """A vector of random signs in the operator's space, real."""
    n, space = operator.shape[0], operator.space
    if space.on_numpy:
        return np.asarray(generator.integers(0, 2, n) * 2.0 - 1.0, dtype=np.float64)
    return space.asarray(space.xp.where(space.xp.real(space.normal(n, generator)) < 0, -1.0, 1.0))


def _exact(value: float, products: int) -> TraceEstimate:
    return TraceEstimate(
        value=value, standard_error=0.0, interval=Bounds.exactly(value), products=products, method="exact"
    )
