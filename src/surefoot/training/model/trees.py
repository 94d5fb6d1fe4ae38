"""Batches of any structure: tensors inside tuples, lists, mappings and objects that can be moved."""

from collections import UserDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["common_size", "first_sizes", "leaves", "map_tensors", "on_device", "spread", "take", "to_double"]


def leaves(tree: Any) -> Iterator[Any]:
    """The leaves of the tree, which are no containers, from left to right."""
    if isinstance(tree, Mapping):
        for value in tree.values():
            yield from leaves(value)
    elif isinstance(tree, tuple | list):
        for value in tree:
            yield from leaves(value)
    else:
        yield tree


def map_tensors(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The tree with the function applied to each tensor; containers keep their type."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        # a named tuple takes its fields one by one
        return type(tree)(*(map_tensors(function, value) for value in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(map_tensors(function, value) for value in tree)
    if isinstance(tree, dict):
        return {key: map_tensors(function, value) for key, value in tree.items()}
    if isinstance(tree, UserDict):  # what tokenizers return
        return type(tree)({key: map_tensors(function, value) for key, value in tree.items()})
    return tree


def on_device(batch: Any, device: torch.device) -> Any:
    """The batch with its tensors on the device; the batch itself where they already are."""
    tensors = [leaf for leaf in leaves(batch) if isinstance(leaf, Tensor)]
    if all(tensor.device == device for tensor in tensors):
        return batch
    if hasattr(batch, "to"):  # a tensor, and the batch classes of other libraries
        return batch.to(device)
    return map_tensors(lambda tensor: tensor.to(device), batch)


def to_double(tree: Any) -> Any:
    """The tree with its floating-point tensors in double precision."""
    return map_tensors(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor, tree)


def take(batch: Any, index: Tensor, size: int) -> Any:
    """The samples `index` of a batch of `size` samples: indexes each tensor that has them first."""
    # other tensors (a mask that all samples share) stay whole
    return map_tensors(lambda t: t[index.to(t.device)] if t.ndim and t.shape[0] == size else t, batch)


def spread(batch: Any, samples: int) -> Any | None:
    """About so many samples from all over a batch; None if it has no more, or they cannot be told apart.

    The smallest leading dimension counts the samples. A tensor with a multiple of it (the flattened targets of a
    language model) is cut in groups.
    """
    sizes = [size for size in first_sizes(batch) if size]
    size = min(sizes, default=0)
    if size <= samples or any(other % size for other in sizes):
        return None
    index = torch.linspace(0, size - 1, samples).round().long()

    def cut(tensor: Tensor) -> Tensor:
        if not tensor.ndim or not tensor.shape[0] or tensor.shape[0] % size:
            return tensor
        groups = torch.arange(tensor.shape[0]).view(size, -1)[index].reshape(-1)
        return tensor[groups.to(tensor.device)]

    return map_tensors(cut, batch)


def first_sizes(batch: Any) -> Sequence[int]:
    """The first dimension of each tensor or array in the batch that has one."""
    return [int(leaf.shape[0]) for leaf in leaves(batch) if getattr(leaf, "ndim", 0)]


def common_size(batch: Any) -> int | None:
    """The first dimension that all tensors of the batch share: its samples; None where they share none."""
    sizes = set(first_sizes(batch))
    return sizes.pop() if len(sizes) == 1 else None
