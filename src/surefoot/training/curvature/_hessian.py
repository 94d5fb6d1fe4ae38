"""The Hessian of a training loss."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from surefoot.checks import checked
from surefoot.errors import InvalidInput
from surefoot.training.curvature.linearised import HessianOf
from surefoot.training.curvature.operator import DEFAULT_MEMORY, CurvatureOperator, Progress
from surefoot.training.model.loss import Loss, refuse_criterion


@checked
def hessian(
    model: nn.Module,
    loss: Loss,
    data: Any,
    *,
    parameters: str | Iterable[Any] | None = None,
    max_memory: int = DEFAULT_MEMORY,
    count: Callable[[Any], float] | None = None,
    check: bool = True,
    autocast: torch.dtype | None = None,
    progress: Progress | None = None,
) -> CurvatureOperator:
    """The Hessian of the mean loss over data, at the model's current parameters, by its products.

        H = sum_b (n_b / n) d^2 loss(model, batch_b) / dtheta^2

    Parameters
    ----------
    model : Module
        In the mode (train or eval) in which it is to be measured. Under DistributedDataParallel each process gives its
        own data and all get the curvature of all data, the same to the bit; every process must make the same calls.
        Batch normalisation in train mode couples the samples of a batch, as in training. Dropout in train mode is
        refused.
    loss : callable
        loss(model, batch) -> scalar tensor, the mean over the batch; see `supervised`.
    data : batch, list of batches, DataLoader or other iterable
        A tensor, tuple, mapping or a list of tensors is one batch, any other list or iterable holds batches.
        Read once and kept in memory, so a shuffling loader gives a fixed operator; moved to the model's
        device when used.
    parameters : iterable of Parameter or str, optional
        Restrict to a block: parameters, their names, or names of submodules. Default: all that require
        gradients, tied ones once.
    max_memory : int
        Bytes for keeping gradients' graphs between products (1 GiB). Batches beyond it are run again each
        time, at about 1.6 times the cost of a product.
    count : callable, optional
        batch -> weight in the mean, where neither the loss nor the leading dimension of its tensors says it.
    check : bool
        Compare one product with a difference of gradients on a float64 copy of the model and at most 4 samples: a
        handful of small gradients, and the memory of the copy. The outcome is in `checked`.
    autocast : torch.dtype, optional
        Run the model under autocast in ``torch.bfloat16``: products cost about half and are wrong by about a per cent.
        The operator's `precision` is then bfloat16's, so intervals are an eighth wider on each side; the error seen
        on one product is in `checked`.
    progress : callable, optional
        Called with (batches done, batches, what is being computed, None) after each batch of every evaluation,
        gradient and product: for a loader that takes minutes.

    Returns
    -------
    CurvatureOperator
        Symmetric, kind "curvature", scope "local"; for `surefoot.spectrum`. Parameters that the loss does not
        use have zero rows.

    Raises
    ------
    InvalidInput
        If the model has nothing to train, the data is empty, or the loss is not one number or not
        differentiable.
    InvalidType
        If an argument is of the wrong kind, or parameters are complex.
    NotFinite
        If the loss is NaN or infinite.
    NotRepeatable
        If two evaluations differ: dropout in train mode, random augmentation.
    NotSmooth
        If the loss cannot be differentiated twice, or the check finds its second derivative wrong.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.curvature._hessian import hessian
    >>> from surefoot.training.model import supervised
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> x, y = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 1)
    >>> H = hessian(model, supervised(torch.nn.functional.mse_loss), (x, y))
    >>> H @ [1.0, 1.0]  # 2 X'X / n
    array([1., 4.])
    """
    refuse_criterion(loss)
    if autocast not in (None, torch.bfloat16):
        raise InvalidInput(f"autocast can be torch.bfloat16 or None; got {autocast!r}: float16 overflows in products")
    return CurvatureOperator(
        model,
        HessianOf(loss, autocast),
        data,
        parameters=parameters,
        max_memory=max_memory,
        count=count,
        check=check,
        progress=progress,
    )
