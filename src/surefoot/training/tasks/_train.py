"""A training task run by a pilot from its start, with everything that happened."""

import math
import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from surefoot.checks import Count, as_path, checked
from surefoot.errors import Diverged, InvalidInput
from surefoot.progress import Clock, Progress
from surefoot.records import Record
from surefoot.solvers import Ending
from surefoot.tables import align, spread
from surefoot.training.loop import Moment, RunLog
from surefoot.training.loop.run import mean_loss
from surefoot.training.model.sandbox import keep_random_state, threads_for
from surefoot.training.model.trees import on_device
from surefoot.training.pilot import Pilot
from surefoot.training.tasks._task import SOME_RATE, Task

# Short names, to type, for the optimizers that a task has by default.
SHORT = {"adamw": "AdamW", "sgd": "SGD", "momentum": "SGD momentum 0.9", "nesterov": "SGD Nesterov 0.9"}
# Rows of the printed table: half a screen. By convention.
ROWS = 12
# A run that ends above its start by this factor has diverged; below it the noise of mini-batches may be all. By
# convention.
LOST = 2.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingRun(Record):
    """A task trained by a pilot.

    Parameters
    ----------
    task, rule, optimizer : str
        Names of the three.
    ending : Ending
        ``good``, ``no progress`` (no better than its start or than a constant) or ``diverged``.
    initial, final : float
        Loss on all the data, dropout off; nan if it is not finite.
    constant : float or None
        Loss of the best constant predictor, where it is known.
    stopped : str
        Reason for an end before its last step; empty if there was none.
    moments : tuple of Moment
        One for each update.
    seconds : float
        Wall time.
    """

    task: str
    rule: str
    optimizer: str
    ending: Ending
    initial: float
    final: float
    constant: float | None
    stopped: str
    moments: tuple[Moment, ...] = field(repr=False)
    seconds: float

    @property
    def findings(self) -> tuple[str, ...]:
        """The events of the run, and the reason if it was stopped; a line each."""
        events = (
            moment.event if moment.event.startswith("step ") else f"step {moment.step}: {moment.event}"
            for moment in self.moments
            if moment.event
        )
        return (*events, self.stopped) if self.stopped else tuple(events)

    def __str__(self) -> str:
        rows = [("step", "loss", "rate", "limit", "")]
        rows += [_row(self.moments[i]) for i in spread(len(self.moments), ROWS)]
        against = "" if self.constant is None else f" (a constant: {self.constant:.4g})"
        return "\n".join([
            f"{self.ending}: loss on all data {self.initial:.6g} -> {self.final:.6g}{against}",
            f"  for {self.task}: {self.optimizer}, {self.rule}",
            f"  {len(self.moments)} updates in {self.seconds:.2g} s",
            "",
            *align(rows),
            *(["", *(f"  {finding}" for finding in self.findings)] if self.findings else []),
        ])  # fmt: skip

    def derived(self) -> Mapping[str, Any]:
        return {"findings": self.findings}


@checked
def train(
    task: Task,
    rule: str = "auto",
    *,
    optimizer: str | None = None,
    steps: Count = 1000,
    log: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> TrainingRun:
    """Train a task from its start under a pilot; the task itself is left as it is.

    Parameters
    ----------
    task : Task
    rule : str
        As `Pilot` takes them: auto, sharpness, along-step, or a rule by name such as constant:0.1 or cosine:0.01, or
        ``module:factory`` of your own.
    optimizer : str, optional
        One of the task's: adamw, sgd, momentum or nesterov unless it has its own. Default: adamw, else its first.
    steps : int
        Mini-batches.
    log : path, optional
        A .jsonl file, or a folder for TensorBoard's event files, written while it runs.
    progress : callable, optional
        Called with (done, total, label, remaining seconds or None).

    Returns
    -------
    TrainingRun

    Raises
    ------
    InvalidInput
        If the rule or the optimizer is unknown, a number is out of range, or the log cannot be written.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training import Task, supervised, train
    >>> _ = torch.manual_seed(0)
    >>> x = torch.randn(64, 2)
    >>> data = (x, x.sum(1, keepdim=True))
    >>> task = Task(lambda: torch.nn.Linear(2, 1), supervised(torch.nn.functional.mse_loss), data)
    >>> train(task, steps=50).moments[-1].loss < 0.1
    True
    """
    label = choose_optimizer(task, optimizer)
    model, made = task.fresh(task.optimizers[label], SOME_RATE)
    pilot = Pilot(model, made, rule=rule, total_steps=steps)
    device = next(model.parameters()).device
    clock, stopped = Clock(), ""
    threads = threads_for(0.0, sum(p.numel() for p in model.parameters()))
    with keep_random_state(), threads, nullcontext() if log is None else _open_log(pilot, log) as writer:
        # for what the model draws in training, dropout
        torch.manual_seed(task.seed)
        for done, batch in zip(range(1, steps + 1), task.visits.endless(), strict=False):
            batch = on_device(batch, device)
            try:
                pilot.step(lambda batch=batch: task.loss(model, batch))
            except Diverged as error:
                stopped = str(error)
                break
            if writer is not None:
                writer.write()
            if progress is not None:
                progress(done, steps, f"{label}, {rule}", clock.left(done, steps, least=10))
        final = mean_loss(model, task.loss, task.batches)
    initial, constant = task.initial_loss(), task.constant_loss()
    return TrainingRun(
        task=task.name,
        rule=rule,
        optimizer=label,
        ending=_ending(initial, final, constant, stopped),
        initial=initial,
        final=final,
        constant=constant,
        stopped=stopped,
        moments=tuple(pilot.history),
        seconds=clock.seconds,
    )


def choose_optimizer(task: Task, name: str | None) -> str:
    """Label of the optimizer that a person names; AdamW by default."""
    labels = list(task.optimizers)
    if name is None:
        return SHORT["adamw"] if SHORT["adamw"] in labels else labels[0]
    wanted = SHORT.get(name.strip().lower(), name.strip())
    for label in labels:
        if label.lower() == wanted.lower():
            return label
    known = [short for short, label in SHORT.items() if label in labels] or labels
    raise InvalidInput(f"{task.name} has no optimizer {name!r}; choose one of {', '.join(known)}")


def _open_log(pilot: Pilot, where: str | os.PathLike[str]) -> RunLog:
    path = as_path(where)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return RunLog(pilot, jsonl=path)
    if path.suffix and not path.is_dir():
        raise InvalidInput(f"{path}: a log is a .jsonl file, or a folder for TensorBoard's event files")
    return RunLog(pilot, events=path)


def _ending(initial: float, final: float, constant: float | None, stopped: str) -> Ending:
    if stopped or not math.isfinite(final) or final > LOST * initial:
        return Ending.DIVERGED
    if final >= initial or (constant is not None and final >= constant):
        return Ending.NO_PROGRESS
    return Ending.GOOD


def _row(moment: Moment) -> tuple[str, ...]:
    rate = "-" if moment.rate == 0 and moment.event else f"{moment.rate:.4g}"
    limit = f"{moment.limit:.4g}" if math.isfinite(moment.limit) else "-"
    return str(moment.step), f"{moment.loss:.5g}", rate, limit, "*" if moment.event else ""
