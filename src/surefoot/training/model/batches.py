"""The data that a mean is taken over: one batch, a list of them or a loader, and what each batch weighs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from surefoot.errors import InvalidInput, InvalidType, NotRepeatable
from surefoot.training.model.sandbox import random_state_kept
from surefoot.training.model.trees import first_sizes, leaves

__all__ = ["Batches", "gather", "sample_count"]

# Samples read twice to see whether a data set is random: a random flip goes unseen with probability 2^-8.
PROBED_SAMPLES = 8


@dataclass(frozen=True, slots=True)
class Batches:
    """Batches held in memory, each with its share of the mean.

    Parameters
    ----------
    items : tuple
        The batches, of any structure.
    counts : tuple of float
        What each batch weighs, usually its number of samples.
    """

    items: tuple[Any, ...]
    counts: tuple[float, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        """The counts over their sum."""
        total = sum(self.counts)
        return tuple(count / total for count in self.counts)


def gather(data: Any, loss: Any, count: Callable[[Any], float] | None = None) -> Batches:
    """Read the data once and keep it, so that every product sees the same batches.

    A loader is iterated one time: shuffling does not matter, its workers are not needed again, and neither
    torch's nor the loader's own random state is changed. A data set that returns different samples each time
    is refused; one draw of it is frozen by passing ``list(loader)``.

    Parameters
    ----------
    data : batch, list of batches, DataLoader or other iterable
        A tensor, tuple, mapping or object is one batch; so is a list of tensors, which is how a DataLoader
        collates (x, y). Any other list, loader or iterable holds batches.
    loss : callable
        Its `weight(batch)`, if it has one, says what a batch weighs.
    count : callable, optional
        batch -> weight, where neither the loss nor the leading dimension says it.

    Returns
    -------
    Batches

    Raises
    ------
    InvalidInput
        If there is no batch, a batch is empty, or batch sizes are needed and ambiguous.
    InvalidType
        If the data is nothing that holds samples.
    NotRepeatable
        If the loader's data set gives different samples when asked twice.
    """
    items = _listed(data)
    if not items:
        raise InvalidInput(f"the data holds no batch ({type(data).__name__}); curvature needs at least one")
    weigh = count or getattr(loss, "weight", None) or (sample_count if len(items) > 1 else _size_of_one)
    counts = tuple(float(weigh(item)) for item in items)
    for i, weight in enumerate(counts):
        if not 0 < weight < float("inf"):
            raise InvalidInput(f"batch {i} of {len(items)} weighs {weight:g} samples; drop empty batches")
    return Batches(tuple(items), counts)


def sample_count(batch: Any) -> int:
    """The number of samples: the leading dimension that all tensors of the batch share.

    Raises
    ------
    InvalidInput
        If the tensors have different leading dimensions, or there are none.
    """
    sizes = set(first_sizes(batch))
    if len(sizes) != 1:
        raise InvalidInput(
            f"cannot tell the number of samples from leading dimensions {sorted(sizes)}; "
            "say it with count=lambda batch: ..."
        )
    return sizes.pop()


def _size_of_one(batch: Any) -> int:
    """As `sample_count`, but a lone batch has all the weight whatever its size."""
    sizes = first_sizes(batch)
    return min(sizes) if sizes else 1


def _listed(data: Any) -> list[Any]:
    if isinstance(data, DataLoader):
        with random_state_kept(*_generators(data)):
            _check_repeatable(data.dataset)
            return list(data)
    if isinstance(data, Tensor | tuple | Mapping) or hasattr(data, "to"):
        return [data]
    if isinstance(data, list) and data and all(isinstance(item, Tensor) for item in data):
        return [data]
    if isinstance(data, str | bytes) or not isinstance(data, Iterable):
        raise InvalidType(f"data must be a batch, a list of batches or a DataLoader; got a {type(data).__name__}")
    if isinstance(data, np.ndarray):
        raise InvalidType("data is a NumPy array; give tensors: torch.as_tensor(data)")
    with random_state_kept():
        return list(data)


def _generators(loader: Any) -> list[torch.Generator]:
    """The random generators that iterating the loader would advance."""
    samplers = [loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)]
    samplers.append(getattr(samplers[-1], "sampler", None))
    found = [getattr(sampler, "generator", None) for sampler in samplers]
    return [generator for generator in found if isinstance(generator, torch.Generator)]


def _check_repeatable(dataset: Any) -> None:
    if isinstance(dataset, TensorDataset) or not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        return
    for i in range(min(PROBED_SAMPLES, len(dataset))):
        if not _same(dataset[i], dataset[i]):
            raise NotRepeatable(
                f"sample {i} of the data set ({type(dataset).__name__}) differs when read twice: random "
                "augmentation. Use a data set without it, or freeze one draw: data=list(loader)"
            )


def _same(one: Any, other: Any) -> bool:
    """Whether all numbers in two trees agree; what is not a number is not compared."""
    pairs = zip(leaves(one), leaves(other), strict=False)
    return all(_equal(a, b) for a, b in pairs)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and bool(torch.allclose(a, b, rtol=0, atol=0, equal_nan=True))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc" and b.dtype.kind in "fc"))
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b or (a != a and b != b)
    return True
