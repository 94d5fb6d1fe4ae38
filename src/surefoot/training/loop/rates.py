"""A factor on the rates of optimizers, in force only while they step: schedulers never see it."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

__all__ = ["RateBrake"]


class RateBrake:
    """Multiplies every group's rate by a factor during `optimizer.step()`, and puts the rates back after it.

    A scheduler that multiplies the present rate would otherwise compound the factor. At factor 1 no hook is
    installed, so nothing changes, to the last bit.

    Parameters
    ----------
    optimizers : iterable of Optimizer
    """

    def __init__(self, optimizers: Iterable[Optimizer]) -> None:
        self._optimizers = tuple(optimizers)
        self._handles: list[Any] = []
        self._kept: dict[int, list[Any]] = {}
        self.factor = 1.0

    def set(self, factor: float) -> None:
        """The factor from now on."""
        self.factor = factor
        if factor != 1.0 and not self._handles:
            for optimizer in self._optimizers:
                self._handles.append(optimizer.register_step_pre_hook(self._shrink))
                self._handles.append(optimizer.register_step_post_hook(self._restore))
        elif factor == 1.0 and self._handles:
            self.release()

    def release(self) -> None:
        """Remove the hooks; the rates are as the user has them."""
        for optimizer in self._optimizers:
            self._restore(optimizer)
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def settle(self) -> None:
        """Put back rates that an optimizer left shrunk by raising."""
        if self._kept:
            for optimizer in self._optimizers:
                self._restore(optimizer)

    @property
    def rates(self) -> tuple[float, ...]:
        """Each group's rate with the factor."""
        groups = [group for optimizer in self._optimizers for group in optimizer.param_groups if "lr" in group]
        return tuple(self.factor * float(group["lr"]) for group in groups)

    def _shrink(self, optimizer: Optimizer, *_: Any) -> None:
        self._restore(optimizer)
        kept: list[Any] = []
        for group in optimizer.param_groups:
            rate = group.get("lr")
            kept.append(rate.clone() if isinstance(rate, Tensor) else rate)
            if isinstance(rate, Tensor):
                rate.mul_(self.factor)  # in place: a captured graph holds this tensor
            elif rate is not None:
                group["lr"] = rate * self.factor
        self._kept[id(optimizer)] = kept

    def _restore(self, optimizer: Optimizer, *_: Any) -> None:
        kept = self._kept.pop(id(optimizer), None)
        if kept is None:
            return
        for group, rate in zip(optimizer.param_groups, kept, strict=False):
            if isinstance(rate, Tensor):
                group["lr"].copy_(rate)
            elif rate is not None:
                group["lr"] = rate
