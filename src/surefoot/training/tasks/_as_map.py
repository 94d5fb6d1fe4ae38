"""Full-batch gradient descent of a model as a map of its parameters, for many learning rates at once."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap

from surefoot.checks import Positive, checked
from surefoot.errors import InvalidInput, InvalidType, NotFinite
from surefoot.operators import Array
from surefoot.training.model.batches import Batches, gather
from surefoot.training.model.loss import Loss, LossModule, locate, refuse_criterion
from surefoot.training.model.parameters import Block, select
from surefoot.training.model.sandbox import isolate, plain_module, refuse_dropout
from surefoot.training.model.trees import on_device

# Largest difference between two computations of one gradient that counts as rounding, in units of the parameters'
# precision: sums over thousands of samples in another order.
ROUNDING = 1e3


class DescentMap:
    """x -> x - rate * g, g the gradient of a model's loss over its data; see `as_map`.

    Parameters
    ----------
    model : Module
    loss : callable
    data : Batches
    clip : float or None
    """

    def __init__(self, model: nn.Module, loss: Loss, data: Batches, clip: float | None = None) -> None:
        self.model = model
        self.block: Block = select(model)
        self.clip = clip
        self._loss = LossModule(model, loss)
        self._items = [on_device(item, self.block.device) for item in data.items]
        self._shares = data.shares
        self.batched = self._can_batch()

    @property
    def start(self) -> Array:
        """The model's parameters now, shape (d,)."""
        return self.block.joined(self.block.tensors).numpy()

    def __call__(self, x: NDArray[np.float64], rate: NDArray[np.float64]) -> NDArray[np.float64]:
        """One step for each column: x of shape (d, p), rate (p,)."""
        _, gradient = self.evaluate(x)
        if self.clip is not None:
            # a norm of 0 would be 0/0; at 1e-300 the factor is 1
            gradient = gradient * np.minimum(1.0, self.clip / np.maximum(np.linalg.norm(gradient, axis=0), 1e-300))
        return x - rate * gradient

    def evaluate(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The losses, (p,), and the gradients, (d, p), at the columns of x.

        Raises
        ------
        InvalidType
            If x is not real.
        InvalidInput
            If its shape is not (d, p).
        """
        with isolate(self.model):
            _, values, gradients = self._gradients(x)
        return _array(values), _array(gradients).T

    def derivatives(self, x: NDArray[np.float64], rate: NDArray[np.float64]) -> tuple[Array, Array]:
        """The derivatives of a step by x, I - rate H, shape (d, d, p), and by the rate, -g, shape (d, p).

        By double backward, exact to rounding; used by `surefoot.dynamics` instead of differences.

        Raises
        ------
        InvalidType
            If x is not real.
        InvalidInput
            If its shape is not (d, p), or gradients are clipped.
        """
        if self.clip is not None:
            raise InvalidInput("a clipped gradient has kinks; its derivatives are not given")
        with isolate(self.model):
            points, _, gradients = self._gradients(x, create_graph=True)
            rows = [
                torch.autograd.grad(gradients[:, i].sum(), points, retain_graph=True)[0] for i in range(points.shape[1])
            ]
        hessians = np.stack([_array(row).T for row in rows])
        return np.eye(len(rows))[:, :, None] - rate * hessians, -_array(gradients).T

    def product(self, x: Array, v: Array) -> Array:
        """The Hessian at one point x, shape (d,), times v."""
        with isolate(self.model):
            points, _, gradient = self._gradients(x[:, None], create_graph=True)
            weights = torch.as_tensor(v, dtype=points.dtype, device=points.device)[None]
            (product,) = torch.autograd.grad(gradient, points, weights)
        return _array(product)[0]

    def _gradients(self, x: NDArray[np.float64], *, create_graph: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """The columns of x as rows of a leaf, shape (p, d); the losses and the gradients there."""
        if np.iscomplexobj(x):
            raise InvalidType("a model's parameters are real numbers")
        if x.ndim != 2 or x.shape[0] != self.block.size:
            raise InvalidInput(f"x must have shape ({self.block.size}, p), one state per rate; got {x.shape}")
        first = self.block.tensors[0]
        # a copy: the caller's array may be read-only
        points = torch.tensor(np.ascontiguousarray(x.T), dtype=first.dtype, device=first.device).requires_grad_()
        if self.batched and len(points) > 1:
            values = vmap(self._value)(points)
        else:
            values = torch.stack([self._value(row) for row in points])
        (gradients,) = torch.autograd.grad(values.sum(), points, create_graph=create_graph)
        return points, values, gradients

    def _value(self, vector: Tensor) -> Tensor:
        pieces = zip(self.block.names, self.block.split(vector), strict=True)
        named = {f"model.{name}": piece for name, piece in pieces}
        total = torch.zeros((), dtype=vector.dtype, device=vector.device)
        for item, share in zip(self._items, self._shares, strict=True):
            with locate("on the data"):
                total = total + share * functional_call(self._loss, named, (item,))
        return total

    def _can_batch(self) -> bool:
        """Whether torch can evaluate several parameter vectors in one pass, with the same result."""
        vector = torch.cat([p.detach().reshape(-1) for p in self.block.tensors])
        pair = torch.stack([vector, vector]).requires_grad_()
        with isolate(self.model):
            value = self._value(pair[0])
            if not bool(torch.isfinite(value)):
                raise NotFinite(f"the loss is {value.item()} at the model's parameters; check the data and the model")
            (alone,) = torch.autograd.grad(value, pair)
            try:
                (both,) = torch.autograd.grad(vmap(self._value)(pair).sum(), pair)
            except Exception:  # an operation without a batching rule, a write in place: one by one then
                return False
        slack = ROUNDING * self.block.precision * max(1.0, float(alone.abs().max()))
        return bool((both - alone[0]).abs().max() <= slack)

    def __repr__(self) -> str:
        return f"DescentMap({type(self.model).__name__}, {self.block.size} parameters)"


def _array(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.detach().double().cpu().numpy()


@checked
def as_map(model: nn.Module, loss: Loss, data: Any, *, clip: Positive | None = None) -> DescentMap:
    """Full-batch gradient descent of a model as a function (x, rate), for `surefoot.dynamics`.

        x+ = x - rate * g(x),    g the gradient of the mean loss over the data, cut to the norm `clip`

    Many rates are computed in one pass (torch.func.vmap) where the model allows it, else one after the other. In the
    model's own precision: for thresholds and exponents give a model in float64. The model itself is left as it is.

    Parameters
    ----------
    model : Module
        Model in the mode (train or eval) to be studied; dropout in train mode is refused.
    loss : callable
        loss(model, batch) -> scalar tensor, the mean over the batch; see `supervised`.
    data : batch, list of batches, DataLoader
        All of it counts in every step.
    clip : float, optional
        Largest norm of a gradient.

    Returns
    -------
    DescentMap
        Callable with (x, rate), arrays of shape (d, p) and (p,); its `start` holds the model's parameters, shape (d,),
        for the x0 of `orbit`; `evaluate(x)` gives losses and gradients.

    Raises
    ------
    InvalidInput
        If there is nothing to train, the data is empty, the loss is not one number, or clip is not positive.
    InvalidType
        If an argument is of the wrong kind.
    NotFinite
        If the loss is not finite at the model's parameters.
    NotRepeatable
        If dropout is active.

    Examples
    --------
    >>> import torch
    >>> from surefoot.dynamics import orbit, period
    >>> from surefoot.training.tasks._as_map import as_map
    >>> from surefoot.training.model import supervised
    >>> model = torch.nn.Linear(1, 1, bias=False).double()
    >>> data = torch.ones(4, 1).double(), torch.zeros(4, 1).double()
    >>> update = as_map(model, supervised(torch.nn.functional.mse_loss), data)  # the loss w^2
    >>> print(period(orbit(update, [0.9, 1.0], [1.0], steps=400, keep=8)))
    [1 2]
    """
    refuse_criterion(loss)
    model = plain_module(model)
    refuse_dropout(model)
    return DescentMap(model, loss, gather(data, loss), clip)
