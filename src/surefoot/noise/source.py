"""Sources of independent gradients, and the measurement of their noise."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from surefoot.checks import Fraction, checked
from surefoot.noise._types import GradientNoise
from surefoot.noise.estimate import Deviations, estimate, exact
from surefoot.operators import Array

__all__ = ["Source", "measure_noise"]


class Source(ABC):
    """Independent gradients g_k, each the mean over n_k samples; their weighted mean is the mean loss's gradient G.

    The gradients are arrays of any library (NumPy, torch on any device): `measure_noise` computes inner products on
    their device, and copies only those to the host.
    """

    note = ""  # remarks on how the gradients were obtained

    @property
    @abstractmethod
    def name(self) -> str:
        """The kind of gradients."""

    @property
    @abstractmethod
    def passes(self) -> int:
        """Cost in gradients of the mean loss."""

    def total(self, numbers: Array) -> Array:
        """The inner products; summed over processes if each holds a part of the gradients."""
        return numbers

    @abstractmethod
    def mean(self) -> Any:
        """G, shape (P,)."""

    @abstractmethod
    def deviations(self, mean: Any) -> Iterator[tuple[Array, Any]]:
        """Pairs of n_k, shape (k,), and g_k - G, shape (k, P), for some gradients at a time; sum n_k (g_k - G) is 0."""


@checked
def measure_noise(
    source: Source, *, failure: Fraction | None, product: Callable[[Any], Any] | None = None
) -> GradientNoise:
    """The noise of a source's gradients.

        tr(M Sigma) from <d_k, d_k>, <G, G> and <d_k, G>,    d_k = g_k - G,    <u, v> = u'Mv

    with M = I, and with the curvature M = H where its product is given.

    Parameters
    ----------
    source : Source
    failure : float or None
        Probability that an interval misses; None if the samples are the whole population, so that nothing is estimated.
    product : callable, optional
        v to Hv, of the array type of the source's gradients: one product for each gradient and one for G.

    Returns
    -------
    GradientNoise

    Raises
    ------
    InvalidInput
        If there are fewer than 3 gradients to estimate from, or `failure` is no probability.
    """
    mean = source.mean()
    curved_mean = mean if product is None else product(mean)
    square, curved_square = source.total(np.array([float(mean @ mean), float(mean @ curved_mean)]))
    plain, curved = _Sums(source, float(square)), _Sums(source, float(curved_square))
    for sizes, away in source.deviations(mean):
        # row by row, without an array of squares as large as the gradients
        plain.add(sizes, [float(d @ d) for d in away], away @ mean)
        if product is not None:
            squares = [float(d @ product(d)) for d in away]
            curved.add(sizes, squares, away @ curved_mean)
    known = (plain.deviations(), None if product is None else curved.deviations())
    if failure is None:
        return exact(*known, source=f"{source.name}, all there are", gradients=source.passes)
    spent = "" if product is None else f"{len(known[0].sizes) + 1} products with the curvature"
    note = "; ".join(text for text in (source.note, spent) if text)
    return estimate(*known, failure=failure, source=source.name, gradients=source.passes, note=note)


class _Sums:
    """The inner products of each gradient that are kept, for one inner product."""

    def __init__(self, source: Source, square: float) -> None:
        self.source, self.square = source, square
        self.parts: list[tuple[Array, Array, Array]] = []

    def add(self, sizes: Array, squares: Any, projections: Any) -> None:
        self.parts.append((sizes, *self.source.total(np.stack([_host(squares), _host(projections)]))))

    def deviations(self) -> Deviations:
        sizes, squares, projections = (np.concatenate(column) for column in zip(*self.parts, strict=True))
        return Deviations(sizes=sizes, squares=squares, projections=projections, square=self.square)


def _host(values: Any) -> Array:
    # all array libraries have `tolist`, which copies from the device; these are only a few numbers
    return np.array(values if isinstance(values, list) else values.tolist(), dtype=np.float64)
