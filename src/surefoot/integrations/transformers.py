"""Hugging Face Trainer: Guard and a rate that is found, as callbacks; a range test. Needs the extra `transformers`."""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.errors import InvalidInput, InvalidType, MissingExtra
from surefoot.integrations._callback import Guarding, Piloting
from surefoot.integrations._rehearsed import mean_of_parts, some_updates
from surefoot.training.model.batches import sample_count
from surefoot.training.range_tests import RangeTest
from surefoot.training.range_tests import range_test as range_test_of

try:
    from transformers import Trainer, TrainerCallback
except ModuleNotFoundError as error:
    raise MissingExtra("surefoot.integrations.transformers needs transformers; install it with pip") from error

__all__ = ["GuardCallback", "PilotCallback", "range_test"]

# The entry of the Trainer's own state under which a checkpoint holds the loop's.
ENTRY = "surefoot"


class GuardCallback(Guarding, TrainerCallback):
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
        From the beginning of the training on; ``print(callback.loop.explain())`` says what happened.

    Raises
    ------
    Diverged
        Out of ``train()``, after too many returns in a row, with a diagnosis.
    InvalidInput
        If the model's outputs have no loss.
    """

    _summed = False  # whether the parts of an update are shares of its mean
    _clip = 0.0

    def __init__(self, *given: Any, **settings: Any) -> None:
        super().__init__(*given, **settings)
        # what is changed of the model and the arguments while an update is in the making, and nowhere else: a
        # checkpoint has the arguments as they were given
        self._changed = ExitStack()

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Take the model and the optimizer; go on from a checkpoint."""
        self._changed.close()  # where the last training ended with an error
        self.begin(
            given["model"], given["optimizer"], lambda model, batch: _loss_of(model(**batch)),
            given["train_dataloader"], state.max_steps, state.global_step, args.gradient_accumulation_steps,
            state.stateful_callbacks.get(ENTRY) if state.global_step else None,
        )  # fmt: skip
        state.stateful_callbacks[ENTRY] = _WhenCopied(self.state)

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """A new update: no loss yet, and the Trainer is not to clip before the norm was seen."""
        self._losses = []
        self._clip = args.max_grad_norm or 0.0
        self._changed.callback(setattr, args, "max_grad_norm", args.max_grad_norm)
        args.max_grad_norm = 0.0
        hook = given["model"].register_forward_hook(self._remember, with_kwargs=True, always_call=True)
        self._changed.callback(hook.remove)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Judge; then clip, if the update is to be made."""
        self._changed.close()
        if self.loop is None:
            return
        if not self._losses:
            raise InvalidInput(
                "the model's outputs have no loss; give it labels, so that it computes one, or guard a loop of your own"
            )
        total = torch.stack(self._losses).sum()
        loss, optimizer = total if self._summed else total / len(self._losses), given["optimizer"]
        if self.judge(loss, optimizer, getattr(optimizer, "scaler", None)) and self._clip > 0:
            nn.utils.clip_grad_norm_(given["model"].parameters(), self._clip)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **given: Any) -> None:
        """The rate that ran, in the log and in its history."""
        if self.loop is None:
            return
        for entry in (logs, state.log_history[-1] if state.log_history else None):
            if isinstance(entry, dict) and "learning_rate" in entry:
                entry["learning_rate"] = self._rate_that_ran(entry["learning_rate"])

    def state(self) -> dict[str, Any]:
        """Without snapshots, since the Trainer writes its state as JSON: after resuming one is taken anew."""
        return {**super().state(), "snapshots": []}

    def _rate_that_ran(self, logged: float) -> float:
        return logged * (1.0 if self.loop is None else self.loop.factor)

    def _remember(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any], outputs: Any) -> None:
        """The loss of a part of the batch, from the model's own outputs."""
        if outputs is None:  # the model raised, and the training ends here
            self._changed.close()
        elif module.training and (loss := _loss_of(outputs)) is not None:
            self._losses.append(loss.detach())
            # told how many items the whole batch has, each part is a share of the mean: they add up
            self._summed = kwargs.get("num_items_in_batch") is not None


class _WhenCopied:
    """A value that is made when it is copied: the Trainer copies its state for each checkpoint, and only then."""

    def __init__(self, make: Callable[[], dict[str, Any]]) -> None:
        self._make = make

    def __deepcopy__(self, memo: Any) -> dict[str, Any]:
        return self._make()


class PilotCallback(Piloting, GuardCallback):
    """A Trainer's run without a learning rate: ``Trainer(..., callbacks=[PilotCallback()])``.

    When the training begins, a copy of the model rehearses the run over its first batches, as
    `surefoot.training.Pilot` does: that chooses the rate. The run then warms up over a tenth of its updates, holds
    that rate, and cools down to zero over the last fifth, whatever rate and scheduler the Trainer was given; the
    groups keep the ratios of their rates. Guarded as by `GuardCallback`.

    Parameters
    ----------
    total_steps : int, optional
        Updates of the run; by default the Trainer's own.
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
        If the rehearsal finds no rate, with its reason.
    """

    def _rate_that_ran(self, logged: float) -> float:
        return logged if self.loop is None else self.loop.rate


def range_test(trainer: Any, *, total_steps: int | None = None, steps: int | None = None, rng: int = 0) -> RangeTest:
    """`surefoot.training.range_test` for what a Trainer is about to do: its model, loss, optimizer and batches.

    A batch is what makes an update: gradient accumulation counts, tokens weighed as the Trainer weighs them. Precision
    (bf16) is the Trainer's.

    Parameters
    ----------
    trainer : transformers.Trainer
        Before ``train()``; left as it was.
    total_steps : int, optional
        By default the updates that ``train()`` will make.
    steps, rng
        As in `surefoot.training.range_test`.

    Returns
    -------
    RangeTest
        ``trainer.args.learning_rate = found.rate`` takes the suggestion.

    Raises
    ------
    InvalidType
        If it is no Trainer.
    """
    if not isinstance(trainer, Trainer):
        raise InvalidType(f"trainer must be a transformers.Trainer; got a {type(trainer).__name__}")
    owner: Any = trainer  # its own hints allow what a Trainer that trains has not
    given = owner.optimizer
    optimizer = given or owner.create_optimizer()
    owner.optimizer = given  # made anew in train(), with the rate that it is given until then
    parts = owner.args.gradient_accumulation_steps
    updates = some_updates(owner.get_train_dataloader(), parts)
    total = total_steps or _updates(owner, parts)
    return range_test_of(owner.model, _UpdateLoss(owner), updates, optimizer, total_steps=total, steps=steps, rng=rng)


def _updates(trainer: Any, parts: int) -> int:
    """What ``train()`` will make."""
    if trainer.args.max_steps > 0:
        return trainer.args.max_steps
    return max(1, math.ceil(trainer.args.num_train_epochs * math.ceil(len(trainer.get_train_dataloader()) / parts)))


class _UpdateLoss:
    """The loss of the batches that make an update, as a Trainer adds them up."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def __call__(self, model: nn.Module, batches: list[Any]) -> Tensor:
        trainer = self._trainer
        _, items = trainer.get_batch_samples(iter(batches), len(batches), trainer.args.device)

        def of_part(batch: Any) -> Tensor:
            with trainer.compute_loss_context_manager():
                return trainer.compute_loss(model, {**batch}, num_items_in_batch=items)

        mean = mean_of_parts([partial(of_part, batch) for batch in batches])
        # told how many items there are, each is a share of the mean
        return mean if items is None else mean * len(batches)

    def weight(self, batches: list[Any]) -> float:
        """Samples of the update."""
        return float(sum(sample_count({**batch}) for batch in batches))


def _loss_of(outputs: Any) -> Any:
    """The loss among a model's outputs, as the Trainer reads it; None where there is none."""
    loss = outputs.get("loss") if hasattr(outputs, "get") else getattr(outputs, "loss", None)
    if loss is None and isinstance(outputs, tuple) and outputs:
        loss = outputs[0]
    return loss if isinstance(loss, Tensor) and loss.ndim == 0 else None
