"""Mini-batches in a seeded order, from one batch that is all the data or from a list of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from surefoot.training.model.batches import Batches, sample_count
from surefoot.training.model.trees import common_size, take

__all__ = ["MiniBatches"]


@dataclass(frozen=True, slots=True)
class MiniBatches:
    """The mini-batches of a training in the order of their visits.

    Parameters
    ----------
    data : Batches
        One batch is sampled without replacement; several are the mini-batches themselves.
    batch_size : int
        Samples of a mini-batch that is drawn from one batch.
    seed : int
        Seed of the order, and of the choice in `subset`.
    """

    data: Batches
    batch_size: int
    seed: int

    @property
    def ready(self) -> bool:
        """Whether the given batches are the mini-batches: several, a small one, or one that cannot be cut."""
        size = common_size(self._whole)
        return len(self.data.items) > 1 or size is None or size <= self.batch_size

    @property
    def size(self) -> float:
        """The size of the largest mini-batch."""
        return max(self.data.counts) if self.ready else self.batch_size

    @property
    def per_pass(self) -> int:
        """Number of mini-batches in one pass over the data; a smaller last one is left out where samples are drawn."""
        return len(self.data.items) if self.ready else sample_count(self._whole) // self.batch_size

    def endless(self) -> Iterator[Any]:
        """Mini-batches without end, every pass in a new order; the same sequence at each call."""
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            if self.ready:
                for i in torch.randperm(len(self.data.items), generator=generator).tolist():
                    yield self.data.items[i]
            else:
                size = sample_count(self._whole)
                order = torch.randperm(size, generator=generator)
                for index in order.split(self.batch_size)[: self.per_pass]:
                    yield take(self._whole, index, size)

    def subset(self, samples: int | None) -> Batches:
        """About so many samples: drawn from one batch, or as many of several batches as hold them."""
        items, counts = self.data.items, self.data.counts
        if samples is None or samples >= sum(counts):
            return self.data
        if self.ready:
            needed = next(i for i in range(1, len(items) + 1) if sum(counts[:i]) >= samples)
            return replace(self.data, items=items[:needed], counts=counts[:needed])
        size = sample_count(self._whole)
        index = torch.randperm(size, generator=torch.Generator().manual_seed(self.seed))[:samples]
        return Batches((take(self._whole, index, size),), (float(samples),))

    @property
    def _whole(self) -> Any:
        return self.data.items[-1]
