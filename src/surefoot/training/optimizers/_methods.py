"""Amplification of updates that only PyTorch's adaptive optimizers have."""

from dataclasses import dataclass
from typing import Annotated

from surefoot.checks import Range, checked
from surefoot.methods import Flow, Method, State


@checked
@dataclass(frozen=True, slots=True)
class NesterovAverage(Method):
    """An averaged gradient with a look ahead, the first moment of ``torch.optim.NAdam``.

        m <- b m + (1 - b) g,    x <- x - step ((1 - u) g + u m)

    Stable while step * curvature < 2 (1 + b)/(1 + b - 2 u b), where a root passes -1 (derived; for u = b this
    is Nesterov's method with its gradient times 1 - b). Torch's u_t = b (1 - 0.96^(t decay)/2) grows slowly
    towards b.

    Parameters
    ----------
    beta : float
        b in [0, 1).
    look : float
        u in [0, 1).

    Raises
    ------
    InvalidInput
        If a parameter is outside [0, 1).

    Examples
    --------
    >>> from surefoot.training.optimizers._methods import NesterovAverage
    >>> round(NesterovAverage(0.9, 0.9).real_limit, 6)
    13.571429
    """

    beta: Annotated[float, Range("[0, 1)")] = 0.9
    look: Annotated[float, Range("[0, 1)")] = 0.9

    @property
    def name(self) -> str:
        """``averaged Nesterov`` with its parameters."""
        return f"averaged Nesterov {self.beta:g}, look {self.look:.4g}"

    @property
    def memory(self) -> int:
        """Two arrays: the iterate and the average."""
        return 2

    def update(self, state: State, flow: Flow) -> State:
        """One step of (iterate, -step * average)."""
        x, average = state
        push = flow(x)
        average = self.beta * average + (1 - self.beta) * push
        return x + (1 - self.look) * push + self.look * average, average

    @property
    def real_limit(self) -> float:
        """2 (1 + b)/(1 + b - 2 u b)."""
        return 2 * (1 + self.beta) / (1 + self.beta - 2 * self.look * self.beta)
