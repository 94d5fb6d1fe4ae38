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
    evaluate,
    refuse_reentrant_checkpoints,
)
from surefoot.training.curvature.operator import DEFAULT_MEMORY, CurvatureOperator, Progress
from surefoot.training.model import Supervised
from surefoot.training.model.loss import Loss

__all__ = ["GaussNewtonOf", "convex", "gauss_newton", "no_outputs"]

# How far the curvature in the logits may differ from that of a known criterion: rounding in float32 is far below, and
# another criterion differs by its own size.
KNOWN = 1e-3


class GaussNewtonOf(Curvature):
    """J' C J, C the Hessian of the criterion in the outputs, by double backward of the criterion alone."""

    name = "Gauss-Newton"
    psd = True

    def linearise(self, model: nn.Module, batch: Any, parameters: Sequence[Tensor]) -> Linearised:
        """The batch's loss, and the graph of the model's outputs for products with J'CJ."""
        if not isinstance(self.loss, Supervised):
            return _through_logits(self.loss, model, batch, parameters)
        outputs, target, value = evaluate(self.loss, model, batch)
        z = outputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.loss.criterion(z, target), z, create_graph=True)
        return Linearised(value.item(), outer_product(outputs, parameters, _output_hessian(slope, z)))


def _output_hessian(slope: Tensor, z: Tensor) -> Callable[[Tensor], Tensor]:
    """W -> C w, from the criterion's derivative in z and its graph."""

    def product(w: Tensor) -> Tensor:
        if not slope.requires_grad:  # a piecewise linear criterion
            return torch.zeros_like(w)
        return torch.autograd.grad(slope, z, w, retain_graph=True)[0]

    return product


def _through_logits(loss: Loss, model: nn.Module, batch: Any, parameters: Sequence[Tensor]) -> Linearised:
    """The same for a loss that the model computes itself, from the `logits` of what it returns."""
    returned: list[Any] = []
    with model.register_forward_hook(lambda _module, _inputs, output: returned.append(output)):
        value = check_differentiable(loss(model, batch))
    output = returned[0] if len(returned) == 1 else None
    z = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if not isinstance(z, Tensor) or not z.requires_grad:
        raise no_outputs(loss, "Gauss-Newton matrix")
    refuse_reentrant_checkpoints(value)
    (slope,) = torch.autograd.grad(value, z, create_graph=True, materialize_grads=True)
    product = _output_hessian(slope, z)
    if not _is_known_convex(z.detach(), product):
        raise InvalidInput(
            "the model's own loss is neither a cross-entropy nor a mean square in its logits, so its Gauss-Newton "
            "matrix need not be positive semidefinite; use hessian"
        )
    return Linearised(value.item(), outer_product(z, parameters, product))


def _is_known_convex(z: Tensor, product: Callable[[Tensor], Tensor]) -> bool:
    """Whether C is that of a cross-entropy, c (diag(p) - p p') in each row, or diagonal; every c >= 0.

    Tested on two random vectors: c is read off the first product and has to explain the second. Rows of ignored labels
    have c = 0; mean squares and binary cross-entropies are diagonal.
    """
    generator = torch.Generator().manual_seed(0)
    vectors = [torch.randn(z.shape, generator=generator, dtype=torch.float64).to(z) for _ in range(2)]
    first, second = (product(w).double() for w in vectors)
    plain = [w.double() for w in vectors]
    p = z.double().softmax(-1)
    softmax = [p * (w - (p * w).sum(-1, keepdim=True)) for w in plain]
    tiny = torch.finfo(torch.float64).tiny  # where a denominator is 0, c is 0 as well
    by_row = (first * softmax[0]).sum(-1, keepdim=True) / softmax[0].square().sum(-1, keepdim=True).clamp(min=tiny)
    by_entry = first * plain[0] / plain[0].square().clamp(min=tiny)
    for c, direction in ((by_row, softmax[1]), (by_entry, plain[1])):
        gap = float((second - c * direction).norm())
        if bool((c >= -KNOWN * c.abs().max()).all()) and gap <= KNOWN * float(second.norm()):
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
        model, curvature, data, parameters=parameters, max_memory=max_memory, count=count, progress=progress
    )


def convex(loss: Any) -> Supervised:
    """The loss itself, if its criterion is known to be convex in the outputs; an error otherwise."""
    if not isinstance(loss, Supervised):
        raise no_outputs(loss, "Gauss-Newton matrix")
    if not loss.convex:
        raise InvalidInput(
            f"{loss.name} is not known to be convex in the model's outputs, so its Gauss-Newton matrix need not be "
            "positive semidefinite; use hessian"
        )
    return loss


def no_outputs(loss: Any, matrix: str) -> InvalidType:
    """The error for a loss whose outputs cannot be told from its criterion, which the named matrix needs."""
    return InvalidType(
        f"a {matrix} needs the model's outputs apart from the criterion, which a {type(loss).__name__} does not give; "
        "give supervised(criterion): it reads a mapping's labels and a model output's logits too"
    )
