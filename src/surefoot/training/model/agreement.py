"""What an update costs in reading: the gradient's norm, and the agreement of all ranks."""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["agreed", "alone", "common_name", "everywhere", "gradient_norm", "local", "newest_common", "norm_of", "rank"]

# Gradients below this size are joined and measured at once: for small tensors the calls cost, not the numbers.
SMALL = 1 << 15
# The C++ helper under torch._utils._flatten_dense_tensors: joins in one call.
_flattened: Any = cast(Any, torch)._C._nn.flatten_dense_tensors
FLOATS = (torch.float32, torch.float64)


def gradient_norm(parameters: Sequence[Tensor]) -> float:
    """|g| over all parameters that have a gradient, 0 if none has; not finite if any entry is not."""
    return norm_of([g for g in [p.grad for p in parameters] if g is not None])


def norm_of(gradients: list[Tensor]) -> float:
    """The norm of all of them together; of sharded ones that of the whole."""
    if not gradients:
        return 0.0
    quick = _quick(gradients)
    # a sum of squares over- or underflows where the norm itself need not
    return quick if 0 < quick < math.inf else _careful(gradients)


def local(tensor: Tensor) -> Tensor:
    """What a process has of a sharded tensor (DTensor), in the same memory; any other tensor itself."""
    sharded: Any = tensor
    return sharded.to_local() if hasattr(tensor, "placements") else tensor


def _quick(gradients: list[Tensor]) -> float:
    """The root of the sum of squares, in as few calls as can be; nan where that is not so simple."""
    first = gradients[0]
    dtype, device = first.dtype, first.device
    small: list[Tensor] = []
    squares: list[Tensor] = []
    for g in gradients:
        if g.dtype is not dtype or g.device != device or g.layout is not torch.strided or hasattr(g, "placements"):
            return math.nan
        if g.numel() < SMALL:
            small.append(g)
        else:
            squares.append(_square(g.reshape(-1)))
    if dtype not in FLOATS:
        return math.nan
    if small:
        squares.append(_square(_flattened(small) if len(small) > 1 else small[0].reshape(-1)))
    total = squares[0] if len(squares) == 1 else torch.stack(squares).sum()
    return math.sqrt(total.item())


def _square(flat: Tensor) -> Tensor:
    return torch.dot(flat, flat)


def _careful(gradients: list[Tensor]) -> float:
    norms = [_norm(g) for g in gradients]
    home = norms[0].device
    return torch.linalg.vector_norm(torch.stack([norm.to(home, torch.float64) for norm in norms])).item()


def _norm(gradient: Tensor) -> Tensor:
    if gradient.layout != torch.strided:
        gradient = gradient.coalesce().values()
    wide = torch.float32 if gradient.dtype in (torch.float16, torch.bfloat16) else None
    norm: Any = torch.linalg.vector_norm(gradient, dtype=wide)
    return norm.full_tensor() if hasattr(norm, "placements") else norm


def alone() -> bool:
    """Whether this process trains without others."""
    return not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1)


def agreed(values: Sequence[float], device: torch.device) -> list[float]:
    """The mean of each value over all ranks, the same on each: what is not finite on one is on none.

    All ranks then decide alike, since they decide from the same numbers by the same rule.
    """
    if alone():
        return list(values)
    packed: Any = torch.tensor(list(values), dtype=torch.float64 if device.type == "cpu" else torch.float32)
    packed = packed.to(device)
    dist.all_reduce(packed)
    return [value / dist.get_world_size() for value in packed.tolist()]


def everywhere(flag: bool, device: torch.device) -> bool:
    """Whether it is so on all ranks; the same answer on each."""
    return flag if alone() else agreed((float(flag),), device)[0] == 1


def newest_common(steps: Sequence[int]) -> int | None:
    """The largest of these numbers that every rank has; None if there is none."""
    common = set(steps)
    if not alone():
        found: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(found, list(steps))
        common = common.intersection(*found)
    return max(common, default=None)


def common_name(name: str) -> str:
    """The first rank's, on all of them."""
    if alone():
        return name
    names: list[Any] = [name]
    dist.broadcast_object_list(names)
    return names[0]


def rank() -> int | None:
    """The number of this process among several; None if it is alone."""
    return None if alone() else dist.get_rank()
