"""The Jacobian of a residual branch, and of a whole stack of them, from the graph of one forward pass."""

import warnings
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from surefoot.operators import Array, MatrixOperator, Operator
from surefoot.training.model.sandbox import twice_differentiable

__all__ = ["JacobianOf", "form"]

# Rows of a Jacobian that one backward pass of many vectors forms: each row keeps a copy of every activation.
ROWS = 128


class JacobianOf(Operator):
    """The derivative of a tensor, m entries, by another in its graph, n entries.

    J v by reverse mode twice, J'u by once.

    Parameters
    ----------
    output : Tensor
        Output of the branch, with its graph.
    stream : GradientEdge
        Edge of the graph to differentiate by.
    like : Tensor
        Tensor of its shape and dtype.
    """

    def __init__(self, output: Tensor, stream: GradientEdge, like: Tensor) -> None:
        precision = float(torch.finfo(like.dtype).eps)
        super().__init__((output.numel(), like.numel()), kind="jacobian", precision=precision, scope="local")
        self._output, self._stream, self._like = output, stream, like
        self._forward: tuple[Tensor, Tensor | None] | None = None

    def _apply(self, x: Array) -> Array:
        # J v = d/du (J'u)'v: two reverse passes, since few layers have a rule for forward mode
        with twice_differentiable():
            if self._forward is None:
                dummy = torch.zeros_like(self._output, requires_grad=True)
                (pulled,) = self._pull(dummy, create_graph=True)
                # a derivative that is zero is constant in the dummy
                self._forward = dummy, pulled if pulled is not None and pulled.requires_grad else None
            dummy, pulled = self._forward
            if pulled is None:
                return np.zeros(self.shape[0])
            (pushed,) = torch.autograd.grad(pulled, dummy, self._tensor(x, pulled), retain_graph=True)
        return self._array(pushed)

    def _apply_adjoint(self, x: Array) -> Array:
        with twice_differentiable():
            (pulled,) = self._pull(self._tensor(x, self._output))
        return np.zeros(self.shape[1]) if pulled is None else self._array(pulled)

    def rows(self, start: int, stop: int) -> Array:
        """Rows start to stop of the matrix: one backward pass where the layers allow it, else one each."""
        units = torch.zeros((stop - start, self.shape[0]), dtype=self._output.dtype, device=self._output.device)
        units[torch.arange(stop - start), torch.arange(start, stop)] = 1
        try:
            with twice_differentiable(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of slow loops in place of a batched rule
                (pulled,) = self._pull(units.reshape(-1, *self._output.shape), is_grads_batched=True)
        except RuntimeError:
            return np.stack([self.rmatvec(unit) for unit in units.double().numpy()])
        if pulled is None:
            return np.zeros((stop - start, self.shape[1]))
        return pulled.detach().reshape(stop - start, -1).double().cpu().numpy()

    def _pull(self, cotangent: Tensor, **options: Any) -> tuple[Tensor | None, ...]:
        gradients = torch.autograd.grad(
            self._output, [cast("Tensor", self._stream)], cotangent, retain_graph=True, allow_unused=True, **options
        )
        return cast("tuple[Tensor | None, ...]", gradients)

    def _tensor(self, x: Array, like: Tensor) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(x)).to(like).reshape(like.shape)

    def _array(self, x: Tensor) -> Array:
        return x.detach().reshape(-1).double().cpu().numpy()


def form(jacobian: JacobianOf) -> MatrixOperator:
    """The matrix itself.

    Raises
    ------
    NotFinite
        If an entry is NaN or infinite.
    """
    m = jacobian.shape[0]
    rows = [jacobian.rows(start, min(m, start + ROWS)) for start in range(0, m, ROWS)]
    return MatrixOperator(np.concatenate(rows), kind="jacobian")
