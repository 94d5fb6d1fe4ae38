"""A run of a model on a batch: its checks, its trace, and the sizes of signal and gradient along its blocks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from surefoot.errors import InvalidInput, NotFinite
from surefoot.training.model.batches import gather
from surefoot.training.model.loss import Loss, as_scalar, locate
from surefoot.training.model.sandbox import plain_module, refuse_dropout, twice_differentiable
from surefoot.training.model.trees import first_sizes, leaves, on_device
from surefoot.training.residual._trace import Step, Trace, trace_forward


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Sizes along a stack of L branches, Euclidean norms over a batch.

    Parameters
    ----------
    x, branch, total : tuple of float, length L
        |x_k|, |g_k(x_k)| and |x_k + g_k(x_k)|.
    gradient, gradient_after : tuple of float, length L
        Norms of the gradient by x_k and by x_k + g_k(x_k).
    linked : bool
        Whether each branch adds to what the one before it made, with nothing in between.
    """

    x: tuple[float, ...]
    branch: tuple[float, ...]
    total: tuple[float, ...]
    gradient: tuple[float, ...]
    gradient_after: tuple[float, ...]
    linked: bool

    @property
    def forward(self) -> tuple[float, ...]:
        """|x_k| / |x_0| for k = 0 .. L."""
        return tuple(_ratio(size, self.x[0]) for size in (*self.x, self.total[-1]))

    @property
    def backward(self) -> tuple[float, ...]:
        """The gradient by x_k over that by x_L, k = 0 .. L."""
        return tuple(_ratio(size, self.gradient_after[-1]) for size in (*self.gradient, self.gradient_after[-1]))


def prepare(model: nn.Module, data: Any, loss: Loss | None) -> tuple[nn.Module, Any]:
    """The module inside wrappers, and the first batch of the data on its device."""
    model = plain_module(model)
    refuse_dropout(model)
    batch = gather(data, cast("Loss", loss)).items[0]
    if not first_sizes(batch):
        raise InvalidInput(f"the data holds no tensor with samples; got {batch!r}")
    for tensor in leaves(batch):
        if isinstance(tensor, Tensor) and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NotFinite("the data holds NaN or infinite entries; drop or impute them")
    # a model on several devices moves its data itself
    devices = {tensor.device for tensor in model.parameters()}
    return model, on_device(batch, devices.pop()) if len(devices) == 1 else batch


def run(model: nn.Module, batch: Any, loss: Loss | None) -> Trace:
    """The trace of one evaluation.

    Without a loss a tensor is the model's input, of a tuple or list the first entry, and a mapping its keywords.
    """

    def compute() -> Any:
        if loss is not None:
            with locate("on the batch"):
                return as_scalar(loss(model, batch))
        if isinstance(batch, Mapping):
            return model(**batch)
        return model(batch[0] if isinstance(batch, tuple | list) else batch)

    return trace_forward(model, compute)


def signals(trace: Trace, steps: Sequence[Step], loss: Loss | None, seed: int) -> Signals:
    """The sizes of signal and gradient, infinite and nan included.

    The gradient is the loss's or, without one, that of a random direction at the last branch.
    """
    if loss is not None:
        root, cotangent = cast("Tensor", trace.returned), None
    else:
        root = steps[-1].value
        # drawn in float64 on the CPU: the same direction on any device
        random = torch.randn(root.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        cotangent = random.to(root)
    places: Any = [*(step.stream for step in steps), *(GradientEdge(*step.sum) for step in steps)]
    with twice_differentiable():
        pulled = torch.autograd.grad(root, places, cotangent, retain_graph=True, allow_unused=True)
    sizes = [0.0 if g is None else _norm(g) for g in cast("Sequence[Tensor | None]", pulled)]
    if not any(sizes):
        raise InvalidInput("the loss does not depend on the residual blocks: every gradient there is 0; check the loss")
    return Signals(
        x=tuple(_norm(step.x) for step in steps),
        branch=tuple(_norm(step.branch) for step in steps),
        total=tuple(_norm(step.value) for step in steps),
        gradient=tuple(sizes[: len(steps)]),
        gradient_after=tuple(sizes[len(steps) :]),
        linked=all(b.start == a.sum for a, b in pairwise(steps)),
    )


def _norm(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor.detach().double()))


def _ratio(size: float, first: float) -> float:
    """Size/first; infinite where that has no meaning, since a signal that is lost has left every bound."""
    if math.isnan(size) or math.isnan(first):
        return math.inf
    return size / first if first > 0 and math.isfinite(first) else math.inf
