"""Lightning: Guard and a rate that is found, as callbacks. Needs lightning (the extra `lightning`)."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from surefoot.errors import InvalidInput, MissingExtra
from surefoot.integrations._callback import Guarding, Piloting

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError as error:
    raise MissingExtra("surefoot.integrations.lightning needs lightning; install it with pip") from error

__all__ = ["GuardCallback", "PilotCallback"]


class GuardCallback(Guarding, Callback):
    """Takes back what goes wrong in a Lightning run: ``Trainer(..., callbacks=[GuardCallback()])``.

    At each update the loss and the gradient's norm are judged before the optimizer steps, as `surefoot.training.Guard`
    does. Lightning keeps its loop, its accumulation, clipping, precision and schedulers: gradients are judged before
    the clip. The state is in Lightning's checkpoints, and a run that is resumed goes on with it. Loggers get the rate
    that ran as "surefoot/rate": a monitor of the optimizer's groups sees the scheduler's own. For automatic
    optimization with one optimizer; in manual optimization ask `surefoot.training.Guard` in ``training_step``.

    Parameters
    ----------
    watch : Watch, optional
        The thresholds.
    keep, every, random_states
        As in `surefoot.training.Guard`.

    Attributes
    ----------
    loop : Loop or None
        From the beginning of the training on; ``print(callback.loop.report())`` says what happened.

    Raises
    ------
    Diverged
        Out of ``fit()``, after too many returns in a row, with a diagnosis.
    InvalidInput
        If optimization is manual, or there are several optimizers.
    """

    _loss: Any = None  # what a pilot rehearses with
    _loaded: Mapping[str, Any] | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Take the model and the optimizer; go on from a checkpoint."""
        if not pl_module.automatic_optimization:
            raise InvalidInput("optimization is manual: there use surefoot.training.Guard in training_step")
        if len(trainer.optimizers) != 1:
            raise InvalidInput(
                f"there are {len(trainer.optimizers)} optimizers, and one is guarded; use surefoot.training.Guard"
            )
        total = trainer.estimated_stepping_batches
        self.loop = self.begin(pl_module, trainer.optimizers[0], self._loss, trainer.train_dataloader, total)
        if self._loaded:
            self.loop.load_state_dict(self._loaded)
            self._loaded = None

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
        """The loss of a part of the batch: its share, which Lightning has divided by the number of parts.

        In float16 it comes multiplied by the loss scale, which changes as the run goes.
        """
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        self._losses.append(loss.detach() / (1.0 if scaler is None else scaler.get_scale()))

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Judge, and decide whether there is an update: without gradients the optimizer has nothing to step with."""
        if self.loop is not None:
            loss = torch.stack(self._losses).sum()
            self._losses = []
            self.judge(loss, optimizer, getattr(trainer.precision_plugin, "scaler", None))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """The rate that ran, for the loggers."""
        if self.loop is not None and math.isfinite(self.loop.rate):
            pl_module.log("surefoot/rate", self.loop.rate)

    def state_dict(self) -> dict[str, Any]:
        """For Lightning's checkpoint."""
        return {} if self.loop is None else self.loop.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """From Lightning's checkpoint; put to use when the training starts, after the optimizer's own state."""
        self._loaded = dict(state_dict)


class PilotCallback(Piloting, GuardCallback):
    """A Lightning run without a learning rate: ``Trainer(..., callbacks=[PilotCallback(loss)])``.

    When the training begins, a copy of the model rehearses the run over its first batches, as
    `surefoot.training.Pilot` does: that chooses the rate. The run then warms up over a tenth of its updates, holds
    that rate, and cools down to zero over the last fifth; the groups keep the ratios of their rates, and a
    scheduler counts for nothing. Guarded as by `GuardCallback`.

    Parameters
    ----------
    loss : callable
        (model, batch) to a scalar tensor: what ``training_step`` computes, without logging.
    total_steps : int, optional
        Updates of the run; by default the Trainer's own estimate.
    watch, keep, every, random_states
        As in `GuardCallback`.

    Attributes
    ----------
    loop : Loop or None
    said : str
        What the rehearsal chose.

    Raises
    ------
    InvalidInput
        If the rehearsal finds no rate, or the length of the run is not known.
    """

    def __init__(self, loss: Any, total_steps: int | None = None, **settings: Any) -> None:
        super().__init__(total_steps=total_steps, **settings)
        self._loss = loss
