"""Sums over processes that hold the data in parts, under torch.distributed."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.errors import InvalidInput, InvalidType
from surefoot.training.model.batches import Batches

__all__ = ["Ranks", "ranks_of"]

FAILED_ELSEWHERE = "another process could not compute its part of the curvature; its own error says why"


class Ranks:
    """The processes that hold the data together; by default this one alone.

    autograd.grad does not go through the hooks of DistributedDataParallel, so what belongs to all the data is summed
    here. A sum is computed once and distributed, so all processes get the same bits and take the same decisions.

    Parameters
    ----------
    group : process group, optional
    device : torch.device
        Device on which the group can communicate: its backend may know GPUs only.
    """

    def __init__(self, group: Any = None, device: torch.device | None = None) -> None:
        self.group = group
        self.device = torch.device("cpu") if device is None else device

    @property
    def several(self) -> bool:
        """Whether there are other processes."""
        return self.group is not None

    def sum_all(self, values: Tensor) -> Tensor:
        """The sum over processes of a vector, where it lives; changes its argument."""
        if not self.several:
            return values
        # where the backend can communicate
        moved = values.to(self.device)
        torch.distributed.all_reduce(moved, group=self.group)
        return moved.to(values.device)

    def sum_of(self, value: float) -> float:
        """The sum over processes of a number."""
        return float(self.sum_all(torch.tensor([value], dtype=torch.float64))) if self.several else value

    def shares(self, batches: Batches) -> tuple[float, ...]:
        """The weight of each of this process's batches in the mean over all."""
        if not self.several:
            return batches.shares
        total = self.sum_of(sum(batches.counts))
        return tuple(count / total for count in batches.counts)

    @property
    def size(self) -> int:
        """Number of processes."""
        return torch.distributed.get_world_size(self.group) if self.several else 1

    def total(self, part: Callable[[], Tensor], like: Tensor) -> Tensor:
        """The sum over processes of what each computes; an error in one is raised in all, none is left waiting.

        The vectors carry one more entry, the number of processes that failed, so it costs no message of its own.

        Parameters
        ----------
        part : callable
            This process's part.
        like : Tensor, shape (size,)
            A vector of the same size, dtype and device; its values do not matter.
        """
        if not self.several:
            return part()
        size = like.numel()
        carried = torch.zeros(size + 1, dtype=like.dtype, device=like.device)
        try:
            carried[:size] = part()
        except Exception:
            carried[size] = 1.0
            self.sum_all(carried)
            raise
        carried = self.sum_all(carried)
        if carried[size]:
            raise InvalidInput(FAILED_ELSEWHERE)
        return carried[:size]

    @contextmanager
    def together(self) -> Generator[None]:
        """If the code inside fails in one process, raise in all: none is left waiting."""
        if not self.several:
            yield
            return
        try:
            yield
        except Exception:
            self.sum_of(1.0)
            raise
        if self.sum_of(0.0):
            raise InvalidInput(FAILED_ELSEWHERE)


def ranks_of(model: nn.Module) -> Ranks:
    """The processes of a DistributedDataParallel model, also inside torch.compile; else this one alone."""
    inner: Any = getattr(model, "_orig_mod", model)
    if not isinstance(inner, nn.Module):
        return Ranks()
    if any("FullyShardedDataParallel" in type(m).__name__ for m in inner.modules()):
        raise InvalidType(
            "the model's parameters are sharded by the old FullyShardedDataParallel, which keeps no parameter of its "
            "own; use fully_shard(model) (FSDP2), or measure on a copy under DistributedDataParallel"
        )
    if isinstance(inner, nn.parallel.DistributedDataParallel):
        return Ranks(inner.process_group, next(inner.parameters()).device)
    return Ranks()
