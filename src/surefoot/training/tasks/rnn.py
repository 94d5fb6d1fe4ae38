"""A recurrent network of two units whose training becomes chaotic as the rate grows."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from surefoot.operators import Array
from surefoot.training.tasks._as_map import DescentMap, as_map

__all__ = ["TwoUnits", "two_unit_rnn"]

# Where the two units start, for six sequences, and the sum that they are to end with.
STARTS = ((-1.01, -0.26), (-0.41, -1.56), (0.41, 0.05), (-0.27, -0.31), (0.63, -0.59), (-0.73, 0.15))
# Three steps and this ridge: with them the map doubles and becomes chaotic as the rate grows (docs/orbit.md).
STEPS = 3
RIDGE = 0.01
# A rate well below the stability limit, steps at it that come close enough for Newton's method, and Newton steps, which
# double the digits, to rounding.
EASY_RATE, MOVES, NEWTON_STEPS = 1.0, 100, 6


class TwoUnits(nn.Module):
    """Two tanh units that feed each other for three steps from given states: h <- tanh(h W'), the mean of h at the end.

    The four weights start at the identity.
    """

    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.eye(2, dtype=torch.float64))

    def forward(self, h: Tensor) -> Tensor:
        """States of shape (n, 2) to outputs (n,)."""
        for _ in range(STEPS):
            h = torch.tanh(h @ self.W.T)
        return h.mean(-1)


def two_unit_rnn() -> tuple[DescentMap, Array]:
    """Full-batch gradient descent on the network as a map, and its minimum.

        f(W) = mean_i (y_i - out_i)^2 / 2 + 0.01/2 |W - I|^2,    y_i = 0.6 tanh(mean of the start i)

    The ridge makes the minimum stand alone. Started there, the orbit stays on the branch that leaves it as the rate
    grows.

    Returns
    -------
    DescentMap
        Float64, 4 parameters.
    minimum : array, shape (4,)
        To rounding, by Newton's method.
    """
    starts = torch.tensor(STARTS, dtype=torch.float64)

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        start, wanted = batch
        (weights,) = model.parameters()
        return ((model(start) - wanted) ** 2).mean() / 2 + RIDGE / 2 * ((weights - torch.eye(2)) ** 2).sum()

    descent = as_map(TwoUnits(), loss, (starts, 0.6 * torch.tanh(starts.mean(-1))))
    x: NDArray[np.float64] = descent.start[:, None]
    for _ in range(MOVES):
        x = descent(x, np.array([EASY_RATE]))
    for _ in range(NEWTON_STEPS):
        jacobian, slope = descent.derivatives(x, np.ones(1))  # of x - g(x): I - H, and -g
        x = x + np.linalg.solve(np.eye(4) - jacobian[..., 0], slope)
    return descent, x[:, 0]
