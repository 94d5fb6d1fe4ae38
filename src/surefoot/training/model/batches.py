"""The data of a mean loss: one batch, a list of them or a loader, and the weight of each batch."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from surefoot.errors import InvalidInput, InvalidType, NotRepeatable
from surefoot.training.model.sandbox import keep_random_state
from surefoot.training.model.trees import common_size, first_sizes, leaves, take

__all__ = ["Batches", "gather", "sample_count", "size_of_one"]

# Samples read twice to see whether a data set is random: a random flip goes unseen with probability 2^-8.
PROBED_SAMPLES = 8
# Relative gap between a batch's loss and the mean over its halves that passes: rounding in single precision is far
# below, a wrong weight differs by the imbalance of the halves.
HALVES = 1e-3


@dataclass(frozen=True, slots=True)
class Batches:
    """Batches held in memory, each with its share of the mean.

    Parameters
    ----------
    items : tuple
        The batches, of any structure.
    counts : tuple of float
        Weights of the batches, usually their numbers of samples.
    weigh : callable, optional
        Function from a batch to its weight, for data read from a user.
    """

    items: tuple[Any, ...]
    counts: tuple[float, ...]
    weigh: Callable[[Any], float] | None = None

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
        Its method `weight(batch)`, if it has one, gives a batch's weight.
    count : callable, optional
        batch -> weight, where neither the loss nor the leading dimension says it.
    """
    items = _as_list(data)
    if not items:
        raise InvalidInput(f"the data holds no batch ({type(data).__name__}); curvature needs at least one")
    weights = list(_weights(items, loss, count))
    try:
        counts = tuple(map(float, weights))
    except (TypeError, ValueError) as error:
        raise InvalidType(f"count must return a number for each batch; got {weights[0]!r}") from error
    for i, weight in enumerate(counts):
        if not 0 < weight < float("inf"):
            raise InvalidInput(f"batch {i} of {len(items)} weighs {weight:g} samples; drop empty batches")
    return Batches(tuple(items), counts, _weigher(loss, count))


def check_weights(batches: Batches, value: Callable[[Any], float]) -> None:
    """Compare the loss of a batch with the weighted mean over its halves; warn where they differ.

        w L = w_1 L_1 + w_2 L_2,    w the weights of the batches

    A mean over something else than samples (tokens that are not ignored, elements of sequences) joins to the mean over
    all data by its own weights alone, and only this comparison shows them to be wrong. Costs one run of the model.

    Parameters
    ----------
    batches : Batches
    value : callable
        batch -> loss.
    """
    if len(batches.items) < 2 or batches.weigh is None:
        return
    # one batch that can be halved is enough: all are weighed in the same way
    for batch in batches.items:
        size = common_size(batch) or 0
        if size < 2:
            continue
        halves = [take(batch, index, size) for index in torch.arange(size).tensor_split(2)]
        try:
            weights = [float(batches.weigh(half)) for half in halves]
            parts = [value(half) if w > 0 else 0.0 for half, w in zip(halves, weights, strict=True)]
            whole = value(batch)
        except Exception:  # the user's own code may not take half a batch; then nothing can be compared
            return
        mean = sum(w * part for w, part in zip(weights, parts, strict=True)) / (sum(weights) or 1.0)
        if not abs(whole - mean) <= HALVES * max(abs(whole), *(abs(part) for part in parts)):
            warnings.warn(
                f"the loss of a batch is {whole:.6g} and the weighted mean over its halves {mean:.6g}: batches that "
                "weigh differently are not joined to the mean over all data; say what a batch weighs by count=, such "
                "as its tokens that are not ignored",
                stacklevel=2,
            )
        return


def _weights(items: Sequence[Any], loss: Any, count: Callable[[Any], float] | None) -> Sequence[float]:
    joint: Any = getattr(loss, "weights", None)
    if count is None and callable(joint):
        return tuple(cast("Sequence[float]", joint(items)))
    weigh = _weigher(loss, count)
    if weigh is sample_count and len(items) == 1:
        weigh = size_of_one
    return [weigh(item) for item in items]


def _weigher(loss: Any, count: Callable[[Any], float] | None) -> Callable[[Any], float]:
    own: Any = getattr(loss, "weight", None)  # on a loss of the user's it may be a tensor of class weights
    return count or (cast("Callable[[Any], float]", own) if callable(own) else sample_count)


def sample_count(batch: Any) -> int:
    """The number of samples: the leading dimension that all tensors of the batch share."""
    size = common_size(batch)
    if size is None:
        raise InvalidInput(
            f"cannot tell the number of samples from leading dimensions {sorted(set(first_sizes(batch)))}; "
            "say it with count=lambda batch: ..."
        )
    return size


def size_of_one(batch: Any) -> float:
    """The size of a lone batch, which has all the weight: where dimensions differ the smallest will do."""
    return float(min(first_sizes(batch), default=1))


def _as_list(data: Any) -> list[Any]:
    if isinstance(data, DataLoader):
        with keep_random_state(*generators(data)):
            _check_repeatable(data.dataset)
            return list(data)
    # what can be moved is one batch: those of tokenizers and graph libraries are classes of their own
    if isinstance(data, Tensor | tuple | Mapping) or hasattr(data, "to"):
        return [data]
    if isinstance(data, list) and data and all(isinstance(item, Tensor) for item in data):
        return [data]
    # a sparse matrix can be iterated, but its rows are no batches
    if isinstance(data, str | bytes) or not isinstance(data, Iterable) or hasattr(data, "tocsr"):
        raise InvalidType(f"data must be a batch, a list of batches or a DataLoader; got a {type(data).__name__}")
    if isinstance(data, np.ndarray):
        raise InvalidType("data is a NumPy array; give tensors: torch.as_tensor(data)")
    with keep_random_state():
        return list(data)


def generators(loader: Any) -> list[torch.Generator]:
    """The random generators that iterating the loader would advance."""
    samplers = [loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)]
    # a batch sampler wraps the sampler that draws
    samplers.append(getattr(samplers[-1], "sampler", None))
    candidates = [getattr(sampler, "generator", None) for sampler in samplers]
    return [generator for generator in candidates if isinstance(generator, torch.Generator)]


def _check_repeatable(dataset: Any) -> None:
    """Refuse a data set whose first samples differ when they are read twice."""
    if isinstance(dataset, TensorDataset) or not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        return
    for i in range(min(PROBED_SAMPLES, len(dataset))):
        if not all(_equal(a, b) for a, b in zip(leaves(dataset[i]), leaves(dataset[i]), strict=False)):
            raise NotRepeatable(
                f"sample {i} of the data set ({type(dataset).__name__}) differs when read twice: random "
                "augmentation. Use a data set without it, or freeze one draw: data=list(loader)"
            )


def _equal(a: Any, b: Any) -> bool:
    """Whether two numbers, arrays or tensors are the same, nan included; True for anything else."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and bool(torch.allclose(a, b, rtol=0, atol=0, equal_nan=True))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc" and b.dtype.kind in "fc"))
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b or (a != a and b != b)
    return True
