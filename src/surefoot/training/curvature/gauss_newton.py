"""The Gauss-Newton matrix: the curvature that the loss has in the model's outputs, pulled back to the parameters."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.errors import InvalidInput, InvalidType
from surefoot.training.curvature._jacobian import outer_product
from surefoot.training.curvature.linearised import (
    Curvature,
    Linearised,
    check_differentiable,
    refuse_reentrant_checkpoints,
)
from surefoot.training.curvature.operator import DEFAULT_MEMORY, CurvatureOperator, Progress
from surefoot.training.model import Supervised
from surefoot.training.model.loss import Loss

__all__ = ["GaussNewtonOf", "gauss_newton"]


class GaussNewtonOf(Curvature):
    """J' C J, C the Hessian of the criterion in the outputs, by double backward of the criterion alone."""

    name = "Gauss-Newton"
    psd = True

    def __init__(self, loss: Supervised) -> None:
        self.loss = loss

    def in_double(self) -> "GaussNewtonOf":
        """The same with every number in double precision."""
        return GaussNewtonOf(self.loss.in_double())

    def value(self, model: nn.Module, batch: Any) -> Tensor:
        """The loss of one batch."""
        return check_differentiable(self.loss(model, batch))

    def linearise(self, model: nn.Module, batch: Any, parameters: Sequence[nn.Parameter]) -> Linearised:
        """The loss of one batch, its gradient, and what products with J'CJ need."""
        outputs, target = self.loss.outputs(model, batch)
        value = check_differentiable(self.loss.criterion(outputs, target))
        refuse_reentrant_checkpoints(value)
        z = outputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.loss.criterion(z, target), z, create_graph=True)

        def inner(w: Tensor) -> Tensor:
            if not slope.requires_grad:  # a piecewise linear criterion
                return torch.zeros_like(w)
            return torch.autograd.grad(slope, z, w, retain_graph=True)[0]

        return Linearised(value.item(), outer_product(outputs, parameters, inner))


def gauss_newton(
    model: nn.Module,
    loss: Loss,
    data: Any,
    *,
    parameters: Iterable[Any] | None = None,
    max_memory: int = DEFAULT_MEMORY,
    count: Callable[[Any], float] | None = None,
    progress: Progress | None = None,
) -> CurvatureOperator:
    """The Gauss-Newton matrix of the mean loss over data, at the model's current parameters, by its products.

        G = sum_b (n_b / n) J_b' C_b J_b

    J_b is the Jacobian of the model's outputs on batch b and C_b the Hessian of the criterion in them (Schraudolph
    2002). For cross-entropy on logits it is the Fisher matrix; it is the Hessian without the model's own second
    derivative, and has no negative eigenvalues.

    Parameters
    ----------
    model, data, parameters, max_memory, count, progress
        As in `hessian`.
    loss : Supervised
        From `supervised`, of a criterion that is convex in the outputs: mean squares, cross-entropy, binary
        cross-entropy, Huber.

    Returns
    -------
    CurvatureOperator
        Symmetric and positive semidefinite, kind "curvature", scope "local".

    Raises
    ------
    InvalidType
        If the loss is not a `supervised` one, so that outputs and criterion cannot be told apart.
    InvalidInput
        If the criterion is not known to be convex; and as `hessian`.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.curvature.gauss_newton import gauss_newton
    >>> from surefoot.training.model import supervised
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> x, y = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 1)
    >>> G = gauss_newton(model, supervised(torch.nn.functional.mse_loss), (x, y))
    >>> G @ [1.0, 1.0]  # 2 X'X / n
    array([1., 4.])
    """
    curvature = GaussNewtonOf(convex(loss))
    return CurvatureOperator(
        model, curvature, data, loss=loss, parameters=parameters, max_memory=max_memory, count=count, progress=progress
    )


def convex(loss: Any) -> Supervised:
    """The loss, if its criterion is known to be convex in the outputs.

    Raises
    ------
    InvalidType
        If outputs and criterion cannot be told apart.
    InvalidInput
        If the criterion is not known to be convex.
    """
    if not isinstance(loss, Supervised):
        raise InvalidType(
            f"Gauss-Newton needs to tell the model's outputs from the criterion, which a {type(loss).__name__} does "
            "not; give supervised(criterion): it reads a mapping's labels and a model output's logits too"
        )
    if not loss.convex:
        raise InvalidInput(
            f"{loss.name} is not known to be convex in the model's outputs, so its Gauss-Newton matrix need not be "
            "positive semidefinite; use hessian"
        )
    return loss
