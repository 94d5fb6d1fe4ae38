"""The largest curvature of mini-batches compared with that of all the data."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

import numpy as np

from surefoot.checks import Count, Fraction, Positive, Range, checked
from surefoot.errors import InvalidInput
from surefoot.operators import Operator
from surefoot.records import Record
from surefoot.spectra import Bounds, spectrum
from surefoot.training.curvature import CurvatureOperator
from surefoot.training.model.minibatches import MiniBatches


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniBatchBias(Record):
    """The largest curvature of mini-batches against that of the data.

    Parameters
    ----------
    batch_size : int
    full : Bounds
        On all the data that was given.
    largest : tuple of float
        Largest curvature of each mini-batch, the middle of its interval.
    ratio : float
        Their mean over the middle of `full`. By Jensen's inequality at least 1 in expectation: the largest eigenvalue
        is a convex function, and the mean over mini-batches is the full matrix.
    standard_error : float
        Standard error of the ratio, from the scatter of the mini-batches.
    products : int
    """

    batch_size: int
    full: Bounds
    largest: tuple[float, ...]
    ratio: float
    standard_error: float
    products: int

    def __str__(self) -> str:
        return (
            f"mini-batches of {self.batch_size} look {100 * (self.ratio - 1):+.3g}% "
            f"+- {100 * self.standard_error:.2g}% sharper than the data "
            f"({len(self.largest)} of them; the data in {self.full})"
        )


@checked
def minibatch_bias(
    H: CurvatureOperator,
    batch_size: Count,
    *,
    draws: Annotated[int, Range("[2, inf)")] = 8,
    rtol: Positive = 0.02,
    failure: Fraction = 1e-3,
    operator: Callable[[CurvatureOperator], Operator] = lambda H: H,
    rng: int = 0,
) -> MiniBatchBias:
    """Measure the largest curvature on the data and on mini-batches of it, at the same point.

        ratio = mean over mini-batches of lambda_max(H_b) / lambda_max(H)

    Parameters
    ----------
    H : CurvatureOperator
        On one batch, from which samples are drawn, or on several, which are then the mini-batches themselves.
    batch_size : int
    draws : int
        Mini-batches, at least 2.
    rtol, failure
        Precision of each measurement, as in `surefoot.spectrum`.
    operator : callable, optional
        Function from a curvature to the operator that is measured, such as an optimizer's view of it.
    rng : int

    Returns
    -------
    MiniBatchBias

    Raises
    ------
    InvalidInput
        If a number is out of range, or the data has no curvature to compare with.

    Examples
    --------
    One sample of the data {1, 3} has the curvature 2 or 18, both together 10:

    >>> import torch
    >>> from surefoot.training import hessian, minibatch_bias, supervised
    >>> x = torch.tensor([[1.0], [3.0]])
    >>> H = hessian(torch.nn.Linear(1, 1, bias=False), supervised(torch.nn.functional.mse_loss), (x, 0 * x))
    >>> bias = minibatch_bias(H, 1, draws=8)
    >>> round(bias.full.midpoint, 3), sorted({round(each) for each in bias.largest})
    (10.0, [2, 18])
    """
    settings: dict[str, Any] = {"rtol": rtol, "failure": failure, "which": "largest", "rng": rng}
    whole = spectrum(operator(H), **settings)
    if whole.largest.midpoint <= 0:
        raise InvalidInput(f"the largest curvature of the data is {whole.largest}: there is nothing to compare with")
    visits = MiniBatches(H.batches, batch_size, rng)
    spectra = [spectrum(operator(H.on(batch)), **settings) for batch in islice(visits.endless(), draws)]
    largest = np.array([one.largest.midpoint for one in spectra])
    ratios = largest / whole.largest.midpoint
    return MiniBatchBias(
        batch_size=int(visits.size),
        full=whole.largest,
        largest=tuple(largest.tolist()),
        ratio=float(ratios.mean()),
        standard_error=float(ratios.std(ddof=1)) / math.sqrt(draws),
        products=whole.products + sum(one.products for one in spectra),
    )
