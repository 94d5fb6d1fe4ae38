"""Hugging Face Trainer: Guard and a rate that is found, as callbacks. Needs transformers (the extra `transformers`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.errors import InvalidInput, MissingExtra
from surefoot.integrations._rehearsed import rehearsed
from surefoot.rules import Watch
from surefoot.training.loop import Loop

try:
    from transformers import TrainerCallback
except ModuleNotFoundError as error:
    raise MissingExtra("surefoot.integrations.transformers needs transformers; install it with pip") from error

__all__ = ["GuardCallback", "PilotCallback"]

FILE = "surefoot.pt"


class GuardCallback(TrainerCallback):
    """Takes back what goes wrong in a Trainer's run: ``Trainer(..., callbacks=[GuardCallback()])``.

    At each update the loss and the gradient's norm are judged before the optimizer steps, as `surefoot.training.Guard`
    does: a batch that is not finite is left out, a run that gets worse goes back to its last good state, bit for bit,
    and is braked. The Trainer keeps its loop, its accumulation and its schedulers; clipping (``max_grad_norm``) is
    done here, after the judgement, so that the norm is seen as it was. The log's ``learning_rate`` is the one that
    ran. A checkpoint of the Trainer holds the guard's state too, and ``resume_from_checkpoint`` goes on with it.

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
        Out of ``train()``, after too many returns in a row, with a diagnosis.
    InvalidInput
        If the model's outputs have no loss.
    """

    def __init__(
        self, *, watch: Watch | None = None, keep: Any = "device", every: int | None = None, random_states: bool = False
    ) -> None:
        self._settings: dict[str, Any] = {"keep": keep, "every": every, "random_states": random_states}
        self._watch = Watch() if watch is None else watch
        self.loop: Loop | None = None
        self._losses: list[Tensor] = []
        self._summed = False
        self._clip = 0.0
        self._hook: Any = None
        self._model: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Take the model and the optimizer, and the clipping; go on from a checkpoint."""
        self._model = given["model"]
        self.loop = self._make(given["model"], given["optimizer"], given.get("train_dataloader"), state)
        if state.global_step:
            self._go_on(Path(args.resume_from_checkpoint or args.output_dir), args, state)
        self._clip, args.max_grad_norm = args.max_grad_norm or 0.0, 0.0
        self._hook = given["model"].register_forward_hook(self._remember, with_kwargs=True)

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """A new update: no loss yet."""
        self._losses = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Judge; then clip, if the update is to be made."""
        if self.loop is None:
            return
        if not self._losses:
            raise InvalidInput(
                "the model's outputs have no loss; give it labels, so that it computes one, or guard a loop of your own"
            )
        total = torch.stack(self._losses).sum()
        if self.loop.observe(total if self._summed else total / len(self._losses)) and self._clip > 0:
            nn.utils.clip_grad_norm_(self._model.parameters(), self._clip)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **given: Any) -> None:
        """The rate that ran, in the log and in its history."""
        if self.loop is None:
            return
        for entry in (logs, state.log_history[-1] if state.log_history else None):
            if isinstance(entry, dict) and "learning_rate" in entry:
                entry["learning_rate"] = self._rate_that_ran(entry["learning_rate"])

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """The loop's state beside the Trainer's own."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if self.loop is not None and state.is_world_process_zero and folder.is_dir():
            torch.save(self.loop.state_dict(), folder / FILE)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Give the model and the arguments back as they were."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
            args.max_grad_norm = self._clip

    def _make(self, model: nn.Module, optimizer: Any, data: Any, state: Any) -> Loop:
        return Loop(model, optimizer, watch=self._watch, **self._settings)

    def _rate_that_ran(self, logged: float) -> float:
        return logged * (1.0 if self.loop is None else self.loop.factor)

    def _go_on(self, given: Path, args: Any, state: Any) -> None:
        """The loop's state from the checkpoint that the Trainer resumed from; without one a new watch begins."""
        name = f"checkpoint-{state.global_step}"
        for folder in (given, given / name, Path(args.output_dir) / name):
            if self.loop is not None and (folder / FILE).is_file():
                self.loop.load_state_dict(torch.load(folder / FILE, weights_only=True))
                return

    def _remember(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any], outputs: Any) -> None:
        """The loss of a part of the batch, from the model's own outputs."""
        if not module.training:
            return
        if (loss := _loss_of(outputs)) is not None:
            self._losses.append(loss.detach())
            # told how many items the whole batch has, each part is a share of the mean: they add up
            self._summed = kwargs.get("num_items_in_batch") is not None


class PilotCallback(GuardCallback):
    """A Trainer's run without a learning rate: ``Trainer(..., callbacks=[PilotCallback()])``.

    When the training begins, rehearsals on copies of the model choose a rate (`surefoot.training.range_test`, 100 steps
    over the first batches). The run then warms up over a tenth of its updates, holds that rate, and cools down to zero
    over the last fifth, whatever rate and scheduler the Trainer was given; the groups keep the ratios of their rates.
    Guarded as by `GuardCallback`.

    Parameters
    ----------
    watch, keep, every, random_states
        As in `GuardCallback`.

    Attributes
    ----------
    loop : Loop or None
    said : str
        What the rehearsals chose.

    Raises
    ------
    InvalidInput
        If the rehearsals find no rate, with their reason.
    """

    said: str = ""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Judge, decide the rate, and put it into force; the scheduler's own counts for nothing."""
        self._at_peak(given["optimizer"])
        super().on_pre_optimizer_step(args, state, control, **given)

    def _make(self, model: nn.Module, optimizer: Any, data: Any, state: Any) -> Loop:
        self._at_peak(optimizer)
        bare = getattr(optimizer, "optimizer", optimizer)  # as the Trainer prepared it
        rule, self.said = rehearsed(model, lambda m, batch: _loss_of(m(**batch)), data, bare, state.max_steps)
        return Loop(model, optimizer, watch=self._watch, rule=rule, total_steps=state.max_steps, **self._settings)

    def _rate_that_ran(self, logged: float) -> float:
        return logged if self.loop is None else self.loop.rate

    @staticmethod
    def _at_peak(optimizer: Any) -> None:
        """Undo what the scheduler did: each group at the rate that it was given."""
        for group in optimizer.param_groups:
            group["lr"] = group.get("initial_lr", group["lr"])


def _loss_of(outputs: Any) -> Any:
    """The loss among a model's outputs, as the Trainer reads it; None where there is none."""
    loss = outputs.get("loss") if hasattr(outputs, "get") else getattr(outputs, "loss", None)
    if loss is None and isinstance(outputs, tuple) and outputs:
        loss = outputs[0]
    return loss if isinstance(loss, Tensor) and loss.ndim == 0 else None
