"""One batch's curvature as a product: the gradient's graph, differentiated once more for each vector."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from surefoot.errors import InvalidInput, NotFinite, NotSmooth
from surefoot.training.curvature._autocast import autocast_to
from surefoot.training.model import Supervised
from surefoot.training.model.loss import Loss, as_scalar

__all__ = [
    "Curvature",
    "HessianOf",
    "Linearised",
    "check_differentiable",
    "explain",
    "refuse_reentrant_checkpoints",
]

# (vectors like the parameters, keep the graph) -> products like the parameters, None where zero
Product = Callable[[Sequence[Tensor], bool], Sequence[Tensor | None]]


@dataclass(frozen=True, slots=True)
class Linearised:
    """The loss on a batch and the curvature product there.

    Parameters
    ----------
    value : float
        The batch's mean loss.
    product : callable
        (vectors, keep) -> products; with keep=False the graph is freed.
    """

    value: float
    product: Product


class Curvature(ABC):
    """A matrix that belongs to a loss at a point: the Hessian, Gauss-Newton, a Fisher matrix."""

    name: str
    psd: bool = False
    is_derivative: bool = False  # of the gradient, so that a difference of gradients checks it
    autocast: torch.dtype | None = None  # the precision that the model is run in, if below that of its parameters

    @abstractmethod
    def in_double(self) -> "Curvature":
        """The same for a model in float64."""

    def in_full(self) -> "Curvature":
        """The same in the precision of the parameters."""
        return self

    @abstractmethod
    def value(self, model: nn.Module, batch: Any) -> Tensor:
        """The mean loss on the batch, checked to be a finite differentiable scalar."""

    @abstractmethod
    def linearise(self, model: nn.Module, batch: Any, parameters: Sequence[Tensor]) -> Linearised:
        """Run the model on the batch and prepare the product."""


class HessianOf(Curvature):
    """The Hessian of loss(model, batch), by double backward.

        H v = d/dtheta (g(theta) . v),    g the gradient, its graph kept

    (Pearlmutter 1994, by reverse mode twice.) It is the one way that is right on every layer that PyTorch can
    differentiate twice; where the loss has kinks (ReLU) it is the Hessian almost everywhere.
    """

    name = "Hessian"
    is_derivative = True

    def __init__(self, loss: Loss, autocast: torch.dtype | None = None, weight: float = 1.0) -> None:
        self.loss = loss
        self.autocast = autocast
        self.weight = weight

    def times(self, weight: float) -> "HessianOf":
        """The Hessian of weight * loss; `value` and `Linearised.value` are still those of the loss."""
        return HessianOf(self.loss, self.autocast, weight)

    def in_double(self) -> "HessianOf":
        """The same with every number in double precision."""
        return HessianOf(self.loss.in_double() if isinstance(self.loss, Supervised) else self.loss)

    def in_full(self) -> "HessianOf":
        """The same in the precision of the parameters."""
        return HessianOf(self.loss)

    def value(self, model: nn.Module, batch: Any) -> Tensor:
        """The loss of one batch."""
        with autocast_to(self.autocast, model):
            return check_differentiable(self.loss(model, batch))

    def linearise(self, model: nn.Module, batch: Any, parameters: Sequence[Tensor]) -> Linearised:
        """The loss of one batch, its gradient, and the graph that products need."""
        value = self.value(model, batch)
        refuse_reentrant_checkpoints(value)
        gradients = cast(
            "Sequence[Tensor | None]",
            torch.autograd.grad(self.weight * value, parameters, create_graph=True, allow_unused=True),
        )
        # a gradient without a graph is constant in the parameters: no curvature from there
        curved = {i: g for i, g in enumerate(gradients) if g is not None and g.requires_grad}
        return Linearised(value.item(), _directional(list(curved.values()), list(curved), parameters))


def _directional(gradients: list[Tensor], where: list[int], parameters: Sequence[Tensor]) -> Product:
    if not gradients:
        return lambda _vectors, _keep: [None] * len(parameters)
    chosen: list[Tensor] = []
    along: Any = _Along.apply(chosen, *gradients)

    def product(vectors: Sequence[Tensor], keep: bool) -> Sequence[Tensor | None]:
        chosen[:] = [vectors[i] for i in where]
        try:
            return torch.autograd.grad(along, parameters, retain_graph=keep, allow_unused=True)
        finally:
            chosen.clear()  # the graph must not keep the caller's vector alive

    return product


class _Along(torch.autograd.Function):
    """g . v as a node whose derivative by g is v, whatever v is when it is asked for.

    ``autograd.grad(g, parameters, v)`` does the same, but imports SymPy at its first call in a process to compare
    shapes: 1.3 s, six gradients of a 10-million-parameter transformer.
    """

    @staticmethod
    def forward(ctx: Any, chosen: list[Tensor], *gradients: Tensor) -> Tensor:
        ctx.chosen = chosen
        # dense, where a gradient is sparse too
        return torch.zeros((), dtype=gradients[0].dtype, device=gradients[0].device)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        return None, *ctx.chosen


def check_differentiable(returned: Any) -> Tensor:
    """What a loss returned, as a finite tensor of shape () that depends on parameters."""
    value = as_scalar(returned)
    if not math.isfinite(value.item()):
        raise NotFinite(
            f"the loss is {value.item()} at the model's current parameters; check the data and the parameters "
            "for NaN, or start again from an earlier checkpoint"
        )
    if not value.requires_grad:
        raise InvalidInput(
            "the loss does not depend on any trainable parameter: it was computed under no_grad, or "
            "detached, or from values that went through NumPy"
        )
    return value


def refuse_reentrant_checkpoints(value: Tensor) -> None:
    """A reentrant checkpoint hides its parameters from the graph: they would silently count as unused."""
    seen: set[Any] = set()
    waiting: list[Any] = [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if node.name() == "CheckpointFunctionBackward":
            raise NotSmooth(
                "the model uses a reentrant checkpoint, which autograd.grad does not go through: "
                "checkpoint(..., use_reentrant=False)"
            )
        seen.add(node)
        waiting.extend(after for after, _ in node.next_functions)


def explain(error: RuntimeError) -> NotSmooth:
    """What a failure inside a second derivative means, and what would fix it."""
    text = str(error)
    if "double backward" in text and "compile" in text:
        fix = "give the model before torch.compile"
    elif "parse" in text:
        fix = "use dense gradients: sparse=False in the embedding"
    else:
        fix = "replace that operation, or its custom backward, by one that is itself differentiable"
    return NotSmooth(f"the loss cannot be differentiated twice: {text.splitlines()[0]} - {fix}")
