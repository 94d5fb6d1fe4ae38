"""The senses of a guard that cost something every step: the gradient's norm, and the agreement of all ranks."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["agreed", "alone", "gradient_norm"]

# Gradients below this size are joined and measured at once: for small tensors the calls cost, not the numbers.
SMALL = 1 << 15


def gradient_norm(parameters: Sequence[Tensor]) -> float:
    """|g| over all parameters that have a gradient, 0 if none has; not finite if any entry is not."""
    by_device: dict[torch.device, list[Tensor]] = {}
    for p in parameters:
        if p.grad is not None:
            by_device.setdefault(p.device, []).append(_flat(p.grad))
    norms = [norm for gradients in by_device.values() for norm in _norms(gradients)]
    if len(norms) == 1:
        return float(norms[0])
    if not norms:
        return 0.0
    home = norms[0].device
    return float(torch.linalg.vector_norm(torch.stack([norm.to(home) for norm in norms])))


def _flat(gradient: Tensor) -> Tensor:
    if gradient.layout != torch.strided:
        gradient = gradient.coalesce()._values()
    return gradient.detach().reshape(-1)


def _norms(gradients: list[Tensor]) -> list[Tensor]:
    small = [g for g in gradients if g.numel() < SMALL]
    large = [g for g in gradients if g.numel() >= SMALL]
    return [_norm(g) for g in ([torch.cat(small)] if small else []) + large]


def _norm(gradient: Tensor) -> Tensor:
    wide = torch.float32 if gradient.dtype in (torch.float16, torch.bfloat16) else None
    return torch.linalg.vector_norm(gradient, dtype=wide)


def alone() -> bool:
    """Whether this process trains without others."""
    return not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1)


def agreed(values: Sequence[float], device: torch.device) -> list[float]:
    """The mean of each value over all ranks, the same on each: what is not finite on one is on none.

    All ranks then decide alike, since they decide from the same numbers by the same rule.
    """
    packed: Any = torch.tensor(list(values), dtype=torch.float64 if device.type == "cpu" else torch.float32)
    packed = packed.to(device)
    dist.all_reduce(packed)
    return [value / dist.get_world_size() for value in packed.tolist()]
