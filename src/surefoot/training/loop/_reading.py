"""The numbers an update is judged by: where they were computed, the same on all ranks, read once if at all."""

import math

import torch
from torch import Tensor

from surefoot.training.model.agreement import agree, alone, wide

# Kinds of device that work on by themselves, so that reading a number means waiting; and that have double precision,
# so that they compare as the host does. On a CPU the numbers are there when the call returns.
AHEAD = ("cuda",)


def runs_ahead(device: torch.device) -> bool:
    """Whether reading a number from this device can wait until the next update."""
    return device.type in AHEAD


class Reading:
    """Loss, gradient norm, change of the buffers and the output's spread and size, of one update.

    Parameters
    ----------
    loss, norm : Tensor
        Tensors of one number.
    change : Tensor or None
        None if no buffers move.
    output : Tensor, shape (2,), or None
        None if the output was not measured.
    device : device
        Where they come together, and where ranks talk.
    """

    def __init__(
        self, loss: Tensor, norm: Tensor, change: Tensor | None, output: Tensor | None, device: torch.device
    ) -> None:
        self._moves, self._varies = change is not None, output is not None
        self._parts = [loss, norm] if change is None else [loss, norm, change]
        self._numbers: Tensor | None = None
        self._ready: torch.cuda.Event | None = None
        if alone() and not runs_ahead(device):
            self._parts += () if output is None else output.unbind()
            return
        # in one tensor: one message between ranks, one transfer to the host
        dtype, self._varies = wide(device), True
        self._numbers = torch.full((5,), math.nan, dtype=dtype, device=device)
        numbers = torch.stack([part.reshape(()).to(device, dtype) for part in self._parts])
        self._numbers[: len(numbers)] = numbers
        if output is not None:
            self._numbers[3:] = output
        agree(self._numbers)

    def beyond(self, loss: float, norm: float, change: float) -> Tensor:
        """Whether one of them is not finite or above its bound, without waiting: a tensor of one bool."""
        assert self._numbers is not None
        bounds = (loss, norm, change) if self._moves else (loss, norm)
        # comparisons with nan are false; the bounds are numbers, since a tensor of them would have to be sent first
        within = [number <= bound for number, bound in zip(self._numbers, bounds, strict=False)]
        within.append(torch.isfinite(self._numbers[0]))  # minus infinity is below every bound
        return torch.logical_not(torch.stack(within).all())

    def send(self) -> None:
        """Let the numbers travel to the host while it goes on."""
        if self._numbers is not None and self._numbers.is_cuda:
            self._numbers = self._numbers.to("cpu", non_blocking=True)
            self._ready = torch.cuda.Event()
            self._ready.record()

    def read(self) -> tuple[float, float, float, float, float]:
        """Loss, norm, change, spread and size; 0 and nan where there are none."""
        if self._ready is not None:
            self._ready.synchronize()
        numbers = [part.item() for part in self._parts] if self._numbers is None else self._numbers.tolist()
        spread, size = numbers[-2:] if self._varies else (math.nan, math.nan)
        return numbers[0], numbers[1], numbers[2] if self._moves else 0.0, spread, size
