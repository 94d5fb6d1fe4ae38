"""The gradient's norm with as few waits for the device as possible, and numbers that all ranks agree on."""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = [
    "SMALL", "agree", "agree_on", "alone", "common_name", "everywhere", "flattened", "gradient_norm", "local",
    "newest_common", "norm_of", "rank", "simple_on_host", "unread_norm", "wide",
]  # fmt: skip

# Tensors below this size are joined and measured at once: for small tensors the calls cost, not the numbers.
SMALL = 1 << 15
# The C++ helper under torch._utils._flatten_dense_tensors: joins in one call.
flattened: Any = cast(Any, torch)._C._nn.flatten_dense_tensors
_norms: Any = cast(Any, torch)._foreach_norm
# Precisions in which torch takes a norm without overflow of common sizes.
FLOATS = (torch.float32, torch.float64)
# Devices on which torch has double precision; elsewhere numbers are compared in single.
DOUBLE = ("cpu", "cuda")


def gradient_norm(parameters: Sequence[Tensor]) -> float:
    """|g| over all parameters that have a gradient, 0 if none has; not finite if any entry is not."""
    return norm_of(_gradients(parameters))


def norm_of(gradients: list[Tensor]) -> float:
    """The norm of all gradients together; of sharded ones that of the whole."""
    if not gradients:
        return 0.0
    quick = _quick(gradients)
    # in single precision a sum of squares over- or underflows where the norm itself need not
    if quick is not None and 0 < (norm := quick.item()) < math.inf:
        return norm
    return _careful(gradients, exact=True).item()


def unread_norm(parameters: Sequence[Tensor], *, simple: bool = False) -> Tensor:
    """|g| on its device, without waiting for it; 0 and infinity may be underflow and overflow: ask `gradient_norm`.

    Parameters
    ----------
    parameters : sequence of Tensor
    simple : bool
        Whether the parameters are known to be `simple_on_host`.
    """
    gradients = _gradients(parameters)
    if not gradients:
        return torch.zeros((), dtype=wide(parameters[0].device), device=parameters[0].device)
    if simple:
        try:
            return torch.linalg.vector_norm(flattened(gradients) if len(gradients) > 1 else gradients[0])
        except RuntimeError:  # sparse ones cannot be joined
            return _careful(gradients)
    quick = _quick(gradients)
    return _careful(gradients) if quick is None else quick


def simple_on_host(parameters: Sequence[Tensor]) -> bool:
    """Whether the parameters are ordinary small tensors of one precision, single or double, in main memory.

    Ask once and keep the answer: a look at each gradient's kind takes as long as their norm.
    """
    kinds = {(p.dtype, p.layout, p.device.type, hasattr(p, "placements"), p.numel() < SMALL) for p in parameters}
    return len(kinds) == 1 and kinds <= {(dtype, torch.strided, "cpu", False, True) for dtype in FLOATS}


def wide(device: torch.device) -> torch.dtype:
    """The widest floating-point type of a device."""
    return torch.float64 if device.type in DOUBLE else torch.float32


def local(tensor: Tensor) -> Tensor:
    """The process's own part of a sharded tensor (DTensor), in the same memory; any other tensor itself."""
    sharded: Any = tensor
    return sharded.to_local() if hasattr(tensor, "placements") else tensor


def _gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [g for p in parameters if (g := p.grad) is not None]


def _quick(gradients: list[Tensor]) -> Tensor | None:
    """The norm in as few calls as possible; None for gradients of several kinds or precisions."""
    kinds = {(type(g), g.dtype, g.layout, g.device) for g in gradients}
    kind, dtype, layout, device = kinds.pop()
    if kinds or kind is not Tensor or dtype not in FLOATS or layout is not torch.strided:
        return None
    if device.type != "cpu":  # there one kernel goes over all of them
        return torch.linalg.vector_norm(torch.stack(_norms(gradients)))
    small = [g for g in gradients if g.numel() < SMALL]
    norms = [torch.linalg.vector_norm(g) for g in gradients if g.numel() >= SMALL]
    if small:
        norms.append(torch.linalg.vector_norm(flattened(small) if len(small) > 1 else small[0]))
    return norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))


def _careful(gradients: list[Tensor], *, exact: bool = False) -> Tensor:
    """The norm gradient by gradient, of any kind; exact: in the device's widest type throughout."""
    norms = [_norm(g, exact) for g in gradients]
    home = norms[0].device
    return torch.linalg.vector_norm(torch.stack([norm.to(home, wide(home)) for norm in norms]))


def _norm(gradient: Tensor, exact: bool) -> Tensor:
    if gradient.layout != torch.strided:
        # entries of the same index add up, so they have to be summed before a norm is taken
        gradient = gradient.coalesce().values()
    if gradient.is_complex():
        gradient = torch.view_as_real(gradient)
    # in half precision squares overflow from 256 on
    single = torch.float32 if gradient.dtype in (torch.float16, torch.bfloat16) else None
    # of a sharded tensor a pending sum over ranks, which full_tensor carries out
    norm: Any = torch.linalg.vector_norm(gradient, dtype=wide(gradient.device) if exact else single)
    return norm.full_tensor() if hasattr(norm, "placements") else norm


def alone() -> bool:
    """Whether this process trains without others."""
    return not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1)


def agree_on(values: Sequence[float], device: torch.device) -> list[float]:
    """The mean of each value over all ranks, the same on each; a value that is not finite on one rank is on none.

    All ranks then decide alike, by the same rule from the same numbers.
    """
    if alone():
        return list(values)
    # built on the host: one transfer instead of one for each number
    packed: Any = torch.tensor(list(values), dtype=wide(device)).to(device)
    return agree(packed).tolist()


def agree(numbers: Tensor) -> Tensor:
    """`agree_on` for a tensor on its device, without waiting for it; changes its argument."""
    if not alone():
        dist.all_reduce(numbers)
        numbers /= dist.get_world_size()
    return numbers


def everywhere(flag: bool, device: torch.device) -> bool:
    """Whether the flag is true on all ranks; the same answer on each."""
    return flag if alone() else agree_on((float(flag),), device)[0] == 1


def newest_common(steps: Sequence[int]) -> int | None:
    """The largest of these numbers that every rank has; None if there is none."""
    common = set(steps)
    if not alone():
        gathered: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(gathered, list(steps))
        common = common.intersection(*gathered)
    return max(common, default=None)


def common_name(name: str) -> str:
    """The first rank's name, on all ranks."""
    if alone():
        return name
    names: list[Any] = [name]
    dist.broadcast_object_list(names)
    return names[0]


def rank() -> int | None:
    """The number of this process among several; None if it is alone."""
    return None if alone() else dist.get_rank()
