"""The curvature of one batch as a product: the gradient's graph, differentiated once more for each vector."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from surefoot.errors import InvalidInput, NotFinite, NotSmooth
from surefoot.training.curvature._autocast import autocast_to
from surefoot.training.model import Supervised
from surefoot.training.model.loss import Loss, as_scalar

__all__ = [
    "Curvature", "HessianOf", "Linearised", "check_differentiable", "evaluate", "explain",
    "refuse_reentrant_checkpoints",
]  # fmt: skip

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
    """A matrix that belongs to a loss at a point: the Hessian, Gauss-Newton, a Fisher matrix.

    Parameters
    ----------
    loss : callable
        loss(model, batch) -> the mean over the batch.
    """

    name: str
    psd: bool = False
    # Whether it is the derivative of the gradient, so that a difference of gradients checks it.
    is_derivative: bool = False
    # The precision that the model runs in, if below that of its parameters.
    autocast: torch.dtype | None = None

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def in_full(self) -> Self:
        """The same matrix in the precision of the parameters, without autocast."""
        twin = copy.copy(self)
        twin.autocast = None
        return twin

    def in_double(self) -> Self:
        """The same matrix for a model in float64, with the loss's own tensors (class weights) in float64 too."""
        twin = self.in_full()
        if isinstance(self.loss, Supervised):
            twin.loss = self.loss.in_double()
        return twin

    def value(self, model: nn.Module, batch: Any) -> Tensor:
        """The mean loss on the batch, checked to be a finite differentiable scalar."""
        with autocast_to(self.autocast, model):
            return check_differentiable(self.loss(model, batch))

    @abstractmethod
    def linearise(self, model: nn.Module, batch: Any, parameters: Sequence[Tensor]) -> Linearised:
        """Run the model on the batch and prepare products with the matrix."""


class HessianOf(Curvature):
    """The Hessian of loss(model, batch), by double backward.

        H v = d/dtheta (g(theta) . v),    g the gradient, its graph kept

    (Pearlmutter 1994, by reverse mode twice.) Reverse mode alone works on every layer that PyTorch can differentiate
    twice; few have a rule for forward mode. Where the loss has kinks (ReLU) it is the Hessian almost everywhere.
    """

    name = "Hessian"
    is_derivative = True
    weight = 1.0

    def __init__(self, loss: Loss, autocast: torch.dtype | None = None) -> None:
        super().__init__(loss)
        self.autocast = autocast

    def times(self, weight: float) -> Self:
        """The Hessian of weight * loss; `value` and `Linearised.value` remain those of the loss."""
        twin = copy.copy(self)
        twin.weight = weight
        return twin

    def linearise(self, model: nn.Module, batch: Any, parameters: Sequence[Tensor]) -> Linearised:
        """The batch's loss, and the graph of its gradient for products."""
        value = self.value(model, batch)
        refuse_reentrant_checkpoints(value)
        gradients = cast(
            "Sequence[Tensor | None]",
            torch.autograd.grad(self.weight * value, parameters, create_graph=True, allow_unused=True),
        )
        # a gradient without a graph is constant in the parameters: no curvature from there
        curved = {i: g for i, g in enumerate(gradients) if g is not None and g.requires_grad}
        return Linearised(value.item(), _hessian_product(list(curved.values()), list(curved), parameters))


def _hessian_product(gradients: list[Tensor], where: list[int], parameters: Sequence[Tensor]) -> Product:
    """V -> d(g . v)/dtheta, the gradients being those of the parameters at the places `where`."""
    if not gradients:
        return lambda _vectors, _keep: [None] * len(parameters)
    directions: list[Tensor] = []
    slope: Any = _DirectionalDerivative.apply(directions, *gradients)

    def product(vectors: Sequence[Tensor], keep: bool) -> Sequence[Tensor | None]:
        directions[:] = [vectors[i] for i in where]
        try:
            return torch.autograd.grad(slope, parameters, retain_graph=keep, allow_unused=True)
        finally:
            directions.clear()  # the graph must not keep the caller's vector alive

    return product


class _DirectionalDerivative(torch.autograd.Function):
    """g . v as a node whose derivative by g is v, read when the derivative is taken: one graph serves every v.

    ``autograd.grad(g, parameters, v)`` does the same, but imports SymPy at its first call in a process to compare
    shapes: 1.3 s, six gradients of a 10-million-parameter transformer.
    """

    @staticmethod
    def forward(ctx: Any, directions: list[Tensor], *gradients: Tensor) -> Tensor:
        ctx.directions = directions
        # the value is never used; zeros are dense even where a gradient is sparse
        return torch.zeros((), dtype=gradients[0].dtype, device=gradients[0].device)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        return None, *ctx.directions


def evaluate(loss: Supervised, model: nn.Module, batch: Any) -> tuple[Tensor, Any, Tensor]:
    """The model's outputs on a batch, its target and its mean loss, fit to be differentiated through the outputs."""
    outputs, target = loss.outputs(model, batch)
    value = check_differentiable(loss.criterion(outputs, target))
    refuse_reentrant_checkpoints(value)
    return outputs, target, value


def check_differentiable(returned: Any) -> Tensor:
    """The value that a loss returned, as a finite tensor of shape () that depends on parameters."""
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
    """Raise NotSmooth for a reentrant checkpoint: it hides its parameters from the graph, so they would seem unused."""
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
    """The error to raise for a failure inside a second derivative, with what would fix it."""
    text = str(error)
    if "double backward" in text and "compile" in text:
        fix = "give the model before torch.compile"
    elif "parse" in text:
        fix = "use dense gradients: sparse=False in the embedding"
    else:
        fix = "replace that operation, or its custom backward, by one that is itself differentiable"
    return NotSmooth(f"the loss cannot be differentiated twice: {text.splitlines()[0]} - {fix}")
