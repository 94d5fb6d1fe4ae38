"""The rule of a run whose steps a framework owns: a rehearsal at the start, then a warm-up, a hold, a cool-down."""

import copy
import random
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.errors import Diverged, InvalidInput
from surefoot.rules import Constant, Cooldown, Rule, Warmup
from surefoot.training import Pilot
from surefoot.training.model.sandbox import plain_module

__all__ = ["BATCHES", "rehearsed", "same_random_numbers"]

# Batches that the rehearsal goes through, again and again where it is longer: what a loader gives in a second or two.
BATCHES = 64
# The warm-up's share of the run: without one AdamW's first steps are too long (Kalra and Barkeshli 2024).
WARMUP = 0.1


def rehearsed(
    model: nn.Module, loss: Callable[[nn.Module, Any], Tensor], data: Iterable[Any], optimizer: Any, total: int
) -> tuple[Rule, str]:
    """A rule from the pilot's rehearsal of this run, on a copy: nothing of the run changes, the random states included.

    Parameters
    ----------
    model : Module
    loss : callable
        (model, batch) to a scalar tensor.
    data : iterable
        Batches; the first 64 are read.
    optimizer : Optimizer
    total : int
        Updates of the run.

    Returns
    -------
    rule : Rule
    said : str
        What was chosen and why.

    Raises
    ------
    InvalidInput
        If the rehearsal found no rate, with its reason.
    """
    with same_random_numbers():
        batches = list(islice(_moved(data, model), BATCHES))
        if not batches:
            raise InvalidInput("the loader gives no batch; give one that does")
        own, its = copy.deepcopy((plain_module(model), optimizer))
        pilot = Pilot(own, its, total_steps=total, measure=False)
        try:
            for batch in islice(cycle(batches), total):
                pilot.step(lambda batch=batch: loss(own, batch))
                if pilot.history[-1].event.startswith("chose"):
                    break
        except (InvalidInput, Diverged) as error:
            raise InvalidInput(f"the rehearsal found no rate ({error}); give one and use GuardCallback") from error
    rate, steps = pilot.rate, len(pilot.history) - 1
    rule = Cooldown(rule=Warmup(rule=Constant(step=rate), steps=max(1, round(WARMUP * total))))
    return rule, f"a rehearsal of {steps} steps chose {rate:.3g}; warm-up over {WARMUP:.0%} of {total} updates"


@contextmanager
def same_random_numbers() -> Generator[None]:
    """What a loader draws for its first batches must not change those of the run."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 (augmentations draw from it)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002


def _moved(data: Iterable[Any], model: nn.Module) -> Iterator[Any]:
    """Batches on the model's device."""
    device = next(model.parameters()).device
    for batch in data:
        yield _to(batch, device)


def _to(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, dict) or hasattr(batch, "items"):
        return {name: _to(value, device) for name, value in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(_to(value, device) for value in batch)
    return batch
