"""The rates of parameter groups: one number that a rule decides, and what the groups make of it."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from surefoot.errors import InvalidInput

__all__ = ["Rates"]


class Rates:
    """Writes a rate into every group, times the group's weight.

        lr_i = rate * w_i,    w_i = lr_i / (the first positive lr) at the start

    If anything else changes a group's lr between two updates, its weight is multiplied by the same factor: a
    scheduler that multiplies the present rate, or a user's hand. With `shared`, a scheduler owns the groups' lr:
    w_i is read from it at each update, and the rate is written only while the optimizer steps.

    Parameters
    ----------
    optimizers : sequence of Optimizer
    shared : bool
        Whether schedulers write the lr.

    Raises
    ------
    InvalidInput
        If no group has a positive rate to tell the ratios from.
    """

    def __init__(self, optimizers: Sequence[Optimizer], shared: bool) -> None:
        self._optimizers, self.shared = tuple(optimizers), shared
        found = [float(group["lr"]) for group in self._groups()]
        if not any(0 < rate < float("inf") for rate in found):
            raise InvalidInput(
                f"the groups' rates are {', '.join(f'{rate:g}' for rate in found)}: no ratio can be told from them; "
                "start with any positive rate"
            )
        self.unit = next(rate for rate in found if 0 < rate < float("inf"))
        self.weights = [rate / self.unit for rate in found]
        self.written = found
        self._lent: list[Any] = []

    @property
    def first(self) -> float:
        """The first group's weight."""
        return self.weights[0]

    def read(self) -> None:
        """Take up what others have done to the groups since the last update."""
        now = [float(group["lr"]) for group in self._groups()]
        # a group added on the way
        self.weights += [rate / self.unit for rate in now[len(self.weights) :]]
        self.written += now[len(self.written) :]
        if self.shared:
            self.weights = [rate / self.unit for rate in now]
            self._lent = [_copied(group["lr"]) for group in self._groups()]
            return
        for i, (rate, written) in enumerate(zip(now, self.written, strict=True)):
            if rate != written and written > 0:
                self.weights[i] *= rate / written

    def write(self, rate: float) -> None:
        """Put a rate into force."""
        self.written = [rate * weight for weight in self.weights]
        self._set(self.written)

    def settle(self) -> None:
        """After the update: give a scheduler back its own; else see to it that what was written stands."""
        if not self.shared:
            self._set(self.written)
        elif self._lent:
            self._set(self._lent)
        self._lent = []

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"unit": self.unit, "weights": list(self.weights), "written": list(self.written)}

    def load_state_dict(self, data: Any) -> None:
        """The inverse of `state_dict`."""
        self.unit, self.weights, self.written = data["unit"], list(data["weights"]), list(data["written"])

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]

    def _set(self, rates: Sequence[Any]) -> None:
        for group, rate in zip(self._groups(), rates, strict=False):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(float(rate))  # in place: a captured graph holds this tensor
            else:
                group["lr"] = rate


def _copied(rate: Any) -> Any:
    return float(rate) if isinstance(rate, Tensor) else rate
