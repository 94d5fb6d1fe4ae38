"""The rule of a run whose steps a framework owns: a rehearsal at the start, then a warm-up, a hold, a cool-down."""

import random
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.errors import InvalidInput
from surefoot.rules import Autopilot, Constant, Cooldown, Rule, Warmup
from surefoot.training.model.sandbox import plain_module
from surefoot.training.range_tests.small_run import SmallRun

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
        batches = list(islice(data, BATCHES))
    if not batches:
        raise InvalidInput("the loader gives no batch; give one that does")
    run = SmallRun(plain_module(model), loss, optimizer, Autopilot(), total, seed=torch.initial_seed())
    trouble = run.rehearse(cycle(batches))
    if trouble:
        raise InvalidInput(f"the rehearsal found no rate ({trouble}); give one and use GuardCallback")
    rule = Cooldown(rule=Warmup(rule=Constant(step=run.rate), steps=max(1, round(WARMUP * total))))
    said = f"a rehearsal of {run.state.clock} steps chose {run.rate:.3g}; warm-up over {WARMUP:.0%} of {total} updates"
    return rule, said


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
