"""The numbers an update is judged by: where they were computed, the same on all ranks, read once if at all."""

import math

import torch
from torch import Tensor

from surefoot.training.model.agreement import agree, alone, wide

__all__ = ["Reading"]


class Reading:
    """Loss, gradient norm, change of the buffers and the output's spread and size, of one update.

    Parameters
    ----------
    loss, norm : Tensor
        Of one number each.
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
        numbers = [loss.detach().reshape(()), norm] if change is None else [loss.detach().reshape(()), norm, change]
        dtype = wide(device)
        self._numbers = torch.stack([number.to(device, dtype) for number in numbers])
        self._moves, self._varies = change is not None, output is not None or not alone()
        if self._varies:
            # ranks add up as many numbers each, though the output of one may have had nothing to measure
            output = torch.full((2,), math.nan, dtype=dtype, device=device) if output is None else output
            self._numbers = torch.cat([self._numbers, output.to(device, dtype)])
        agree(self._numbers)
        self._ready: torch.cuda.Event | None = None

    def beyond(self, loss: float, norm: float, change: float) -> Tensor:
        """Whether one of them is not finite or above its bound, without waiting: a tensor of one bool."""
        bounds = (loss, norm, change) if self._moves else (loss, norm)
        # comparisons with nan are false; numbers as they are, since a tensor of bounds would have to be sent first
        within = [number <= bound for number, bound in zip(self._numbers, bounds, strict=False)]
        return torch.logical_not(torch.stack(within).all())

    def send(self) -> None:
        """Let the numbers travel to the host while it goes on."""
        if self._numbers.is_cuda:
            self._numbers = self._numbers.to("cpu", non_blocking=True)
            self._ready = torch.cuda.Event()
            self._ready.record()

    def read(self) -> tuple[float, float, float, float, float]:
        """Loss, norm, change, spread and size; 0 and nan where there are none."""
        if self._ready is not None:
            self._ready.synchronize()
        numbers = self._numbers.tolist()
        spread, size = numbers[-2:] if self._varies else (math.nan, math.nan)
        return numbers[0], numbers[1], numbers[2] if self._moves else 0.0, spread, size
