"""The rates of parameter groups: the one place that writes them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from surefoot.errors import InvalidInput

__all__ = ["Rates"]


class Rates:
    """Writes each group's lr for an update.

        lr_i = rate * w_i,      w_i = lr_i / (the first positive lr) at the start       if a rule decides the rate
        lr_i = factor * lr_i,   while the optimizer steps                               if the user does

    A scheduler owns the groups' lr: what it wrote is read before each update and put back after it, so that it never
    sees anybody else's; w_i is then its rate over its peak (the first group's `max_lr` or `initial_lr`). A scheduler is
    found by the mark that it leaves on its optimizer, whether it was named or not. Without one, the rule's rates stand
    in the groups, and what else changes a group's lr between two updates multiplies that group's weight by the same.

    Parameters
    ----------
    optimizers : sequence of Optimizer
    driven : bool
        Whether a rule decides the rate.
    named : bool
        Whether schedulers were named.

    Raises
    ------
    InvalidInput
        If a rule decides and no group has a positive rate to tell the ratios from.
    """

    def __init__(self, optimizers: Sequence[Optimizer], driven: bool, named: bool) -> None:
        self._optimizers, self.driven, self._named = tuple(optimizers), driven, named
        self._lent: list[Any] = []
        self._handles: list[Any] = []
        self._told = False
        self.unit, self.weights, self.written = 1.0, list[float](), list[float]()
        # of the last update, of each group; the first one's
        self.in_force: tuple[float, ...] = ()
        self.first = float("nan")
        if not driven:
            return
        peaks = self._peaks()
        if not any(0 < rate < float("inf") for rate in peaks):
            raise InvalidInput(
                f"the groups' rates are {', '.join(f'{rate:g}' for rate in peaks)}: no ratio can be told from them; "
                "start with any positive rate"
            )
        self.unit = next(rate for rate in peaks if 0 < rate < float("inf"))
        self.weights = [rate / self.unit for rate in peaks]
        self.written = [float(group["lr"]) for group in self._groups()]

    @property
    def scheduled(self) -> bool:
        """Whether a scheduler writes the lr: one was named, or has left its mark."""
        return self._named or any("initial_lr" in group for group in self._optimizers[0].param_groups)

    def read(self) -> str:
        """Take up what others have done to the groups since the last update; what is to be said about it."""
        if not self.driven or self._lent:
            return ""
        now = [float(group["lr"]) for group in self._groups()]
        if self.scheduled:
            peaks = self._peaks()
            if not self._named and not self._told:
                # found on the way: until now its rates were taken for ours
                self.unit = next((rate for rate in peaks if rate > 0), self.unit)
            self.weights = [rate / self.unit for rate in now]
            self._lent = [_value(group["lr"]) for group in self._groups()]
            return self._say(
                "a scheduler that was not named sets the rates: its rates over its peak multiply the pilot's; name it, "
                "scheduler=..., so that it goes back with the rest"
            )
        self.weights = [*self.weights[: len(now)], *(rate / self.unit for rate in now[len(self.weights) :])]
        self.written = [*self.written[: len(now)], *now[len(self.written) :]]
        said = ""
        for i, (rate, written) in enumerate(zip(now, self.written, strict=True)):
            if rate != written and written > 0:
                self.weights[i] *= rate / written
                said = said or self._say(
                    f"somebody else set the rate of group {i} from {written:.3g} to {rate:.3g}; that group's rates are "
                    f"{rate / written:.3g} times what is decided from here on"
                )
        return said

    def write(self, rate: float, *, at_peak: bool = False) -> None:
        """Put a rate (or, where the user decides, a factor) into force until `settle`.

        Parameters
        ----------
        rate : float
        at_peak : bool
            Leave out what a scheduler's warm-up takes off.
        """
        if not self.driven:
            if rate != 1.0:
                self._lend()
                self._set([rate * float(value) for value in self._lent])
            self.in_force = tuple([float(g["lr"]) for o in self._optimizers for g in o.param_groups if "lr" in g])
            self.first = self.in_force[0] if self.in_force else float("nan")
            return
        weights = [peak / self.unit for peak in self._peaks()] if at_peak and self.scheduled else self.weights
        self.written = [rate * weight for weight in weights]
        self._set(self.written)
        self.in_force, self.first = tuple(self.written), self.written[0]

    def settle(self) -> None:
        """After the update: give back what was lent; else see to it that what was written stands."""
        if self._lent:
            self._set(self._lent)
            self._lent = []
        elif self.driven and not self.scheduled:
            self._set(self.written)

    def lend(self, rate: float) -> None:
        """Put a rate, or a factor, into force for the one step that somebody else makes next; given back after it.

        It is written at once: a framework may be in the middle of ``optimizer.step(closure)``, when a hook before the
        step would come too late.
        """
        if not self._handles:
            self._handles = [one.register_step_post_hook(lambda *_: self.settle()) for one in self._optimizers]
        self.write(rate)

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"rates": [self.unit, list(self.weights), list(self.written), self._told]}

    def parse(self, data: Mapping[str, Any]) -> Callable[[], None]:
        """What `state_dict` returned; nothing is changed until the result is called."""
        unit, weights, written, told = data["rates"]
        if len(weights) != len(written):
            raise InvalidInput("the state's rates do not fit together")

        def adopt() -> None:
            self.unit, self.weights, self.written, self._told = unit, [*weights], [*written], told

        return adopt

    def _say(self, text: str) -> str:
        """Once in a run, and not about what was named."""
        if self._told or self._named:
            return ""
        self._told = True
        return text

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]

    def _peaks(self) -> list[float]:
        """The largest rate that a scheduler will set, as far as it has left word; the present one otherwise."""
        return [float(group.get("max_lr", group.get("initial_lr", group["lr"]))) for group in self._groups()]

    def _lend(self) -> None:
        if not self._lent:
            self._lent = [_value(group.get("lr", 0.0)) for group in self._groups()]

    def _set(self, rates: Sequence[Any]) -> None:
        for group, rate in zip(self._groups(), rates, strict=False):
            if isinstance(group.get("lr"), Tensor):
                group["lr"].fill_(rate)  # in place: a captured graph holds this tensor
            elif "lr" in group:
                group["lr"] = rate


def _value(rate: Any) -> Any:
    """A tensor's value stays a tensor, in its own precision, so that giving it back changes no bit."""
    return rate.clone() if isinstance(rate, Tensor) else rate
