"""Measurements of a task by name: its rate by a range test, its gradient noise, its parameter groups."""

from itertools import islice

import torch

from surefoot.noise import GradientNoise
from surefoot.training.groups import GroupAdvice, suggest_groups
from surefoot.training.noise import gradient_noise
from surefoot.training.range_tests import RangeTest, range_test
from surefoot.training.tasks._task import SOME_RATE, Task
from surefoot.training.tasks._train import choose_optimizer

__all__ = ["device_in_words", "noise_of", "range_of", "suggest_groups_of"]


def range_of(
    task: Task, optimizer: str | None = None, *, total_steps: int = 500, steps: int | None = None, rng: int = 0
) -> RangeTest:
    """`range_test` of a task with one of its optimizers; the task is left as it is.

    Parameters
    ----------
    task : Task
    optimizer : str, optional
        adamw, sgd, momentum, nesterov or a label of the task's own; default adamw.
    total_steps : int
        Updates of the run that the rate is for.
    steps : int, optional
        Budget in optimizer steps; by default that of `range_test`.
    rng : int
        Seed.

    Raises
    ------
    InvalidInput
        If the task has no such optimizer, or as `range_test`.
    """
    model, made = task.fresh(task.optimizers[choose_optimizer(task, optimizer)], SOME_RATE)
    return range_test(model, task.loss, task.visits.endless(), made, total_steps=total_steps, steps=steps, rng=rng)


def noise_of(task: Task, *, rng: int = 0) -> GradientNoise:
    """`gradient_noise` of a task at its start, dropout off; the task is left as it is."""
    return gradient_noise(task.curvature().model, task.loss, list(task.batches.items), rng=rng)


def suggest_groups_of(task: Task, optimizer: str | None = None, *, rate: float, rng: int = 0) -> GroupAdvice:
    """`suggest_groups` of a task with one of its optimizers at a rate; the task is left as it is.

    Parameters
    ----------
    task : Task
    optimizer : str, optional
        As in `range_of`.
    rate : float
        The rate that suits the whole.
    rng : int
        Seed.

    Raises
    ------
    InvalidInput
        If the task has no such optimizer, or as `suggest_groups`.
    """
    model, made = task.fresh(task.optimizers[choose_optimizer(task, optimizer)], rate)
    batches = list(islice(task.visits.endless(), task.visits.per_pass))
    return suggest_groups(model, task.loss, batches, made, rng=rng)


def device_in_words() -> str:
    """The device that PyTorch runs on here, in words."""
    if torch.cuda.is_available():
        return f"PyTorch on {torch.cuda.get_device_name()}, {torch.cuda.device_count()} of them"
    return f"PyTorch on the CPU, {torch.get_num_threads()} threads"
