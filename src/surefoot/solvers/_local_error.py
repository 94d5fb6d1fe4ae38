"""The measured error of one step, whose slope in a log-log plot is the order plus 1."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.checks import checked, real_array
from surefoot.errors import InvalidInput
from surefoot.methods import DormandPrince, Method
from surefoot.records import Record
from surefoot.solvers._integrate import integrate
from surefoot.spectra.measured.jacobian import Fun

# Steps of order 5 that replace the exact solution over one tested step.
FINE = 32


@dataclass(frozen=True, slots=True, eq=False)
class LocalError(Record):
    """Errors of single steps.

    Parameters
    ----------
    method : str
    order : int
        The method's order p.
    steps, errors : arrays, shape (k,)
        Step sizes, unit of t, and Euclidean errors after one step of each.
    slope : float
        d log(error)/d log(step), fitted: p + 1 while the steps are small.
    """

    method: str
    order: int
    steps: NDArray[np.float64]
    errors: NDArray[np.float64]
    slope: float

    def __str__(self) -> str:
        return f"{self.method}: local error like h^{self.slope:.2f}, order {self.order} predicts h^{self.order + 1}"


@checked
def local_error(fun: Fun, t: float, y: ArrayLike, method: Method, steps: Sequence[float]) -> LocalError:
    """The error of one step from (t, y), for several step sizes.

        |y_1 - y(t + h)| = C h^(p+1) + O(h^(p+2))

    (Hairer, Norsett, Wanner 1993, section II.3.) Short steps of order 5 replace the exact solution, so errors below
    about 1e-13 |y| are rounding.

    Parameters
    ----------
    fun : callable
        ``fun(t, y)``; `gradient_flow(problem)` for an optimiser.
    t : float
    y : array, shape (n,)
    method : Method
        A one-step method; multistep methods begin with steps of order 5 backwards.
    steps : sequence of at least 2 floats

    Returns
    -------
    LocalError

    Raises
    ------
    InvalidInput
        If there are fewer than two different positive steps, or an error vanishes.

    Examples
    --------
    Gradient descent follows the gradient flow to second order in the learning rate, per step:

    >>> import surefoot as sf
    >>> flow = sf.gradient_flow(sf.problems.Quadratic([[2.0, 1.0], [1.0, 3.0]]))
    >>> print(sf.solvers.local_error(flow, 0.0, [1.0, 1.0], sf.methods.ForwardEuler(), [1e-3, 1e-4]))
    gradient descent: local error like h^2.00, order 1 predicts h^2
    """
    sizes = np.unique(real_array(steps, "steps"))[::-1]
    if sizes.size < 2 or not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise InvalidInput(f"a slope needs at least two different positive steps; got {list(steps)}")
    errors: list[float] = []
    for h in sizes.tolist():
        one = integrate(fun, (t, t + h), y, method=method, step=h, monitor=False).final
        exact = integrate(fun, (t, t + h), y, method=DormandPrince(), step=h / FINE, monitor=False).final
        errors.append(float(np.linalg.norm(one - exact)))
    if min(errors) == 0:
        raise InvalidInput("a step made no error at all (a flow that the method solves exactly): there is no slope")
    slope = float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
    return LocalError(method.name, method.order, sizes, np.asarray(errors), slope)
