"""The runs of a range test, on copies: the caller's model and optimizer are never touched."""

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from surefoot.errors import InvalidInput, SurefootError
from surefoot.methods import HeavyBall, Method, Nesterov
from surefoot.solvers import Ending
from surefoot.training.curvature.linearised import as_scalar
from surefoot.training.loop.training_step import TrainingStep
from surefoot.training.model.batches import Batches, gather, generators
from surefoot.training.model.loss import Loss
from surefoot.training.model.minibatches import MiniBatches
from surefoot.training.model.output_variation import COLLAPSED, OutputVariation
from surefoot.training.model.sandbox import random_state_kept, undisturbed
from surefoot.training.model.trees import on_device
from surefoot.training.optimizers import method_of
from surefoot.training.optimizers.families import FAMILIES
from surefoot.training.range_tests._result import Rehearsal

__all__ = ["EVALUATION", "PRODUCT", "Stage", "some_batches"]

# What is counted, in optimizer steps: forward and backward are one; a product goes through the graph twice more.
PRODUCT, EVALUATION = 3.0, 1 / 3
# A run whose loss is this many times that at the start is lost, or too far up for a short run to show its way down.
LOST = 3.0
WARMUP = 0.25


class Stage:
    """Copies of one training at its start, to be run at any rate.

    Parameters
    ----------
    model, loss, optimizer
        As in `range_test`; checked.
    data : Batches
    length : int
        Steps of a rehearsal.
    folds : int
        Held-out mini-batches that judge it.
    seed : int
    """

    def __init__(
        self, model: nn.Module, loss: Loss, optimizer: Optimizer, data: Batches, length: int, folds: int, seed: int
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.length, self.folds, self.seed = length, folds, seed
        self.visits = MiniBatches(data, 1 << 62, seed)
        self.method = _method_of(optimizer)
        family = FAMILIES.get(type(optimizer))
        # an average of squares that has seen one gradient is no guide to the next step: adaptive methods are warmed up
        self.warmup = 0 if family is not None and family.preconditioner is None else round(WARMUP * length)
        self.device = next(p.device for group in optimizer.param_groups for p in group["params"])
        self.spent = 0.0
        self._worst: dict[int, float] = {}

    @property
    def buildup(self) -> float:
        """The share of its final speed that the method has on average over a rehearsal.

            1/K sum_{k=1..K} (1 - b^k)

        Heavy ball's velocity takes 1/(1 - b) steps to build up; an average with bias correction has it at once.
        """
        b = self.method.momentum if isinstance(self.method, HeavyBall | Nesterov) else 0.0
        return sum(1 - b**k for k in range(1, self.length + 1)) / self.length

    @property
    def linear_limit(self) -> float:
        """The method's limit of step * curvature; that of plain gradient descent where the method is not known."""
        return 2.0 if self.method is None else self.method.real_limit

    def batches(self, repeat: int) -> tuple[list[Any], list[Any]]:
        """The training batches of a repeat, and the folds that judge it."""
        size = self.length + self.folds
        found = list(islice(self.visits.endless(), repeat * size, (repeat + 1) * size))
        return found[: self.length], found[self.length :]

    def start(self, repeat: int) -> tuple[float, ...]:
        """The loss of each fold before any step."""
        with random_state_kept():
            model, _ = self._copies()
            found = self._judged(model, self.batches(repeat)[1])
        self._worst[repeat] = max(found)
        return found

    def rehearse(self, rate: float, repeat: int, allowed: float) -> Rehearsal | None:
        """Train a copy: a linear warmup for adaptive methods, then a cosine to zero; None beyond the budget."""
        if self.spent + self.length + EVALUATION * self.folds > allowed:
            return None
        batches, folds = self.batches(repeat)
        with random_state_kept(), torch.enable_grad():
            torch.manual_seed(self.seed + repeat)
            model, optimizer = self._copies()
            losses: list[float] = []
            shares = _shares(optimizer)
            variation = OutputVariation(model)
            variation.arm()
            step = TrainingStep(model, [optimizer])
            for k, batch in enumerate(batches):
                _set_rates(optimizer, shares, rate * self._course(k))
                step.begin()
                value = step.backward(as_scalar(self.loss(model, on_device(batch, self.device))))
                if k == 0:
                    variation.ratio(*variation.read())
                self.spent += 1
                if not math.isfinite(value.item()):
                    return self._stopped(rate, repeat, losses, f"the loss is not finite at step {k}")
                losses.append(value.item())
                # against the worst mini-batch seen at the start: small ones differ
                top = max(losses[0], self._worst.get(repeat, -math.inf))
                if losses[-1] > top + (LOST - 1) * abs(top):
                    return self._stopped(rate, repeat, losses, f"the loss is {LOST:g} x that at the start, at step {k}")
                step.update()
            variation.arm()
            finals = self._judged(model, folds)
        if variation.ratio(*variation.read()) < COLLAPSED:
            return self._stopped(rate, repeat, losses, "the output no longer depends on the input", Ending.COLLAPSED)
        if not all(map(math.isfinite, finals)):
            return self._stopped(rate, repeat, losses, "the loss is not finite at the end")
        return Rehearsal(rate=rate, repeat=repeat, losses=tuple(losses), finals=finals)

    def along(self, batches: int) -> tuple[float, str]:
        """(g.u)/|u'Hu| at the start, u the first update per unit of the rate, over some batches.

        Returns
        -------
        float
            0 where there is none.
        str
            Why; empty otherwise.
        """
        slope = curvature = 0.0
        try:
            for batch in self.batches(0)[0][:batches]:
                g_u, u_h_u = self._along_one(batch)
                slope, curvature = slope + g_u, curvature + abs(u_h_u)
        except (SurefootError, RuntimeError) as error:
            return 0.0, f"begun at the optimizer's own rate: no curvature ({str(error).splitlines()[0]})"
        if not (slope > 0 and curvature > 0 and 0 < slope / curvature < math.inf):
            return 0.0, "begun at the optimizer's own rate: no curvature along its first update"
        return slope / curvature, ""

    def _along_one(self, batch: Any) -> tuple[float, float]:
        batch = on_device(batch, self.device)
        with random_state_kept():
            torch.manual_seed(self.seed)
            model, optimizer = self._copies()
            own = {id(p) for p in model.parameters()}
            chosen = [
                (i, j)
                for i, group in enumerate(optimizer.param_groups)
                for j, p in enumerate(group["params"])
                if id(p) in own and p.requires_grad
            ]
            at = [optimizer.param_groups[i]["params"][j] for i, j in chosen]
            with undisturbed(model):
                value = as_scalar(self.loss(model, batch))
                found = torch.autograd.grad(value, at, create_graph=True, allow_unused=True)
                gradients = cast("Sequence[Tensor | None]", found)
                # on a copy of its own: a step in place would spoil the graph
                update = _first_update(self.optimizer, chosen, gradients)
                slope = _dot(gradients, update)
                curved = [(g, u) for g, u in zip(gradients, update, strict=True) if g is not None and g.requires_grad]
                if not curved:
                    return slope, 0.0
                products = torch.autograd.grad([g for g, _ in curved], at, [u for _, u in curved], allow_unused=True)
            self.spent += PRODUCT
            return slope, _dot(products, update)

    def _copies(self) -> tuple[nn.Module, Optimizer]:
        try:
            return copy.deepcopy((self.model, self.optimizer))
        except (RuntimeError, TypeError) as error:
            raise InvalidInput(
                f"the model and its optimizer cannot be copied ({error}); make them so that copy.deepcopy takes them: "
                "the range test trains copies"
            ) from error

    def _course(self, k: int) -> float:
        if k < self.warmup:
            return (k + 1) / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (k - self.warmup) / (self.length - self.warmup)))

    @torch.no_grad()
    def _judged(self, model: nn.Module, folds: Iterable[Any]) -> tuple[float, ...]:
        values = [as_scalar(self.loss(model, on_device(batch, self.device))).item() for batch in folds]
        self.spent += EVALUATION * len(values)
        return tuple(values)

    def _stopped(
        self, rate: float, repeat: int, losses: Sequence[float], why: str, ending: Ending = Ending.DIVERGED
    ) -> Rehearsal:
        return Rehearsal(rate=rate, repeat=repeat, losses=tuple(losses), stopped=why, ending=ending)


def some_batches(data: Any, loss: Loss, most: int) -> Batches:
    """At most so many batches of the data; a loader's own random state is not advanced."""
    if isinstance(data, DataLoader):
        with random_state_kept(*generators(data)):
            return gather(list(islice(data, most)), loss)
    return gather(list(islice(data, most)) if isinstance(data, Iterator) else data, loss)


def _method_of(optimizer: Optimizer) -> Method | None:
    """The linear iteration that the optimizer is, where one is known."""
    try:
        return method_of(optimizer)
    except SurefootError:
        return None


def _first_update(
    optimizer: Optimizer, chosen: Sequence[tuple[int, int]], gradients: Sequence[Tensor | None]
) -> list[Tensor]:
    """Minus the displacement of the optimizer's next step per unit of its first group's rate."""
    moved: Optimizer = copy.deepcopy(optimizer)
    moved.zero_grad()
    parameters = [moved.param_groups[i]["params"][j] for i, j in chosen]
    before = [p.detach().clone() for p in parameters]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = None if g is None else g.detach().clone()
    # at a rate of 1: at a small one the parameters' own rounding would be most of the difference
    _set_rates(moved, _shares(moved), 1.0)
    moved.step()
    return [old - p.detach() for old, p in zip(before, parameters, strict=True)]


def _shares(optimizer: Optimizer) -> list[float]:
    """Each group's rate over the first one's."""
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    if not (rates[0] > 0 and all(math.isfinite(rate) for rate in rates)):
        raise InvalidInput(f"the first group's rate must be positive and finite; got {rates[0]:g}")
    return [rate / rates[0] for rate in rates]


def _set_rates(optimizer: Optimizer, shares: Sequence[float], rate: float) -> None:
    for group, share in zip(optimizer.param_groups, shares, strict=True):
        group["lr"] = rate * share


def _dot(one: Sequence[Tensor | None], other: Sequence[Tensor]) -> float:
    pairs = zip(one, other, strict=True)
    return sum(float((a.detach().double() * b.detach().double()).sum()) for a, b in pairs if a is not None)
