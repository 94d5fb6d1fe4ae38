"""The largest Lyapunov exponent: the rate at which nearby orbits separate."""

from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from surefoot.checks import Count, Range, checked
from surefoot.dynamics._tangent import travel
from surefoot.dynamics.maps import Real, Update, prepare
from surefoot.errors import InvalidInput


@checked
def lyapunov(
    update: Update,
    parameters: ArrayLike,
    x0: ArrayLike,
    steps: Count,
    *,
    discard: Annotated[int, Range("[0, inf)")] | None = None,
) -> Real:
    """The largest Lyapunov exponent of the orbit from x0, one for each parameter.

        (1/n) ln |J(x_{n-1}) ... J(x_1) J(x_0) v|,    J the Jacobian of x -> update(x, parameter)

    Positive: nearby orbits separate exponentially (chaos). Negative: the orbit settles, and e to the exponent is the
    contraction per step. An average over a finite orbit, so an *estimate*; for an orbit that settles it is exact up to
    the transient. (Oseledets 1968; Benettin et al. 1980.) The derivative is taken by the complex step if the update
    allows it, else from two nearby orbits.

    Parameters
    ----------
    update, parameters, x0
        Arguments of `orbit`.
    steps : int
        Applications of the update.
    discard : int, optional
        Number of initial steps that are not averaged over (default: half).

    Returns
    -------
    array, shape (p,) or ()
        Exponent per step. NaN if the orbit diverged; -inf if it contracts to a point exactly.

    Raises
    ------
    InvalidInput
        If an argument has the wrong shape or range.

    Examples
    --------
    >>> from surefoot.dynamics import lyapunov
    >>> print(lyapunov(lambda x, r: r * x * (1 - x), [2.5, 4.0], 0.3, steps=20000).round(2))
    [-0.69  0.69]
    """
    values, states = prepare(update, parameters, x0)
    discard = steps // 2 if discard is None else discard
    if discard >= steps:
        raise InvalidInput(f"discard must be less than steps = {steps}; got {discard}")
    _, exponent = travel(update, values, states, steps=steps, discard=discard, keep=1)
    return exponent if np.ndim(parameters) else exponent[0]
