"""A trial of rates: a run in several copies that see the same batches, each at its own rate."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from surefoot.errors import InvalidInput
from surefoot.rules import Decision
from surefoot.rules.training.watch import CONFIRMED, CONSTANT
from surefoot.training.loop.group_rates import Rates
from surefoot.training.loop.training_step import TrainingStep
from surefoot.training.model.agreement import agree_on, local, norm_of
from surefoot.training.model.output_variation import OutputVariation
from surefoot.training.model.sandbox import keep_random_state

__all__ = ["Copies"]


@dataclass(slots=True)
class Copy:
    """A copy of the run; not in use while another is on the modules.

    Parameters
    ----------
    tensors : list of Tensor
        Values of parameters and buffers.
    optimizers : list of (state, groups)
        State and groups of each optimizer.
    largest : float
        The most that the model's output varied.
    constant : int
        Batches in a row for which the output was the same whatever the input.
    gradients : list of Tensor or None
        Gradients of the batch at hand.
    before : list of Tensor
        The buffers before the batch at hand.
    loss : float
        Loss of the batch at hand; a weighted sum until all of its parts are there.
    output : (float, float)
        Spread and size of the output for the batch's last part.
    met : tuple of (float, float)
        Loss and gradient norm of the batch at hand, once all of its parts are there; empty before.
    past : tuple of (float, float)
        The same of each batch so far that was not left out.
    """

    tensors: list[Tensor]
    optimizers: list[tuple[Any, list[dict[str, Any]]]]
    largest: float
    constant: int = 0
    gradients: list[Tensor | None] | None = None
    before: list[Tensor] | None = None
    loss: float = 0.0
    output: tuple[float, float] = (math.nan, math.nan)
    met: tuple[tuple[float, float], ...] = ()
    past: tuple[tuple[float, float], ...] = ()


class Copies:
    """A trial of rates: the run goes on in several copies in turn on the same modules, until the rule chooses one.

    A parameter's value is exchanged by pointing its data elsewhere, so that a change of copies moves no number; at the
    end the last copy's values go back to where the parameters were. Sharded parameters, to whose memory their framework
    holds on, are exchanged by copying. Neither the watch nor a GradScaler has a say in an update of a copy.

    Parameters
    ----------
    step : TrainingStep
    rates : Rates

    Attributes
    ----------
    first : bool
        Whether this trial began before the run's first update. Its rates are those at a scheduler's peak, not at the
        bottom of its warm-up.
    past : tuple of (float, float)
        Loss and gradient norm of each batch of the copy that was left at the end.
    largest : float
        The most that its output varied.
    """

    def __init__(self, step: TrainingStep, rates: Rates) -> None:
        self._step, self._rates = step, rates
        self._model, self._optimizers = step.model, step.optimizers
        self._variation = OutputVariation(self._model)
        self._home: list[Tensor] = []
        self._all: list[Copy] = []
        self._on: Copy | None = None
        self.first = False
        self.past: tuple[tuple[float, float], ...] = ()
        self.largest = 0.0

    @property
    def running(self) -> bool:
        """Whether there is a trial now."""
        return bool(self._all)

    @property
    def losses(self) -> tuple[float, ...]:
        """Loss of the batch at hand in each copy; infinite where the model's output no longer depends on its input."""
        return tuple(math.inf if one.constant >= CONFIRMED else one.loss for one in self._all)

    def begin(self, decision: Decision, loss: float, factor: float, largest: float, *, first: bool) -> None:
        """The run, whose gradients are there, goes on in the copies of this decision.

        Parameters
        ----------
        decision : Decision
        loss : float
            Loss of the batch at hand.
        factor : float
            Factor on the rates.
        largest : float
            The most that the model's output varied so far.
        first : bool
            Whether no update was made yet.
        """
        self._step.forget_scale()
        self.first = first
        tensors = self._tensors
        self._home = [t.data for t in tensors]
        values = [local(t.detach()).clone() if _sharded(t) else t.data for t in tensors]
        one = Copy(values, self._borrowed(), largest, loss=loss)
        one.gradients = [p.grad for p in self._parameters]
        self._all, self._on = [one], one
        self._advance(decision, factor)

    def evaluate(self, closure: Callable[[], Tensor], weight: float, *, fresh: bool) -> Tensor:
        """Loss and gradients of a batch, or of a part of one, in every copy, with the same random numbers.

        Parameters
        ----------
        closure : callable
        weight : float
            Weight of the part.
        fresh : bool
            Whether this is the batch's first part.

        Returns
        -------
        Tensor
            The loss of the first copy.
        """
        scale, value = self._loss_scale, torch.empty(0)
        # the first copy comes last and leaves the random states where a run without trials would
        for one in reversed(self._all):
            self._load(one, None if fresh else one.gradients)
            if fresh:
                one.before = [buffer.detach().clone() for buffer in self._model.buffers()]
            self._variation.arm()
            with nullcontext() if one is self._all[0] else keep_random_state():
                value = self._step.checked(closure())
                (value * (scale * weight / self._step.accumulate)).backward()
                value = value.detach()
            one.output = self._variation.read()
            one.loss = (0.0 if fresh else one.loss) + float(value) * weight
            one.gradients = [p.grad for p in self._parameters]
        return value

    def finish(self, total: float, device: torch.device) -> tuple[tuple[float, ...], float]:
        """The batch is complete: the losses of all copies, and the first one's gradient norm, as all ranks have them.

        A copy whose gradient is not finite makes no update; without a loss scaler to blame, it has lost.

        Parameters
        ----------
        total : float
            Sum of the weights of its parts.
        device : device
            Where ranks talk.
        """
        self._rates.read()
        numbers: list[float] = []
        scale = self._loss_scale * total / self._step.accumulate
        for one in self._all:
            gradients = [g for g in one.gradients or [] if g is not None]
            if scale != 1:
                for g in gradients:
                    g.mul_(1 / scale)
            numbers += [one.loss / total, norm_of(gradients), *one.output]
        numbers = agree_on(numbers, device)
        norms, scaler = numbers[1::4], self._step.scaler
        for i, one in enumerate(self._all):
            one.loss, norm, spread, size = numbers[4 * i : 4 * i + 4]
            one.met = ((one.loss, norm),)
            if not math.isfinite(norm):
                one.gradients = None
                one.loss = math.nan if scaler is None else one.loss
            self._variation.largest = one.largest
            one.constant = one.constant + 1 if self._variation.ratio(spread, size) < CONSTANT else 0
            one.largest = self._variation.largest
        if scaler is not None and not any(map(math.isfinite, norms)):
            scaler.update(self._loss_scale / 2)
        return self.losses, norms[0]

    def go_on(self, decision: Decision, factor: float) -> None:
        """An update in each copy that stays; or the batch left out of all, and one chosen."""
        if decision.accept:
            self._advance(decision, factor)
            return
        self.forget()
        if len(decision.copies) == 1:
            self._all = [self._all[decision.copies[0][0]]]
            self._load(self._all[0], None)
            self._leave()

    def _advance(self, decision: Decision, factor: float) -> None:
        """An update in every copy of the decision; the first of them is left standing."""
        self._save()
        plan, parents = decision.copies or ((0, decision.step),), self._all
        first = {parent: i for i, (parent, _) in reversed(list(enumerate(plan)))}
        chosen = [parents[p] if first[p] == i else _renew(parents[p]) for i, (p, _) in enumerate(plan)]
        for one, (_, rate) in reversed(list(zip(chosen, plan, strict=True))):
            self._load(one, one.gradients)
            self._rates.write(rate * factor, at_peak=self.first)
            if self._step.clip is not None:
                self._step.cut()
            self._step.update_without_scaler()
            one.optimizers = self._borrowed()
            one.gradients, one.before = None, None
            one.past, one.met = one.past + one.met, ()
        self._all = chosen
        if len(chosen) == 1:
            self._leave()

    def forget(self) -> None:
        """Leave the batch out: every copy as it was before it."""
        self._variation.forget()
        for one in reversed(self._all):
            self._load(one, None)
            if one.before is not None:
                with torch.no_grad():
                    for buffer, value in zip(self._model.buffers(), one.before, strict=True):
                        buffer.copy_(value)
            one.gradients, one.before = None, None

    def end(self) -> None:
        """Between batches: go on with the first copy, which stands on the modules, where it is."""
        self._all, self._home, self._on = [], [], None

    def state_dict(self) -> dict[str, Any]:
        """Between batches: plain values and tensors."""
        saved: list[dict[str, Any]] = []
        for one in reversed(self._all):
            self._load(one, None)
            self._save()
            states = [copy.deepcopy(optimizer.state_dict()) for optimizer in self._optimizers]
            saved.append({
                "tensors": [t.clone() for t in one.tensors], "optimizers": states, "largest": one.largest,
                "constant": one.constant, "past": [list(batch) for batch in one.past],
            })  # fmt: skip
        return {"copies": saved[::-1], "first": self.first}

    def parse(self, data: Mapping[str, Any]) -> Callable[[], None]:
        """What `state_dict` returned; nothing is changed until the result is called.

        Model and optimizer have been loaded then, and are those of the first copy.

        Raises
        ------
        InvalidInput
            If they are of another model.
        """
        copies, first = data["copies"], bool(data["first"])
        shapes = [(local(t).shape, t.dtype) for t in self._tensors]
        if any([(t.shape, t.dtype) for t in saved["tensors"]] != shapes for saved in copies):
            raise InvalidInput("the saved copies of a trial are of another model; load it into the one it was saved of")

        def adopt() -> None:
            self._all, self._on, self.first = [], None, first
            tensors = self._tensors
            self._home = [t.data for t in tensors]
            for saved in reversed(copies):
                values = [value.to(t.device, copy=True) for value, t in zip(saved["tensors"], tensors, strict=True)]
                for optimizer, state in zip(self._optimizers, saved["optimizers"], strict=True):
                    optimizer.load_state_dict(copy.deepcopy(state))
                past = tuple((loss, norm) for loss, norm in saved["past"])
                self._all.insert(0, Copy(values, self._borrowed(), saved["largest"], saved["constant"], past=past))
            if self._all:
                self._load(self._all[0], None)

        return adopt

    @property
    def _loss_scale(self) -> float:
        return 1.0 if self._step.scaler is None else self._step.scaler.get_scale()

    @property
    def _tensors(self) -> list[Tensor]:
        by_id = {id(t): t for t in [*self._model.parameters(), *self._parameters, *self._model.buffers()]}
        return list(by_id.values())

    @property
    def _parameters(self) -> list[Tensor]:
        return [p for optimizer in self._optimizers for group in optimizer.param_groups for p in group["params"]]

    def _borrowed(self) -> list[tuple[Any, list[dict[str, Any]]]]:
        """State and groups of each optimizer, as they are."""
        return [
            (o.state, [{k: v for k, v in group.items() if k not in ("params", "lr")} for group in o.param_groups])
            for o in self._optimizers
        ]

    def _save(self) -> None:
        """Sharded parameters have their values on the modules; the copy there takes them down."""
        if self._on is not None:
            with torch.no_grad():
                for tensor, value in zip(self._tensors, self._on.tensors, strict=True):
                    if _sharded(tensor):
                        value.copy_(local(tensor))

    def _load(self, one: Copy, gradients: Sequence[Tensor | None] | None) -> None:
        """Put a copy on the modules."""
        if self._on is not one:
            self._save()
        for tensor, value in zip(self._tensors, one.tensors, strict=True):
            if not _sharded(tensor):
                tensor.data = value
            elif self._on is not one:
                with torch.no_grad():
                    local(tensor).copy_(value)
        self._on = one
        for optimizer, (state, groups) in zip(self._optimizers, one.optimizers, strict=True):
            optimizer.state = state
            for group, entries in zip(optimizer.param_groups, groups, strict=True):
                group.update(entries)
        for i, p in enumerate(self._parameters):
            p.grad = None if gradients is None else gradients[i]

    def _leave(self) -> None:
        """One copy is left: its values go to where the parameters were."""
        with torch.no_grad():
            for tensor, home in zip(self._tensors, self._home, strict=True):
                if _sharded(tensor):
                    continue
                if tensor.data_ptr() != home.data_ptr():
                    home.copy_(tensor.data)
                tensor.data = home
        self.past, self.largest = self._all[0].past, self._all[0].largest
        self._all, self._home, self._on = [], [], None


def _sharded(tensor: Tensor) -> bool:
    return hasattr(tensor, "placements")


def _renew(one: Copy) -> Copy:
    """The same in tensors of its own."""
    gradients = None if one.gradients is None else [None if g is None else g.clone() for g in one.gradients]
    optimizers = [(_renewed(state), copy.deepcopy(groups)) for state, groups in one.optimizers]
    return Copy(
        [t.clone() for t in one.tensors], optimizers, one.largest, one.constant, gradients, None, one.loss,
        met=one.met, past=one.past,
    )  # fmt: skip


def _renewed(state: Any) -> Any:
    """An optimizer's state, copied; its keys stay the parameters."""
    fresh = type(state)(state.default_factory) if hasattr(state, "default_factory") else type(state)()
    for key, value in state.items():
        fresh[key] = copy.deepcopy(value)
    return fresh
