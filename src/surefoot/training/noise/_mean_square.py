"""The largest rate at which SGD on a model is stable in the mean square, by its Gauss-Newton curvature."""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from surefoot.checks import Count, checked
from surefoot.errors import InvalidInput
from surefoot.noise.mean_square import MOST_DIRECTIONS, mean_square_limits_of
from surefoot.stability import Limits
from surefoot.training.curvature.gauss_newton import convex
from surefoot.training.curvature.operator import DEFAULT_MEMORY
from surefoot.training.model import Supervised
from surefoot.training.model.batches import Batches, gather, sample_count
from surefoot.training.model.loss import Loss, locate
from surefoot.training.model.minibatches import MiniBatches
from surefoot.training.model.parameters import Block, select
from surefoot.training.model.sandbox import explain_lone_sample, isolate, plain_module
from surefoot.training.model.trees import on_device, take
from surefoot.training.noise._sources import check_repeatable

# Relative gap between the loss of a batch and the mean over its samples that passes: rounding is far below, coupled
# samples differ by the loss's own size.
AGREES = 1e-3
COUPLED = "samples have no curvature of their own (batch normalisation in train mode); call model.eval()"


@checked
def mean_square_limits(
    model: nn.Module,
    loss: Loss,
    data: Any,
    batch: Count,
    *,
    samples: int | None = None,
    replacement: bool = True,
    parameters: str | Iterable[Any] | None = None,
    max_memory: int = DEFAULT_MEMORY,
    rtol: float = 0.01,
    failure: float = 1e-6,
    rng: int = 0,
) -> Limits:
    """The largest rate at which the second moments of SGD stay bounded, at the model's current parameters.

    As `surefoot.noise.mean_square_limits`, with the Gauss-Newton matrix of each sample, H_i = J_i' C_i J_i: what the
    Hessian is at a minimum that fits the samples. A linear claim for plain SGD on the samples given, as if they were
    all the data.

    Parameters
    ----------
    model : Module
        The model in the mode in which it is to be measured; samples must not be coupled (no batch normalisation in
        train mode).
    loss : Supervised
        From `supervised`, of a criterion that is convex in the outputs, without class weights.
    data : batch, list of batches, DataLoader
    batch : int
        B, samples per step.
    samples : int, optional
        Use about so many samples, drawn by `rng`. Samples times outputs may be at most 800.
    replacement : bool
        Whether a sample can be drawn twice in a batch.
    parameters : iterable of Parameter or str, optional
        Restrict to a block.
    max_memory : int
        Bytes for the Jacobian, samples x outputs x parameters.
    rtol, failure, rng
        As in `surefoot.spectrum`.

    Returns
    -------
    Limits
        `stable` is the rate. The cost is one gradient per sample and output.

    Raises
    ------
    InvalidType
        If the loss is not a `supervised` one.
    InvalidInput
        If the criterion is not known to be convex, samples do not count alike or are too many, or the batch is out of
        range.
    NotRepeatable
        If two evaluations differ: dropout in train mode.

    References
    ----------
    R. Mulayoff, T. Michaeli, Exact mean square linear stability analysis for SGD, COLT 2024, theorem 4.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.noise._mean_square import mean_square_limits
    >>> from surefoot.training.model import supervised
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> x, y = torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1)
    >>> limits = mean_square_limits(model, supervised(torch.nn.functional.mse_loss), (x, y), batch=1)
    >>> round(limits.stable, 6)  # curvatures 2 and 18: 2 * 10/(100 + 64)
    0.121951
    """
    criterion = convex(loss)
    model = plain_module(model)
    block = select(model, parameters)
    batches = MiniBatches(gather(data, loss), 1, rng).subset(samples)
    check_repeatable(model, loss, on_device(batches.items[0], block.device))
    factors = _factors(model, criterion, batches, block, max_memory)
    rows = factors.flatten(0, 1)
    if rows.shape[1] > rows.shape[0]:
        # in an orthonormal basis of the rows' span, which keeps their lengths and angles
        rows = torch.linalg.qr(rows.T, mode="r").R.T
    reduced = rows.reshape(factors.shape[0], factors.shape[1], -1).numpy()
    return mean_square_limits_of(
        reduced, batch, replacement=replacement, scope="local", rtol=rtol, failure=failure, rng=rng
    )


def _factors(model: nn.Module, loss: Supervised, batches: Batches, block: Block, max_memory: int) -> Tensor:
    """C_i^1/2 J_i of each sample, shape (n, r, P), float64."""
    factors: list[Tensor] = []
    samples = sum(map(sample_count, batches.items))
    for item in batches.items:
        size, total = sample_count(item), 0.0
        for i in range(size):
            alone = on_device(take(item, torch.tensor([i]), size), block.device)
            # the theorem is for equal weights
            if loss.weight(alone) != loss.weight(item) / size:
                raise InvalidInput("samples weigh differently in the mean (class weights, ignored labels); drop those")
            with locate(f"on sample {i + 1} of a batch"), explain_lone_sample(COUPLED), isolate(model):
                outputs, target = loss.outputs(model, alone)
                total += float(loss.criterion(outputs, target).detach())
                if not factors:
                    _check_size(samples, outputs.numel(), block.size, max_memory)
                rows = [
                    block.joined(torch.autograd.grad(o, block.tensors, retain_graph=True, allow_unused=True))
                    for o in outputs.flatten()
                ]
                factors.append(_root(loss, outputs.detach(), target) @ torch.stack(rows))
        with isolate(model):
            whole = float(loss(model, on_device(item, block.device)).detach())
        if abs(whole - total / size) > AGREES * max(abs(whole), abs(total / size)):
            raise InvalidInput(COUPLED)
    return torch.stack(factors)


def _root(loss: Supervised, outputs: Tensor, target: Tensor) -> Tensor:
    """C^1/2 of the criterion in one sample's outputs, on the CPU in float64."""
    criterion, target = loss.in_double().criterion, target.double() if target.is_floating_point() else target

    def value(z: Tensor) -> Tensor:
        return criterion(z.view(outputs.shape), target)

    C = cast(Tensor, torch.autograd.functional.hessian(value, outputs.double().flatten()))
    values, vectors = torch.linalg.eigh(C.cpu())
    # convex, so a negative eigenvalue is rounding
    return values.clamp(min=0).sqrt()[:, None] * vectors.T


def _check_size(samples: int, outputs: int, parameters: int, max_memory: int) -> None:
    rows = samples * outputs
    if min(rows, parameters) > MOST_DIRECTIONS:
        raise InvalidInput(
            f"{samples} samples with {outputs} outputs each are too many; use samples={MOST_DIRECTIONS // outputs} or "
            "less"
        )
    if 8 * rows * parameters > max_memory:
        raise InvalidInput(
            f"the Jacobian takes {8 * rows * parameters:,} bytes and max_memory is {max_memory:,}; use fewer samples "
            "or restrict parameters"
        )
