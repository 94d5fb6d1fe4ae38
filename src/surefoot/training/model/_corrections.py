"""Replacements of PyTorch operations that have no, or a wrong, second derivative, or a side effect."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# PyTorch's own constant in embedding_renorm_.
RENORM = 1e-7


def weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """G v / ||v||, the norm over all dimensions but `dim` (all of them for dim = -1).

    ``torch._weight_norm`` saves the norm without its history, so its second derivative treats it as a
    constant (seen in torch 2.13 with `gradgradcheck`; the first derivative is right).
    """
    others = [i for i in range(v.ndim) if i != dim or dim == -1]
    return v * (g / torch.linalg.vector_norm(v, dim=others, keepdim=True))


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001
    """min(max(x + 3, 0), 6)/6."""
    return functional.relu6(input + 3) / 6


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:  # noqa: ARG001
    """||x1_i - x2_j||_p; the distance of equal points has derivative 0, as in PyTorch."""
    return _norm(x1[..., :, None, :] - x2[..., None, :, :], p)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """||x_i - x_j||_p, i < j."""
    i, j = torch.triu_indices(len(input), len(input), 1, device=input.device)
    return _norm(input[i] - input[j], p)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """`functional.embedding`, but `max_norm` shrinks the rows of a copy: PyTorch shrinks the weight's, in place.

    The gradient is that at the shrunk rows, as in training; the shrinking itself is not differentiated.
    """
    return functional.embedding(
        input, _shrink(input, weight, max_norm, norm_type), padding_idx, None, norm_type, scale_grad_by_freq, sparse
    )


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,  # noqa: ARG001
    mode: str = "mean",
    sparse: bool = False,  # noqa: ARG001
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Rows of the weight, their sum, mean or maximum over each bag; an empty bag is 0."""
    if offsets is None:
        bags, width = input.shape
        index = torch.arange(bags, device=input.device).repeat_interleave(width)
    else:
        bags = offsets.numel() - include_last_offset
        index = torch.bucketize(torch.arange(input.numel(), device=input.device), offsets[:bags], right=True) - 1
    flat = input.reshape(-1)
    rows = functional.embedding(flat, _shrink(input, weight, max_norm, norm_type), padding_idx)
    kept = torch.ones_like(flat, dtype=torch.bool) if padding_idx is None else flat != padding_idx % len(weight)
    rows, index = rows[kept], index[kept]
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1)[kept][:, None]
    empty = rows.new_zeros(bags, rows.shape[1])
    if mode == "max":
        return empty.scatter_reduce(0, index[:, None].expand_as(rows), rows, "amax", include_self=False)
    total = empty.index_add(0, index, rows)
    if mode == "sum":
        return total
    return total / torch.bincount(index, minlength=bags).clamp(min=1)[:, None]


def _norm(difference: Tensor, p: float) -> Tensor:
    """The p-norm over the last dimension; where the difference is 0 its derivatives are 0 instead of 0/0."""
    same = (difference == 0).all(-1, keepdim=True)
    safe = torch.where(same, torch.ones_like(difference), difference)
    return torch.linalg.vector_norm(safe, p, dim=-1).masked_fill(same[..., 0], 0.0)


def _shrink(index: Tensor, weight: Tensor, max_norm: float | None, norm_type: float) -> Tensor:
    if max_norm is None:
        return weight
    with torch.no_grad():
        norms = torch.linalg.vector_norm(weight, norm_type, dim=1)
        used = torch.zeros_like(norms, dtype=torch.bool)
        used[index.reshape(-1)] = True
        factor = torch.where(used & (norms > max_norm), max_norm / (norms + RENORM), 1.0)
        change = weight * (factor - 1)[:, None]
    return weight + change


REPLACEMENTS: dict[Any, Callable[..., Tensor]] = {
    getattr(torch, "_weight_norm"): weight_norm,  # noqa: B009
    functional.hardsigmoid: hardsigmoid,
    functional.embedding_bag: embedding_bag,
    torch.cdist: cdist,
    torch.pdist: pdist,
    functional.pdist: pdist,
}


class Corrected(TorchFunctionMode):
    """While active, replaces the operations above in all calls."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        # only with max_norm, the fourth argument: without it an embedding is right as it is
        limited = func is functional.embedding and (options.get("max_norm") or (len(args) > 3 and args[3]))
        return embedding(*args, **options) if limited else REPLACEMENTS.get(func, func)(*args, **options)
