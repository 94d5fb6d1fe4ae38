"""A short real training run, deterministic and without traces."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from surefoot.training.loop.training_step import TrainingStep
from surefoot.training.model.batches import Batches
from surefoot.training.model.loss import Loss, as_scalar
from surefoot.training.model.output_variation import OutputVariation
from surefoot.training.model.sandbox import keep_random_state, random_modules, set_buffers_aside
from surefoot.training.model.trees import on_device

__all__ = ["mean_loss", "run"]


def run(
    model: nn.Module,
    loss: Loss,
    optimizer: Optimizer,
    batches: Iterable[Any],
    steps: int,
    data: Batches,
    seed: int,
    variation: OutputVariation | None = None,
) -> list[float]:
    """Train the model, which is the caller's to lose, for some steps.

    Parameters
    ----------
    model : Module
        Changed.
    loss : callable
    optimizer : Optimizer
        Optimizer of the model's parameters.
    batches : iterable
        At least `steps` mini-batches.
    steps : int
    data : Batches
        What the last loss is taken over.
    seed : int
        Seed of what the model draws (dropout).
    variation : OutputVariation, optional
        Output variation of the model: read at the first step, and armed for the data at the end.

    Returns
    -------
    list of float
        Mini-batch losses as they are met, then the loss over the data; nan there after a loss that is not finite.
    """
    device = next(model.parameters()).device
    losses: list[float] = []
    with keep_random_state():
        torch.manual_seed(seed)
        if variation is not None:
            variation.arm()
        step = TrainingStep(model, [optimizer])
        for batch, k in zip(batches, range(steps), strict=False):
            step.begin()
            value = as_scalar(loss(model, on_device(batch, device)))
            if variation is not None and k == 0:
                variation.ratio(*variation.read())
            losses.append(value.item())
            if not math.isfinite(losses[-1]):
                return [*losses, math.nan]
            step.backward(value)
            step.update()
    if variation is not None:
        variation.arm()
    return [*losses, mean_loss(model, loss, data)]


def mean_loss(model: nn.Module, loss: Loss, data: Batches) -> float:
    """The mean loss over the data with dropout off and all else as in training.

    Returns
    -------
    float
        nan where it is not finite.
    """
    device = next(model.parameters()).device
    noisy = random_modules(model).values()
    for module in noisy:
        module.eval()
    try:
        with torch.no_grad(), keep_random_state(), set_buffers_aside(model):
            values = [as_scalar(loss(model, on_device(batch, device))).item() for batch in data.items]
    finally:
        for module in noisy:
            module.train()
    total = sum(share * value for share, value in zip(data.shares, values, strict=True))
    return total if math.isfinite(total) else math.nan
