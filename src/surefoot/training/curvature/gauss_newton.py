"""The Gauss-Newton matrix: the curvature that the loss has in the model's outputs, pulled back to the parameters."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.checks import checked
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


# Agreement of a curvature in the logits with that of a known criterion; others differ by their own size.
KNOWN = 1e-3


class GaussNewtonOf(Curvature):
    """J' C J, C the Hessian of the criterion in the outputs, by double backward of the criterion alone."""

    name = "Gauss-Newton"
    psd = True

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def in_double(self) -> "GaussNewtonOf":
        """The same with every number in double precision."""
        return GaussNewtonOf(self.loss.in_double() if isinstance(self.loss, Supervised) else self.loss)

    def value(self, model: nn.Module, batch: Any) -> Tensor:
        """The loss of one batch."""
        return check_differentiable(self.loss(model, batch))

    def linearise(self, model: nn.Module, batch: Any, parameters: Sequence[Tensor]) -> Linearised:
        """The loss of one batch, its gradient, and what products with J'CJ need."""
        if not isinstance(self.loss, Supervised):
            return _through_logits(self.loss, model, batch, parameters)
        outputs, target = self.loss.outputs(model, batch)
        value = check_differentiable(self.loss.criterion(outputs, target))
        refuse_reentrant_checkpoints(value)
        z = outputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.loss.criterion(z, target), z, create_graph=True)
        return Linearised(value.item(), outer_product(outputs, parameters, _bend(slope, z)))


def _bend(slope: Tensor, z: Tensor) -> Callable[[Tensor], Tensor]:
    """W -> C w, from the criterion's derivative in z and its graph."""

    def inner(w: Tensor) -> Tensor:
        if not slope.requires_grad:  # a piecewise linear criterion
            return torch.zeros_like(w)
        return torch.autograd.grad(slope, z, w, retain_graph=True)[0]

    return inner


def _through_logits(loss: Loss, model: nn.Module, batch: Any, parameters: Sequence[Tensor]) -> Linearised:
    """The same for a loss that the model computes itself, from the `logits` of what it returns."""
    seen: list[Any] = []
    with model.register_forward_hook(lambda _module, _inputs, output: seen.append(output)):
        value = check_differentiable(loss(model, batch))
    output = seen[0] if len(seen) == 1 else None
    z = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if not isinstance(z, Tensor) or not z.requires_grad:
        raise _no_outputs(loss)
    refuse_reentrant_checkpoints(value)
    (slope,) = torch.autograd.grad(value, z, create_graph=True, materialize_grads=True)
    inner = _bend(slope, z)
    if not _known_to_be_convex(z.detach(), inner):
        raise InvalidInput(
            "the model's own loss is neither a cross-entropy nor a mean square in its logits, so its Gauss-Newton "
            "matrix need not be positive semidefinite; use hessian"
        )
    return Linearised(value.item(), outer_product(z, parameters, inner))


def _known_to_be_convex(z: Tensor, inner: Callable[[Tensor], Tensor]) -> bool:
    """Whether C is that of a cross-entropy, c (diag(p) - p p') in each row, or diagonal; every c >= 0.

    Seen on two random vectors: c is read off the first and has to explain the second. Rows of ignored labels have
    c = 0; mean squares and binary cross-entropies are diagonal.
    """
    generator = torch.Generator().manual_seed(0)
    rows, seen = [], []
    for _ in range(2):
        w = torch.randn(z.shape, generator=generator, dtype=torch.float64).to(z)
        seen.append(inner(w).double())
        rows.append(w.double())
    p = z.double().softmax(-1)
    tiny = torch.finfo(torch.float64).tiny
    softmax = [p * (w - (p * w).sum(-1, keepdim=True)) for w in rows]
    for (one, other), along in ((softmax, True), (rows, False)):
        c = seen[0] * one / (one * one).clamp(min=tiny)
        if along:
            c = (seen[0] * one).sum(-1, keepdim=True) / (one * one).sum(-1, keepdim=True).clamp(min=tiny)
        gap = float((seen[1] - c * other).norm())
        if bool((c >= -KNOWN * c.abs().max()).all()) and gap <= KNOWN * float(seen[1].norm()):
            return True
    return False


@checked
def gauss_newton(
    model: nn.Module,
    loss: Loss,
    data: Any,
    *,
    parameters: str | Iterable[Any] | None = None,
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
    loss : callable
        From `supervised`, of a criterion that is convex in the outputs: mean squares, cross-entropy, binary
        cross-entropy, Huber. Or a loss that the model computes itself (``lambda model, batch: model(**batch).loss``)
        from the `logits` that it returns, where that is seen to be a cross-entropy or a mean square.

    Returns
    -------
    CurvatureOperator
        Symmetric and positive semidefinite, kind "curvature", scope "local".

    Raises
    ------
    InvalidType
        If the loss is neither, so that outputs and criterion cannot be told apart.
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
    curvature = GaussNewtonOf(convex(loss) if isinstance(loss, Supervised) or not callable(loss) else loss)
    return CurvatureOperator(
        model, curvature, data, loss=loss, parameters=parameters, max_memory=max_memory, count=count, progress=progress
    )


def convex(loss: Any) -> Supervised:
    """The loss, if its criterion is known to be convex in the outputs."""
    if not isinstance(loss, Supervised):
        raise _no_outputs(loss)
    if not loss.convex:
        raise InvalidInput(
            f"{loss.name} is not known to be convex in the model's outputs, so its Gauss-Newton matrix need not be "
            "positive semidefinite; use hessian"
        )
    return loss


def _no_outputs(loss: Any) -> InvalidType:
    return InvalidType(
        f"Gauss-Newton needs to tell the model's outputs from the criterion, which a {type(loss).__name__} does not; "
        "give supervised(criterion): it reads a mapping's labels and a model output's logits too"
    )
