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

# Relative difference of two ways to the same gradient that is rounding, in units of the parameters' precision: sums
# over thousands of samples in another order.
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
        self._whole = LossModule(model, loss)
        device = self.block.tensors[0].device
        self._items = [on_device(item, device) for item in data.items]
        self._shares = data.shares
        self.together = self._works_together()

    @property
    def start(self) -> Array:
        """The model's parameters now, shape (d,)."""
        return self.block.joined([p.detach() for p in self.block.tensors]).numpy()

    def __call__(self, x: NDArray[np.float64], rate: NDArray[np.float64]) -> NDArray[np.float64]:
        """One step for each column: x of shape (d, p), rate (p,)."""
        _, gradient = self.evaluate(x)
        if self.clip is not None:
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
        columns = self._columns(x)
        with isolate(self.model):
            values = self._values(columns)
            (gradients,) = torch.autograd.grad(values.sum(), columns)
        return _array(values), _array(gradients).T

    def derivatives(self, x: NDArray[np.float64], rate: NDArray[np.float64]) -> tuple[Array, Array]:
        """What the step does to a displacement of x, I - rate H, shape (d, d, p), and of the rate, -g, shape (d, p).

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
        columns = self._columns(x)
        with isolate(self.model):
            values = self._values(columns)
            (gradients,) = torch.autograd.grad(values.sum(), columns, create_graph=True)
            rows = [
                torch.autograd.grad(gradients[:, i].sum(), columns, retain_graph=True)[0]
                for i in range(columns.shape[1])
            ]
        hessians = np.stack([_array(row).T for row in rows])
        return np.eye(len(rows))[:, :, None] - rate * hessians, -_array(gradients).T

    def product(self, x: Array, v: Array) -> Array:
        """The Hessian at one point x, shape (d,), times v."""
        columns = self._columns(x[:, None])
        with isolate(self.model):
            (gradient,) = torch.autograd.grad(self._values(columns).sum(), columns, create_graph=True)
            weights = torch.as_tensor(v, dtype=columns.dtype, device=columns.device)[None]
            (product,) = torch.autograd.grad(gradient, columns, weights)
        return _array(product)[0]

    def _columns(self, x: NDArray[np.float64]) -> Tensor:
        """Parameter vectors as rows of a leaf, shape (p, d)."""
        if np.iscomplexobj(x):
            raise InvalidType("a model's parameters are real numbers")
        if x.ndim != 2 or x.shape[0] != self.block.size:
            raise InvalidInput(f"x must have shape ({self.block.size}, p), one state per rate; got {x.shape}")
        first = self.block.tensors[0]
        rows = torch.tensor(np.ascontiguousarray(x.T), dtype=first.dtype, device=first.device)
        return rows.requires_grad_()

    def _values(self, columns: Tensor) -> Tensor:
        """The loss at each row."""
        if self.together and len(columns) > 1:
            return vmap(self._value)(columns)
        return torch.stack([self._value(row) for row in columns])

    def _value(self, vector: Tensor) -> Tensor:
        named = self._by_name(vector)
        total = torch.zeros((), dtype=vector.dtype, device=vector.device)
        for item, share in zip(self._items, self._shares, strict=True):
            with locate("on the data"):
                total = total + share * functional_call(self._whole, named, (item,))
        return total

    def _by_name(self, vector: Tensor) -> dict[str, Tensor]:
        pieces = vector.split([p.numel() for p in self.block.tensors])
        shaped = (piece.view(p.shape) for piece, p in zip(pieces, self.block.tensors, strict=True))
        return {f"model.{name}": piece for name, piece in zip(self.block.names, shaped, strict=True)}

    def _works_together(self) -> bool:
        """Whether torch can evaluate several parameter vectors in one pass, with the same outcome."""
        pair = torch.stack([self._vector(), self._vector()]).requires_grad_()
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

    def _vector(self) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in self.block.tensors])

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
    plain = plain_module(model)
    select(plain)
    refuse_dropout(plain)
    return DescentMap(plain, loss, gather(data, loss), clip)
