"""What a guard steps with: optimizers, loss scaler, clipping, and the way back out of one batch."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.errors import InvalidInput, InvalidType
from surefoot.training.model.agreement import gradient_norm

__all__ = ["Stepper", "as_optimizers"]

# Overflows in a row that a GradScaler may take for a loss scale too high (2^16 down to below 1).
OVERFLOWS = 20


class Stepper:
    """Makes an update, or leaves a batch out as if it had never been.

    Parameters
    ----------
    model : Module
        Its buffers are what a forward pass changes.
    optimizers : sequence of Optimizer
    scaler : GradScaler or None
    clip : float or None
        Largest gradient norm.

    Attributes
    ----------
    before : list of Tensor or None
        The buffers as they were before the batch; None if there are none.
    """

    def __init__(self, model: nn.Module, optimizers: Sequence[Optimizer], scaler: Any, clip: float | None) -> None:
        self._optimizers, self._scaler, self._clip = tuple(optimizers), scaler, clip
        self._parameters: list[Tensor] = []
        self._buffers = list(model.buffers())
        self.before: list[Tensor] | None = None
        self._overflows = 0
        self._unscaled = False

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained, groups added later too."""
        groups = [group["params"] for optimizer in self._optimizers for group in optimizer.param_groups]
        if sum(len(group) for group in groups) != len(self._parameters):
            self._parameters = [p for group in groups for p in group]
        return self._parameters

    def begin(self) -> None:
        """Before the forward pass: gradients to zero, buffers kept."""
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        if self.before is not None:
            for kept, buffer in zip(self.before, self._buffers, strict=True):
                kept.copy_(buffer)
        elif self._buffers:
            self.before = [buffer.detach().clone() for buffer in self._buffers]

    def backward(self, loss: Tensor) -> None:
        """Gradients of this loss, scaled."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def finish(self) -> float:
        """Unscale, clip; the gradient norm before clipping."""
        if self._scaler is not None:
            for optimizer in self._optimizers:
                self._scaler.unscale_(optimizer)
            self._unscaled = True
        if self._clip is None:
            return gradient_norm(self.parameters)
        return float(nn.utils.clip_grad_norm_(self.parameters, self._clip))

    def update(self) -> None:
        """One step of each optimizer."""
        if self._scaler is None:
            for optimizer in self._optimizers:
                optimizer.step()
            return
        for optimizer in self._optimizers:
            self._scaler.step(optimizer)
        self._scaler.update()
        self._unscaled = False

    def leave_out(self) -> None:
        """Forget the batch: gradients, and what its forward passes did to the buffers."""
        if self.before is not None:
            with torch.no_grad():
                for buffer, value in zip(self._buffers, self.before, strict=True):
                    buffer.copy_(value)
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.forget_scale()

    def overflowed(self, loss: float, norm: float) -> bool:
        """Whether a GradScaler will deal with it: a finite loss, a gradient scaled too high."""
        enabled = self._scaler is not None and self._scaler.is_enabled()
        if not enabled or norm - norm == 0 or loss - loss != 0:
            self._overflows = 0
            return False
        self._overflows += 1
        return self._overflows <= OVERFLOWS

    def forget_scale(self) -> None:
        """Let the scaler forget a batch that is not stepped on, without taking it for an overflow."""
        if self._unscaled and self._scaler is not None:
            self._unscaled = False
            kept = self._scaler.state_dict()
            self._scaler.update()
            self._scaler.load_state_dict(kept)


def as_optimizers(optimizer: Any) -> tuple[Optimizer, ...]:
    """One optimizer or several, as a tuple.

    Raises
    ------
    InvalidType
        If one is none, or evaluates the loss inside its step.
    InvalidInput
        If there are none.
    """
    found = tuple(cast("Iterable[Any]", optimizer)) if isinstance(optimizer, list | tuple) else (optimizer,)
    for one in found:
        if not isinstance(one, Optimizer):
            raise InvalidType(f"optimizer must be a torch.optim.Optimizer, or several; got a {type(one).__name__}")
        if isinstance(one, torch.optim.LBFGS):
            raise InvalidType("LBFGS evaluates the loss many times inside one step, so a guard has no say in it")
    if not found:
        raise InvalidInput("no optimizer was given; pass at least one")
    return found
