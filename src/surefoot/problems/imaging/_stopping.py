"""When to stop an inverse problem: before the noise is fitted."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import numpy as np

from surefoot.checks import Nonnegative, Range, checked, real_array
from surefoot.errors import InvalidInput
from surefoot.operators import Array

# E(z^2 | |z| < 0.6745) for a standard normal z, 0.6745 the median of |z|.
LOWER_HALF = 0.14265183548851879


class Measured(Protocol):
    """A problem that compares a model with data of known noise level."""

    data: Array

    @property
    def noise(self) -> float:
        """Standard deviation of the noise in each datum."""
        ...

    def residual_norm(self, x: Array) -> float:
        """|A x - b|."""
        ...


@checked
@dataclass(frozen=True, slots=True, eq=False)
class Discrepancy:
    """A callback of `surefoot.descend` that stops once the residual is no larger than the noise.

    Parameters
    ----------
    target : float
        Value of |A x - b| at which to stop, unit of the data.
    residual_norm : callable
        x to |A x - b|.
    """

    target: float
    residual_norm: Callable[[Array], float]

    def __call__(self, x: Array, loss: float = math.nan) -> bool:  # noqa: ARG002 - what a callback is given
        return self.residual_norm(x) <= self.target


@checked
def discrepancy(
    problem: Measured,
    *,
    tau: Annotated[float, Range("[1, inf)", "below 1 a run fits the noise")] = 1.02,
    noise: Nonnegative | None = None,
) -> Discrepancy:
    """Morozov's discrepancy principle: stop as soon as the data are fitted to within their noise.

        |A x_k - b| <= tau sigma sqrt(n)

    Gradient methods first recover what the blur left intact and later amplify noise: the error falls, then rises. With
    steps 1/L it is *proved* to fall while the residual is above twice the noise (Engl, Hanke, Neubauer 1996,
    proposition 6.2). Beyond that point, for faster methods and for an estimated noise level, it is a heuristic.

    Parameters
    ----------
    problem : Deblurring, or any object with `noise`, `data` and `residual_norm(x)`
    tau : float
        Factor >= 1. Below 1 the run would fit the noise and might never stop.
    noise : float, optional
        Standard deviation sigma of the noise in each sample; by default the problem's own.

    Returns
    -------
    Discrepancy
        For ``descend(..., callback=...)``.

    Raises
    ------
    InvalidInput
        If tau is under 1 or not finite, or the noise is negative.

    Examples
    --------
    >>> import numpy as np
    >>> import surefoot as sf
    >>> truth = np.zeros(64)
    >>> truth[20:40] = 1
    >>> blur = np.ones(9) / 9
    >>> blurred = sf.operators.convolution(blur, [64], "reflect") @ truth
    >>> blurred += 0.01 * np.random.default_rng(0).standard_normal(64)
    >>> problem = sf.problems.Deblurring(blurred, blur, noise=0.01)
    >>> run = sf.descend(problem, rule=sf.rules.Auto(), callback=sf.problems.discrepancy(problem))
    >>> run.stopped
    'stopped by the callback'
    """
    sigma = problem.noise if noise is None else noise
    return Discrepancy(tau * sigma * math.sqrt(problem.data.size), problem.residual_norm)


@checked
def noise_level(image: Any, *, colour: bool = False) -> float:
    """The standard deviation of white noise in a smooth image, *estimated* from its finest detail.

        sigma^2 = mean of c^2 over the smaller half of |c| / 0.1426,    c = 2^(-d/2) D_1 ... D_d b

    with D_a the differences along axis a: the finest diagonal Haar wavelet coefficients without decimation, whose
    median Donoho and Johnstone (1994) use. The mean of the smaller half is as robust against outliers at edges, and
    does not jump between the levels of an 8-bit image. A blurred image has hardly any such detail, so the estimate is
    accurate to about a percent; for a sharp image it is too high, which stops a run early, on the safe side.

    Parameters
    ----------
    image : array
        Image with at least two samples along one axis.
    colour : bool
        Whether the last axis holds channels, between which no differences are taken.

    Raises
    ------
    InvalidInput
        If no axis has two samples.

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.problems import noise_level
    >>> x = np.linspace(0, 1, 100)
    >>> smooth = np.outer(x, 1 - x)
    >>> round(noise_level(smooth + 0.1 * np.random.default_rng(0).standard_normal((100, 100))), 2)
    0.1
    """
    detail, axes = real_array(image, "image"), 0
    for axis in range(detail.ndim - colour):
        if detail.shape[axis] > 1:
            detail, axes = np.diff(detail, axis=axis), axes + 1
    if not axes or not detail.size:
        raise InvalidInput(f"noise is read off differences: two samples along an axis are needed; got {detail.shape}")
    largest = float(np.abs(detail).max()) or 1.0  # scaled, so that squares neither overflow nor vanish
    squares = np.square(detail / largest).ravel()
    half = max(squares.size // 2, 1)
    return largest * float(np.sqrt(np.partition(squares, half - 1)[:half].mean() / LOWER_HALF)) * 2 ** (-axes / 2)
