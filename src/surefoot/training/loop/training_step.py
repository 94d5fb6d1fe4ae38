"""The one training step: gradients to zero, backward, unscale, clip, update; or the batch left out without a trace."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.errors import InvalidInput, InvalidType
from surefoot.training.model.agreement import simple_on_host, unread_norm, wide
from surefoot.training.optimizers.unwrapped import refuse_maximizing, unwrap

__all__ = ["TrainingStep", "as_optimizers"]

# Overflows in a row that a GradScaler may take for a loss scale too high (2^16 down to below 1).
OVERFLOWS = 20

_subtract: Any = cast(Any, torch)._foreach_sub
_norms: Any = cast(Any, torch)._foreach_norm
_copy: Any = cast(Any, torch)._foreach_copy_


class TrainingStep:
    """Makes an update, or leaves a batch out as if it had never been.

    Parameters
    ----------
    model : Module
        Its buffers are what a forward pass changes.
    optimizers : sequence of Optimizer
    scaler : GradScaler, optional
    clip : float, optional
        Largest gradient norm.
    accumulate : int
        Backward passes that make one update.

    Attributes
    ----------
    before : list of Tensor or None
        The buffers as they were before the batch; None if there are none.
    change : Tensor or None
        How far the batch moved the floating-point buffers, unread: the norm of the difference; None if there are none.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        scaler: Any = None,
        clip: float | None = None,
        accumulate: int = 1,
    ) -> None:
        self.model = model
        self.optimizers, self.scaler, self.clip, self.accumulate = tuple(optimizers), scaler, clip, accumulate
        self._parameters: list[Tensor] = []
        self._buffers = list(model.buffers())
        # of what is infinite by design (a causal mask) no change can be told
        self._moving = [
            i for i, b in enumerate(self._buffers) if b.is_floating_point() and bool(b.detach().isfinite().all())
        ]
        self.before: list[Tensor] | None = None
        self.change: Tensor | None = None
        self._overflows = 0
        self._unscaled = False
        self._seen: Any = None
        self._simple = False
        self._usual_zero = all(getattr(o.zero_grad, "__func__", None) is Optimizer.zero_grad for o in self.optimizers)

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained; groups added later too, from the next `begin` or `renew` on."""
        if not self._parameters:
            self._parameters = [p for optimizer in self.optimizers for g in optimizer.param_groups for p in g["params"]]
        return self._parameters

    def begin(self) -> bool:
        """Before the forward pass: gradients to zero, buffers kept.

        Returns
        -------
        bool
            Whether the parameters are others than the last time, or in another precision.
        """
        now = [p for optimizer in self.optimizers for g in optimizer.param_groups for p in g["params"]]
        if self._usual_zero:
            # what it does, without its entry in the profiler, which takes as long as the norm of all gradients
            for p in now:
                p.grad = None
        else:
            for optimizer in self.optimizers:
                optimizer.zero_grad()
        seen = list(map(id, now)), [p.dtype for p in now]
        changed = seen != self._seen
        if changed:
            self._seen, self._parameters, self._simple = seen, now, simple_on_host(now)
        if not self._buffers:
            return changed
        if self.before is None or any(
            k.dtype != b.dtype or k.device != b.device for k, b in zip(self.before, self._buffers, strict=True)
        ):
            self.before = [buffer.detach().clone() for buffer in self._buffers]
        else:
            _copy(self.before, self._buffers)
        return changed

    def renew(self) -> None:
        """The structure has changed: look for parameters and buffers anew."""
        self._parameters, self._buffers, self.before = [], list(self.model.buffers()), None
        self._moving = [i for i in self._moving if i < len(self._buffers)]

    def backward(self, loss: Any, weight: float = 1.0, *, fresh: bool = False) -> Tensor:
        """Gradients of this loss, its weight over the number of passes times as long.

        Parameters
        ----------
        loss : Tensor
        weight : float
        fresh : bool
            Whether there can be no gradient yet, so that one shows that somebody else went backward.

        Returns
        -------
        Tensor
            The loss, checked.

        Raises
        ------
        InvalidType, InvalidInput
            If it is no loss.
        """
        value = self.checked(loss)
        if fresh:
            touched = next((p.grad for p in self.parameters if p.grad is not None), None)
            if touched is not None and bool(touched.any()):
                raise InvalidInput(
                    "the closure went backward itself; let it return the loss and leave that to the step"
                )
        # one batch that is the whole update, the usual case, costs no operation
        scaled = value if weight == self.accumulate else value * weight / self.accumulate
        try:
            (scaled if self.scaler is None else self.scaler.scale(scaled)).backward()
        except RuntimeError as error:
            if "second time" not in str(error):
                raise
            raise InvalidInput(
                "the closure's loss has no graph to go backward through any more; let the closure return the loss and "
                "leave backward() to the step"
            ) from error
        return value

    def finish(self, total: float) -> Tensor:
        """Unscale, weigh, clip; the gradient norm before clipping, unread.

        Parameters
        ----------
        total : float
            Sum of the weights of the passes.
        """
        if self.scaler is not None:
            for optimizer in self.optimizers:
                self.scaler.unscale_(optimizer)
            self._unscaled = True
        if total != self.accumulate:
            for p in self.parameters:
                if p.grad is not None:
                    p.grad.mul_(self.accumulate / total)
        self.measure_buffers()
        return self.cut()

    def cut(self) -> Tensor:
        """Clip; the gradient norm before, unread."""
        if self.clip is None:
            return unread_norm(self.parameters, simple=self._simple)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if any(g.is_sparse for g in gradients):  # torch's own clip does not take them
            length = unread_norm(self.parameters)
            for g in gradients:
                g.mul_((self.clip / (length + 1e-6)).clamp(max=1.0).to(g.device, g.dtype))
            return length
        norm: Any = nn.utils.clip_grad_norm_(self.parameters, self.clip)
        return norm.full_tensor() if hasattr(norm, "placements") else norm

    def measure_buffers(self) -> None:
        """Set `change`."""
        self.change = None
        if self.before is None or not self._moving:
            return
        now = [self._buffers[i].detach() for i in self._moving]
        parts = _norms(_subtract(now, [self.before[i] for i in self._moving]))
        home = parts[0].device
        self.change = torch.linalg.vector_norm(torch.stack([part.to(home, wide(home)) for part in parts]))

    @property
    def maskable(self) -> bool:
        """Whether `update_unless` can be had of all optimizers: the fused ones, which were made for a GradScaler."""
        return self.scaler is None and all(
            getattr(optimizer, "_step_supports_amp_scaling", False)
            and all(group.get("fused") for group in optimizer.param_groups)
            for optimizer in self.optimizers
        )

    def update_unless(self, bad: Tensor) -> None:
        """One step of each optimizer, or none and the buffers as they were, which the device decides by itself.

        Parameters
        ----------
        bad : Tensor of one bool
            Whether to leave the batch out. Nobody waits for it.
        """
        skip: Any = bad.float()
        for optimizer in self.optimizers:
            masked: Any = optimizer
            # the attributes by which a GradScaler tells a fused optimizer not to step; PyTorch has no other way
            masked.grad_scale, masked.found_inf = None, skip
            try:
                optimizer.step()
            finally:
                del masked.grad_scale, masked.found_inf
        if self.before is not None:
            with torch.no_grad():
                pairs = zip(self.before, self._buffers, strict=True)
                _copy(self._buffers, [torch.where(bad.to(b.device), kept, b) for kept, b in pairs])

    def update(self) -> None:
        """One step of each optimizer."""
        if self.scaler is None:
            self.update_without_scaler()
            return
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        self._unscaled = False

    def update_without_scaler(self) -> None:
        """One step of each optimizer, from gradients that were unscaled elsewhere."""
        for optimizer in self.optimizers:
            optimizer.step()

    def leave_out(self) -> None:
        """Forget the batch: gradients, and what its forward passes did to the buffers."""
        if self.before is not None:
            with torch.no_grad():
                _copy(self._buffers, self.before)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.forget_scale()

    def overflowed(self, loss: float, norm: float) -> bool:
        """Whether a GradScaler will deal with it: a finite loss, a gradient scaled too high."""
        enabled = self.scaler is not None and self.scaler.is_enabled()
        if not enabled or math.isfinite(norm) or not math.isfinite(loss):
            self._overflows = 0
            return False
        self._overflows += 1
        return self._overflows <= OVERFLOWS

    def forget_scale(self) -> None:
        """Let the scaler forget a batch that is not stepped on, without taking it for an overflow."""
        if self._unscaled and self.scaler is not None:
            self._unscaled = False
            kept = self.scaler.state_dict()
            self.scaler.update()
            self.scaler.load_state_dict(kept)

    def checked(self, loss: Any) -> Tensor:
        """The loss, if it is one.

        Raises
        ------
        InvalidType, InvalidInput
            If it is not.
        """
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise InvalidType(f"the closure must return the loss, a tensor of one number; got {_described(loss)}")
        if not loss.is_floating_point():
            raise InvalidType(
                f"the loss must be a real floating-point number; got {loss.dtype}; take its mean, or .real"
            )
        if not loss.requires_grad:
            raise InvalidInput(
                "the loss depends on no trained parameter: it is detached, or made under no_grad; return it as "
                "the model made it"
            )
        return loss


def as_optimizers(optimizer: Any) -> tuple[Optimizer, ...]:
    """One optimizer or several, as a tuple; those of Accelerate and Lightning without their wrappers.

    Raises
    ------
    InvalidType
        If one is none, or evaluates the loss inside its step.
    InvalidInput
        If there are none, or one maximizes.
    """
    optimizers = tuple(cast("Iterable[Any]", optimizer)) if isinstance(optimizer, list | tuple) else (optimizer,)
    optimizers = tuple(unwrap(one) for one in optimizers)
    for one in optimizers:
        if not isinstance(one, Optimizer):
            raise InvalidType(f"optimizer must be a torch.optim.Optimizer, or several; got a {type(one).__name__}")
        if isinstance(one, torch.optim.LBFGS):
            raise InvalidType("LBFGS evaluates the loss many times inside one step, so nobody else has a say in it")
        refuse_maximizing(one)
    if not optimizers:
        raise InvalidInput("no optimizer was given; pass at least one")
    return optimizers


def _described(loss: Any) -> str:
    return f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
