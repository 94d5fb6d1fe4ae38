"""PyTorch operations whose second derivative is silently wrong, replaced by what they are made of."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["Corrected"]


def weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """G v / ||v||, the norm over all dimensions but `dim` (all of them for dim = -1).

    ``torch._weight_norm`` saves the norm without its history, so its second derivative treats it as a
    constant (seen in torch 2.13 with `gradgradcheck`; the first derivative is right).
    """
    others = [i for i in range(v.ndim) if i != dim or dim == -1]
    return v * (g / torch.linalg.vector_norm(v, dim=others, keepdim=True))


REPLACEMENTS: dict[Any, Callable[..., Tensor]] = {getattr(torch, "_weight_norm"): weight_norm}  # noqa: B009


class Corrected(TorchFunctionMode):
    """While active, replaces the operations above wherever a model calls them."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return REPLACEMENTS.get(func, func)(*args, **(kwargs or {}))
