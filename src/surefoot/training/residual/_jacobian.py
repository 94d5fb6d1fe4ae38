"""The Jacobian of a residual branch, and of a whole stack of them, from the graph of one forward pass."""

import warnings
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from surefoot.operators import Array, Operator
from surefoot.training.model.sandbox import twice_differentiable


class JacobianOf(Operator):
    """The derivative of a tensor, m entries, by another in its graph, n entries; vectors live where they do.

    J v takes reverse mode twice, J'u once.

    Parameters
    ----------
    output : Tensor
        Output of the branch, with its graph.
    stream : GradientEdge
        Place in the graph of the tensor to differentiate by.
    like : Tensor
        Tensor of its shape and dtype.
    """

    def __init__(self, output: Tensor, stream: GradientEdge, like: Tensor) -> None:
        precision = float(torch.finfo(like.dtype).eps)
        super().__init__((output.numel(), like.numel()), kind="jacobian", precision=precision, scope="local", like=like)
        self._output, self._stream, self._like = output, stream, like
        self._forward: tuple[Tensor, Tensor | None] | None = None

    def _apply(self, x: Any) -> Any:
        # J v = d/du (J'u)'v: two reverse passes, since few layers have a rule for forward mode
        with twice_differentiable():
            if self._forward is None:
                dummy = torch.zeros_like(self._output, requires_grad=True)
                (pulled,) = self._pull(dummy, create_graph=True)
                # a derivative that is zero is constant in the dummy
                self._forward = dummy, pulled if pulled is not None and pulled.requires_grad else None
            dummy, pulled = self._forward
            if pulled is None:
                return x.new_zeros(self.shape[0])
            (pushed,) = torch.autograd.grad(pulled, dummy, x.to(pulled).reshape(pulled.shape), retain_graph=True)
        return pushed.detach().reshape(-1)

    def _apply_adjoint(self, x: Any) -> Any:
        with twice_differentiable():
            (pulled,) = self._pull(x.to(self._output).reshape(self._output.shape))
        return x.new_zeros(self.shape[1]) if pulled is None else pulled.detach().reshape(-1)

    def rows(self, start: int, stop: int) -> Array:
        """Rows start to stop of the matrix: one backward pass where the layers allow it, else one each."""
        # rows of the identity: J'e_i is row i of J
        units = torch.zeros((stop - start, self.shape[0]), dtype=self._output.dtype, device=self._output.device)
        units[torch.arange(stop - start), torch.arange(start, stop)] = 1
        try:
            with twice_differentiable(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of slow loops in place of a batched rule
                (pulled,) = self._pull(units.reshape(-1, *self._output.shape), is_grads_batched=True)
        except RuntimeError:
            return np.stack([self.space.host(self.rmatvec(unit)) for unit in units])
        if pulled is None:
            return np.zeros((stop - start, self.shape[1]))
        return self.space.host(self.space.asarray(pulled)).reshape(stop - start, -1)

    def _pull(self, cotangent: Tensor, **options: Any) -> tuple[Tensor | None, ...]:
        gradients = torch.autograd.grad(
            self._output, [cast("Tensor", self._stream)], cotangent, retain_graph=True, allow_unused=True, **options
        )
        return cast("tuple[Tensor | None, ...]", gradients)
