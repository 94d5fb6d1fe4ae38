"""The empirical Fisher matrix: the second moment of the gradients of single samples."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.checks import checked
from surefoot.errors import InvalidInput
from surefoot.training.curvature._jacobian import outer_product
from surefoot.training.curvature.linearised import Curvature, Linearised, evaluate, refuse_reentrant_checkpoints
from surefoot.training.curvature.operator import DEFAULT_MEMORY, CurvatureOperator, Progress
from surefoot.training.model import Supervised
from surefoot.training.model.loss import Loss, as_scalar
from surefoot.training.model.sandbox import explain_lone_sample
from surefoot.training.model.trees import common_size, first_sizes, take

# Relative gap between the loss of a batch and the mean over its samples that passes: sums in another order differ by
# rounding, a loss that is no mean over samples by its own size.
MEAN_AGREES = 1e-3
LONE_SAMPLE = (
    "batch normalisation in train mode needs more than one sample, so samples have no losses of their own; call "
    "model.eval(), or use supervised(criterion)"
)


@checked
def empirical_fisher(
    model: nn.Module,
    loss: Loss,
    data: Any,
    *,
    parameters: str | Iterable[Any] | None = None,
    max_memory: int = DEFAULT_MEMORY,
    count: Callable[[Any], float] | None = None,
    progress: Progress | None = None,
) -> CurvatureOperator:
    """The empirical Fisher matrix of the mean loss over data, at the model's current parameters, by its products.

        F = sum_i w_i g_i g_i' / sum_i w_i,    g_i = d loss_i / dtheta

    g_i is the gradient of sample i alone, w_i its weight in the mean (1; with class weights that of its class). It is
    what Adam's second moment follows, and neither the Hessian nor the Fisher matrix of the model (Kunstner, Hennig,
    Balles 2019): at a perfect fit it is 0. The gradients are never formed: the matrix is J'WJ with J the Jacobian of
    the samples' losses.

    Parameters
    ----------
    model, data, parameters, max_memory, count, progress
        As in `hessian`. A sample is an index into the leading dimension: of a sequence, all its tokens together.
    loss : callable
        A `supervised` one is evaluated once per batch; any other is evaluated on each sample by itself, which costs
        one run of the model per sample and set-up.

    Returns
    -------
    CurvatureOperator
        Symmetric and positive semidefinite, kind "curvature", scope "local".

    Raises
    ------
    InvalidInput
        If the loss of a batch is not the mean over its samples (batch normalisation in train mode with a loss that is
        not a `supervised` one), or the samples cannot be told apart; and as `hessian`.

    References
    ----------
    F. Kunstner, P. Hennig, L. Balles, Limitations of the empirical Fisher approximation for natural gradient descent,
    NeurIPS 2019, equation 3.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.curvature._empirical_fisher import empirical_fisher
    >>> from surefoot.training.model import supervised
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> _ = torch.nn.init.ones_(model.weight)
    >>> x, y = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 1)
    >>> F = empirical_fisher(model, supervised(torch.nn.functional.mse_loss), (x, y))
    >>> F @ [1.0, 1.0]  # gradients (2, 0) and (0, 8)
    array([ 2., 32.])
    """
    return CurvatureOperator(
        model,
        EmpiricalFisherOf(loss),
        data,
        parameters=parameters,
        max_memory=max_memory,
        count=count,
        progress=progress,
    )


class EmpiricalFisherOf(Curvature):
    """J'WJ, J the Jacobian of the samples' losses, W diagonal with their weights in the mean."""

    name = "empirical Fisher"
    psd = True

    def linearise(self, model: nn.Module, batch: Any, parameters: Sequence[Tensor]) -> Linearised:
        if isinstance(self.loss, Supervised):
            outputs, target, value = evaluate(self.loss, model, batch)
            losses, weights = sample_losses(self.loss, outputs, target)
        else:
            value = self.value(model, batch)
            losses = _one_by_one(self.loss, model, batch)
            weights = torch.full_like(losses.detach(), 1 / losses.numel())
            refuse_reentrant_checkpoints(losses)
        whole, mean = value.item(), float((weights * losses.detach()).sum())
        if abs(whole - mean) > MEAN_AGREES * max(abs(whole), abs(mean)):
            raise InvalidInput(
                f"the loss of a batch is {whole:.6g} and the mean over its samples {mean:.6g}: samples have no losses "
                "of their own (batch normalisation in train mode, or a penalty); call model.eval(), or use supervised()"
            )
        return Linearised(whole, outer_product(losses, parameters, lambda w: weights * w))


def sample_losses(loss: Supervised, outputs: Tensor, target: Any) -> tuple[Tensor, Tensor]:
    """The loss of each sample with its graph, and the weight of each in the mean; both of shape (samples,)."""
    if not isinstance(target, Tensor) or not outputs.ndim or not target.ndim or len(outputs) != len(target):
        shape = tuple(target.shape) if isinstance(target, Tensor) else type(target).__name__
        raise InvalidInput(
            f"cannot tell samples apart: outputs of shape {tuple(outputs.shape)} with targets {shape}; the model "
            "and the batch need one leading dimension"
        )
    weights = torch.tensor([loss.weight_of(t) for t in target.split(1)], device=outputs.device)
    kept = weights > 0  # a sample whose labels are all ignored has no loss: 0/0
    losses = _losses_of_each(loss.criterion, outputs[kept], target[kept])
    weights = weights[kept].to(losses.dtype)
    return losses, weights / weights.sum()


def _losses_of_each(criterion: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, target: Tensor) -> Tensor:
    """The criterion on each sample by itself, shape (samples,)."""
    try:
        return torch.func.vmap(lambda z, t: as_scalar(criterion(z[None], t[None])))(outputs, target)
    except (RuntimeError, ValueError, NotImplementedError):  # a criterion that branches on its data
        # split, not slices: the backward of n slices fills n arrays of the size of all
        return torch.stack([as_scalar(criterion(z, t)) for z, t in zip(outputs.split(1), target.split(1), strict=True)])


def _one_by_one(loss: Loss, model: nn.Module, batch: Any) -> Tensor:
    """The loss of each sample, by a run of the model on it alone."""
    size = common_size(batch)
    if size is None:
        sizes = sorted(set(first_sizes(batch)))
        raise InvalidInput(
            f"cannot tell samples apart by leading dimensions {sizes}; give batches of tensors that share one"
        )
    with explain_lone_sample(LONE_SAMPLE):
        return torch.stack([as_scalar(loss(model, take(batch, torch.tensor([i]), size))) for i in range(size)])
