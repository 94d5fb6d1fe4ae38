"""FISTA: Nesterov's varying momentum, with a restart when a move points uphill."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.checks import checked
from surefoot.errors import InvalidInput
from surefoot.methods import Flow, Method
from surefoot.methods import State as MethodState


@checked
@dataclass(frozen=True, slots=True)
class FISTA(Method):
    """Accelerated (proximal) gradient descent.

        x+ = y + h F(y),    t+ = (1 + sqrt(1 + 4 t^2))/2,    y+ = x+ + (t - 1)/t+ (x+ - x)

    (Beck, Teboulle 2009, equations 4.1 to 4.3; Nesterov 1983.) f(x_k) - f* <= 2 L |x_0 - x*|^2/(k + 1)^2 with a step
    1/L, proved for convex f. With `restart` the momentum is reset when the last move points uphill,
    <y - x+, x+ - x> > 0 (O'Donoghue, Candes 2015, gradient scheme; a heuristic): linear convergence where f is
    strongly convex, without knowing mu. Above 4/(3 L) it diverges on a quadratic.

    Parameters
    ----------
    restart : bool
        Whether to restart.

    Examples
    --------
    >>> from surefoot.solvers import FISTA
    >>> from surefoot.solvers.descend import descend
    >>> from surefoot.problems import Quadratic
    >>> from surefoot.rules import Constant
    >>> problem = Quadratic([[1.0, 0.0], [0.0, 100.0]], [1.0, 1.0])
    >>> descend(problem, rule=Constant(step=0.01), method=FISTA()).converged
    True
    """

    restart: bool = True

    @property
    def name(self) -> str:
        """``FISTA``, with or without restart."""
        return "FISTA with restart" if self.restart else "FISTA"

    @property
    def memory(self) -> int:
        """Three: the point y where the gradient is taken, the iterate x, and the number t."""
        return 3

    def start(self, x: Any) -> MethodState:
        """The state at x without momentum."""
        return x, x, 1.0

    def update(self, state: MethodState, flow: Flow) -> MethodState:
        """One step of (y, x, t)."""
        y, x, t = state
        new = y + flow(y)
        move = new - x
        if self.restart and float((y - new).dot(move)) > 0:
            return new, new, 1.0
        longer = (1 + (1 + 4 * t * t) ** 0.5) / 2
        return new + (t - 1) / longer * move, new, longer

    def amplification(self, z: ArrayLike) -> NDArray[np.float64]:  # noqa: ARG002 - the contract
        """Not defined, since the momentum varies.

        Raises
        ------
        InvalidInput
            Always.
        """
        raise InvalidInput("FISTA's momentum varies, so it has no amplification factor; ask for Nesterov's limits")
