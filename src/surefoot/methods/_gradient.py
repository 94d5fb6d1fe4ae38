"""Gradient descent, alias the forward Euler method."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.methods._base import Flow, Method, State


@dataclass(frozen=True, slots=True)
class GradientDescent(Method):
    """Gradient descent on f = the forward Euler method on x' = -grad f(x).

        x <- x + h F(x)        R(z) = 1 + z

    Stable while step * curvature < 2. With curvatures in [mu, L] the best constant step is 2/(L + mu) with rate
    (k - 1)/(k + 1), k = L/mu (Polyak 1987, section 1.4). `torch.optim.SGD` without momentum.

    Examples
    --------
    >>> from surefoot.methods import GradientDescent
    >>> GradientDescent().real_limit
    2.0
    >>> GradientDescent().best_step(1.0, 3.0)
    (0.5, 0.5)
    """

    @property
    def name(self) -> str:
        """``gradient descent``."""
        return "gradient descent"

    @property
    def order(self) -> int:
        """One."""
        return 1

    def update(self, state: State, flow: Flow) -> State:
        """X + h F(x)."""
        (x,) = state
        return (x + flow(x),)

    def amplification(self, z: ArrayLike) -> NDArray[np.float64]:
        """|1 + z|."""
        return np.abs(1 + np.asarray(z, dtype=np.complex128))

    def limit_along(self, direction: ArrayLike) -> NDArray[np.float64]:
        """-2 Re(direction), from |1 + s d|^2 = 1 + 2 s Re(d) + s^2; zero on and right of the imaginary axis."""
        return np.maximum(0.0, -2 * np.real(np.asarray(direction, dtype=np.complex128))) + 0.0  # no -0.0

    def best_step(self, smallest: float, largest: float) -> tuple[float, float]:
        """2/(L + mu) and (L - mu)/(L + mu)."""
        return 2 / (largest + smallest), (largest - smallest) / (largest + smallest)


ForwardEuler = GradientDescent
