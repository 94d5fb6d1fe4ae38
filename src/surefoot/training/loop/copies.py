"""A run in several copies that see the same batches, each at its own rate: what trials of rates are made of."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.errors import InvalidInput
from surefoot.rules.training.watch import CONFIRMED, CONSTANT
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
        Of each optimizer.
    largest : float
        The most that the model's output varied.
    constant : int
        Batches in a row for which the output was the same whatever the input.
    gradients : list of Tensor or None
        Of the batch at hand.
    before : list of Tensor
        The buffers before the batch at hand.
    loss, norm : float
        Of the batch at hand; the loss is a weighted sum until all of its parts are there.
    output : (float, float)
        Spread and size of the output for the batch's last part.
    past : tuple of (float, float)
        Loss and gradient norm of each batch so far.
    """

    tensors: list[Tensor]
    optimizers: list[tuple[Any, list[dict[str, Any]]]]
    largest: float
    constant: int = 0
    gradients: list[Tensor | None] | None = None
    before: list[Tensor] | None = None
    loss: float = 0.0
    norm: float = 0.0
    output: tuple[float, float] = (math.nan, math.nan)
    past: tuple[tuple[float, float], ...] = ()


class Copies:
    """Several copies of model and optimizers in turn on the same modules.

    A parameter's value is exchanged by pointing its data elsewhere, so that a change of copies moves no number; at the
    end the last copy's values go back to where the parameters were. Sharded parameters, to whose memory their framework
    holds on, are exchanged by copying.

    Parameters
    ----------
    model : Module
    optimizers : sequence of Optimizer
    """

    def __init__(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        self._model, self._optimizers = model, tuple(optimizers)
        self._variation = OutputVariation(model)
        self._home: list[Tensor] = []
        self._all: list[Copy] = []
        self._on: Copy | None = None
        self.past: tuple[tuple[float, float], ...] = ()
        self.largest = 0.0

    def __len__(self) -> int:
        return len(self._all)

    @property
    def losses(self) -> tuple[float, ...]:
        """Of the batch at hand; infinite where the model's output no longer depends on its input."""
        return tuple(math.inf if one.constant >= CONFIRMED else one.loss for one in self._all)

    @property
    def norms(self) -> tuple[float, ...]:
        """Of the gradients of the batch at hand."""
        return tuple(one.norm for one in self._all)

    def enter(self, loss: float, largest: float) -> None:
        """One copy, the run as it is now: gradients are there, no update made yet."""
        tensors = self._tensors
        self._home = [t.data for t in tensors]
        values = [local(t.detach()).clone() if _sharded(t) else t.data for t in tensors]
        one = Copy(values, self._borrowed(), largest, loss=loss)
        one.gradients = [p.grad for p in self._parameters]
        self._all, self._on = [one], one

    def sense(self, evaluate: Callable[[], float], *, fresh: bool) -> float:
        """Loss and gradient of a batch, or of a part of one, in every copy, with the same random numbers.

        Parameters
        ----------
        evaluate : callable
            Runs forward and backward; returns the loss times its share of the batch.
        fresh : bool
            Whether this is the batch's first part.

        Returns
        -------
        float
            The first copy's.
        """
        value = 0.0
        # the first copy comes last and leaves the random states where a run without trials would
        for one in reversed(self._all):
            self._load(one, None if fresh else one.gradients)
            if fresh:
                one.before = [buffer.detach().clone() for buffer in self._model.buffers()]
            self._variation.arm()
            if one is self._all[0]:
                value = evaluate()
            else:
                with keep_random_state():
                    value = evaluate()
            one.output = self._variation.read()
            one.loss = value if fresh else one.loss + value
            one.gradients = [p.grad for p in self._parameters]
        return value

    def finish(self, scale: float, total: float, device: torch.device) -> bool:
        """The batch is complete: undo the loss scale and the weights, and agree on every number with the other ranks.

        Parameters
        ----------
        scale : float
            What the gradients are to be divided by.
        total : float
            What the losses are.
        device : device
            Where ranks talk.

        Returns
        -------
        bool
            Whether every copy's gradient overflowed.
        """
        numbers: list[float] = []
        for one in self._all:
            found = [g for g in one.gradients or [] if g is not None]
            if scale != 1:
                for g in found:
                    g.mul_(1 / scale)
            numbers += [one.loss / total, norm_of(found), *one.output]
        numbers = agree_on(numbers, device)
        overflows = 0
        for i, one in enumerate(self._all):
            one.loss, one.norm, spread, size = numbers[4 * i : 4 * i + 4]
            one.past += ((one.loss, one.norm),)
            overflows += not math.isfinite(one.norm)
            self._variation.largest = one.largest
            one.constant = one.constant + 1 if self._variation.ratio(spread, size) < CONSTANT else 0
            one.largest = self._variation.largest
        return overflows == len(self._all)

    def spoil(self, *, as_loss: bool) -> None:
        """Copies whose gradient is not finite make no update; without a loss scaler to blame, they have lost."""
        for one in self._all:
            if not math.isfinite(one.norm):
                one.gradients = None
                one.loss = math.nan if as_loss else one.loss

    def advance(self, plan: Sequence[tuple[int, float]], update: Callable[[float], None]) -> None:
        """An update in every copy of the plan; the first of them is left standing.

        Parameters
        ----------
        plan : sequence of (int, float)
            The copy that each continues, and its rate.
        update : callable
            Makes the update at a rate from the gradients that are there.
        """
        self._save()
        parents = self._all
        first = {parent: i for i, (parent, _) in reversed(list(enumerate(plan)))}
        chosen = [parents[p] if first[p] == i else _renew(parents[p]) for i, (p, _) in enumerate(plan)]
        for one, (_, rate) in reversed(list(zip(chosen, plan, strict=True))):
            self._load(one, one.gradients)
            update(rate)
            one.optimizers = self._borrowed()
            one.gradients, one.before = None, None
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

    def choose(self, which: int) -> None:
        """Between batches: go on with one of them alone."""
        self._all = [self._all[which]]
        self._load(self._all[0], None)
        self._leave()

    def end(self) -> None:
        """Between batches: go on with the first copy, which stands on the modules, where it is."""
        self._all, self._home, self._on = [], [], None

    def state_dict(self) -> list[dict[str, Any]]:
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
        return saved[::-1]

    def check(self, data: Sequence[Mapping[str, Any]]) -> None:
        """That saved copies are of this model; nothing is touched.

        Raises
        ------
        InvalidInput
            If they are not.
        """
        shapes = [(local(t).shape, t.dtype) for t in self._tensors]
        for saved in data:
            if [(t.shape, t.dtype) for t in saved["tensors"]] != shapes:
                raise InvalidInput(
                    "the saved copies of a trial are of another model; load it into the one it was saved of"
                )

    def load_state_dict(self, data: Sequence[Mapping[str, Any]]) -> None:
        """The inverse of `state_dict`; model and optimizer have been loaded and are those of the first copy."""
        self._all, self._on = [], None
        tensors = self._tensors
        self._home = [t.data for t in tensors]
        for saved in reversed(data):
            values = [value.to(t.device, copy=True) for value, t in zip(saved["tensors"], tensors, strict=True)]
            for optimizer, state in zip(self._optimizers, saved["optimizers"], strict=True):
                optimizer.load_state_dict(copy.deepcopy(state))
            past = tuple((loss, norm) for loss, norm in saved["past"])
            self._all.insert(0, Copy(values, self._borrowed(), saved["largest"], saved["constant"], past=past))
        if self._all:
            self._load(self._all[0], None)

    @property
    def _tensors(self) -> list[Tensor]:
        found = {id(t): t for t in [*self._model.parameters(), *self._parameters, *self._model.buffers()]}
        return list(found.values())

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
        [t.clone() for t in one.tensors], optimizers, one.largest, one.constant, gradients, None, one.loss, one.norm,
        past=one.past,
    )  # fmt: skip


def _renewed(state: Any) -> Any:
    """An optimizer's state, copied; its keys stay the parameters."""
    fresh = type(state)(state.default_factory) if hasattr(state, "default_factory") else type(state)()
    for key, value in state.items():
        fresh[key] = copy.deepcopy(value)
    return fresh
