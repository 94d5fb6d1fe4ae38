"""The squared norm of a linear map, on which the steps of an inverse problem depend."""

from typing import Any

import numpy as np

from surefoot.checks import checked
from surefoot.operators import as_operator, gram
from surefoot.operators.extremes import refuse_extremes
from surefoot.spectra.enclosed import gram_ends
from surefoot.spectra.measured.spectrum import spectrum
from surefoot.spectra.types import Bounds


@checked
def norm_squared(A: Any, *, rtol: float = 1e-3, failure: float = 1e-6, rng: int | np.random.Generator = 0) -> Bounds:
    """Certified bounds on the squared spectral norm: the L of f(x) = |A x - b|^2/2.

        |A|^2 = lambda_max(A'A)

    Closed forms (`surefoot.operators.convolution`, `gradient`, `stacked`, `kronecker`, `block_diagonal`) cost no
    product; anything else is measured from its products with A'A.

    Parameters
    ----------
    A : matrix or operator, shape (m, n)
        Anything `surefoot.operators.as_operator` takes, PyLops operators among them; with an adjoint product.
    rtol : float
        Wanted width of the interval, relative to |A|^2.
    failure : float
        Probability that a measured upper end misses.
    rng : int or numpy Generator

    Returns
    -------
    Bounds
        A step below 2/upper is stable for gradient descent; 1/upper is the one that other libraries ask for.

    Raises
    ------
    InvalidInput
        If A has no adjoint product or an argument is out of range.

    Examples
    --------
    >>> import surefoot as sf
    >>> sf.spectra.norm_squared([[3.0, 0.0], [0.0, 4.0]]).upper
    16.0
    """
    operator = as_operator(A, tolerance=0.0)
    refuse_extremes(operator)
    known = gram_ends(operator)
    if known is not None and known[1].width <= rtol * known[1].upper:
        return known[1]
    return spectrum(gram(operator), which="largest", rtol=rtol, failure=failure, rng=rng).largest
