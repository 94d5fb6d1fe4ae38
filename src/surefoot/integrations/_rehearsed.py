"""The rule of a run whose steps a framework owns: a rehearsal at the start, then a warm-up, a hold, a cool-down."""

import random
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from surefoot.errors import InvalidInput
from surefoot.rules import Autopilot, Constant, Cooldown, Rule, Warmup
from surefoot.training.model.sandbox import plain_module
from surefoot.training.range_tests.small_run import SmallRun

# Updates that the rehearsal goes through, again and again where it is longer: what a loader gives in a second or two.
UPDATES = 64
# The warm-up's share of the run: without one AdamW's first steps are too long (Kalra and Barkeshli 2024).
WARMUP = 0.1


def rehearsed(
    model: nn.Module,
    loss: Callable[[nn.Module, Any], Tensor],
    data: Iterable[Any],
    optimizer: Any,
    total: int,
    parts: int = 1,
) -> tuple[float, int, str]:
    """A rate from the pilot's rehearsal of this run, on a copy: nothing of the run changes, the random states included.

    Parameters
    ----------
    model : Module
    loss : callable
        (model, batch) to a scalar tensor.
    data : iterable
        Batches; those of the first 64 updates are read.
    optimizer : Optimizer
    total : int
        Updates of the run.
    parts : int
        Batches that make an update.

    Returns
    -------
    rate : float
        At the peak.
    warmup : int
        Updates of the warm-up.
    said : str
        What was chosen and why.

    Raises
    ------
    InvalidInput
        If the rehearsal found no rate, with its reason.
    """
    updates = some_updates(data, parts)
    if not updates:
        raise InvalidInput("the loader gives no batch; give one that does")

    def of_update(model: nn.Module, batches: list[Any]) -> Tensor:
        return mean_of_parts([partial(loss, model, batch) for batch in batches])

    run = SmallRun(plain_module(model), of_update, optimizer, Autopilot(), total, seed=torch.initial_seed())
    trouble = run.rehearse(cycle(updates))
    if trouble:
        raise InvalidInput(f"the rehearsal found no rate ({trouble}); give one and use GuardCallback")
    said = f"a rehearsal of {run.state.clock} steps chose {run.rate:.3g}; warm-up over {WARMUP:.0%} of {total} updates"
    return run.rate, max(1, round(WARMUP * total)), said


def warmed_up(rate: float, warmup: int) -> Rule:
    """The rule of the run: a warm-up to the rate, a hold, a cool-down."""
    return Cooldown(rule=Warmup(rule=Constant(step=rate), steps=warmup))


def some_updates(data: Iterable[Any], parts: int) -> list[list[Any]]:
    """The batches of the first updates, so many to each; the random states are as they were."""
    with same_random_numbers():
        batches = iter(data)
        return list(islice(iter(lambda: list(islice(batches, parts)), []), UPDATES))


def mean_of_parts(parts: Sequence[Callable[[], Tensor]]) -> Tensor:
    """The mean of the losses of an update's parts.

    The graph of each is made anew when backward comes to it: who accumulates has no memory for all of them at once.
    """
    if len(parts) == 1:
        return parts[0]()
    losses: list[Any] = [checkpoint(part, use_reentrant=False) for part in parts]
    return torch.stack(losses).mean()


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
