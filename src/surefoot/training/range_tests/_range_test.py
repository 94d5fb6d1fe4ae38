"""The peak learning rate, from the pilot's rehearsal on a copy of the run."""

import inspect
import math
import statistics
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated, Any

from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from surefoot.checks import Count, Range, checked
from surefoot.errors import Interrupted, InvalidInput, InvalidType, NotFinite
from surefoot.rules.training.autopilot import Autopilot
from surefoot.rules.training.choice import choose
from surefoot.solvers import Ending
from surefoot.training.model.batches import Batches, gather, generators
from surefoot.training.model.loss import Loss, refuse_criterion
from surefoot.training.model.minibatches import MiniBatches
from surefoot.training.model.sandbox import keep_random_state, plain_module
from surefoot.training.optimizers.unwrapped import refuse_maximizing, tunes_itself, unwrap
from surefoot.training.range_tests._result import RangeTest, Rehearsal
from surefoot.training.range_tests.small_run import SmallRun

# Copies that the rehearsal trains side by side, and the cost in optimizer steps of the reach and of the losses at the
# start, at most 34 and 5 evaluations.
COPIES, FIRST = 4, 13
# Updates of the shortest rehearsal that has a warm-up, a hold and a cool-down of several updates each. By convention.
SHORTEST = 16
# Updates up to which a run takes the rehearsed rate as it is; longer runs take lower ones (see `Autopilot`).
USUAL = 500
# Standard errors that the mean gain must exceed: on four batches, a t test at 3%, one-sided.
CLEARLY = 3.0


@checked
def range_test(
    model: nn.Module,
    loss: Loss,
    data: Any,
    optimizer: Optimizer,
    *,
    total_steps: Count = 500,
    steps: Annotated[int, Range(f"[{COPIES * SHORTEST + FIRST}, inf)")] | None = None,
    rng: int = 0,
) -> RangeTest:
    """The peak rate for a training with this optimizer that anneals, from a rehearsal on copies.

    It is the rehearsal of `surefoot.training.Pilot`: four copies of the run side by side on the same batches, each a
    whole run in small with a warm-up, a hold and a cool-down to zero, from 0.1 to 3.2 times the reach of the first
    update and on to higher rates while the highest does best. The suggestion is the mean in log rate of the best copy
    and its neighbours, weighted by how little worse they are on the last batches; see `surefoot.rules.Autopilot`. A
    *heuristic* of this start and this horizon: it does not decide between rates that only long runs tell apart.

    Parameters
    ----------
    model : Module
        In the mode in which it is to be trained.
    loss : callable
        loss(model, batch) -> the mean over the batch; see `supervised`.
    data : list of batches, DataLoader, iterator or one batch
        Mini-batches: as many are read as are used. Fewer are visited again and again; one batch is every step's.
    optimizer : torch.optim.Optimizer
        Any whose step needs no closure, at any state. Groups keep the ratios of their rates.
    total_steps : int
        Updates of the run that the rate is for. Beyond 500 it is lowered by (500/T)^(1/4).
    steps : int, optional
        The budget in optimizer steps, at least 77; an evaluation counts as a third. By default what a pilot spends on
        such a run: 64% of its updates up to 500, then growing as T^(1/4).
    rng : int
        Seed of the order of the mini-batches and of what the model draws.

    Returns
    -------
    RangeTest
        `rate` is the suggestion, for the first group; where there is none `abstained` says why, and `rate` raises. The
        caller's model, buffers, gradients, modes, optimizer and random states are as they were, bit for bit.

    Raises
    ------
    InvalidType
        If an argument is of the wrong kind, or the optimizer needs a closure.
    InvalidInput
        If the budget is too small, there is no data, the optimizer trains nothing of the model, its rate is not
        positive, or it finds a rate of its own.
    NotFinite
        If the loss at the start is not finite.
    Interrupted
        On Ctrl-C; its `partial` has the losses so far.

    References
    ----------
    A rate that rises until the loss does is L. N. Smith's (WACV 2017). That short horizons prefer other rates than
    long ones: Wu et al., Understanding short-horizon bias in stochastic meta-optimization, ICLR 2018.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.range_tests._range_test import range_test
    >>> from surefoot.training.model import supervised
    >>> generator = torch.Generator().manual_seed(0)
    >>> x = torch.randn(40, 16, 3, generator=generator)
    >>> batches = [(one, one @ torch.tensor([1.0, -2.0, 0.5])) for one in x]
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0))
    >>> sgd = torch.optim.SGD(model.parameters())
    >>> test = range_test(model, supervised(torch.nn.functional.mse_loss), batches, sgd, steps=100)
    >>> 0.1 < test.rate < 1.0, test.steps <= 100
    (True, True)
    """
    model = plain_module(model)
    optimizer = unwrap(optimizer)
    _check(model, loss, optimizer)
    rule = Autopilot(length=None if steps is None else (steps - FIRST) // COPIES)
    # a batch size beyond any data: every batch is used as it is
    visits = MiniBatches(_some_batches(data, loss, rule.rehearsal(total_steps) + 1), 1 << 62, rng)
    run = SmallRun(model, loss, optimizer, rule, total_steps, rng)
    run.start = run.losses_before([next(visits.endless())])
    if not math.isfinite(run.start[0]):
        raise NotFinite(f"the loss at the start is {run.start[0]}; fix the model or the data first")
    try:
        trouble = run.rehearse(visits.endless())
    except KeyboardInterrupt as stop:
        if not run.courses:
            raise
        raise Interrupted(_result(run, "interrupted")) from stop
    return _result(run, trouble)


def _check(model: nn.Module, loss: Loss, optimizer: Any) -> None:
    refuse_criterion(loss)
    # an optimizer that evaluates the loss itself, as L-BFGS
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise InvalidType(f"{type(optimizer).__name__}.step needs a closure; such steps have no rate to test")
    if tunes_itself(optimizer):
        raise InvalidInput(f"{type(optimizer).__name__} finds a rate of its own; test an optimizer that takes one")
    refuse_maximizing(optimizer)
    own = {id(p) for p in model.parameters() if p.requires_grad}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise InvalidInput("the optimizer trains no parameter of the model; make it from model.parameters()")
    rate = float(optimizer.param_groups[0]["lr"])
    if not 0 < rate < math.inf:
        raise InvalidInput(f"the first group's rate must be positive and finite, to scale the others by; got {rate:g}")


def _result(run: SmallRun, trouble: str) -> RangeTest:
    state = run.state
    suggested, interval, reason, good = 0.0, (0.0, 0.0), "", (0.0, 0.0)
    if not trouble:
        rates, losses = zip(*state.tried, strict=True)
        choice = choose(rates, losses, state.first, state.failed)
        trouble = _objection(rates[choice.best], run.start, losses[choice.best])
        if not trouble:
            good = choice.interval
            # what the horizon takes off the suggestion it takes off its neighbours
            suggested, share = run.rate, run.rate / choice.rate
            interval = good[0] * share, good[1] * share
            reason = _reason(run, rates[choice.best], losses[choice.best], choice.top)
    return RangeTest(
        suggested=suggested,
        interval=interval,
        abstained=trouble,
        reason=reason,
        cliff=state.failed,
        start=statistics.fmean(run.start),
        rehearsals=tuple(_rehearsal(run, rate, good) for rate in sorted(run.courses)),
        steps=run.spent,
        optimizer=type(run.optimizer).__name__,
    )


def _objection(rate: float, start: Sequence[float], finals: Sequence[float]) -> str:
    """Why the best rate should not be suggested; empty if there is no reason."""
    gains = [before - after for before, after in zip(start[-len(finals) :], finals, strict=True)]
    gain = statistics.fmean(gains)
    if not gain > 0:
        return (
            f"no rate lowered the loss, {rate:.3g} least badly: at a minimum already, or noise beyond what so few "
            "steps gain; take larger batches or more steps"
        )
    if len(gains) > 1 and gain <= CLEARLY * statistics.stdev(gains) / math.sqrt(len(gains)):
        return (
            f"batches differ about the gain at {rate:.3g}, the best rate tried, as much as it is: at a minimum "
            "already, or too noisy; take larger batches or more steps"
        )
    return ""


def _reason(run: SmallRun, rate: float, finals: Sequence[float], top: bool) -> str:
    before, after = statistics.fmean(run.start), statistics.fmean(finals)
    text = f"in {run.state.clock} steps at a peak of {rate:.3g} the loss falls from {before:.4g} to {after:.4g}"
    if run.total > USUAL:
        text += f"; lowered for a run of {run.total} updates"
    if top:
        text += "; higher rates may do as well, none that was tried failed"
    if rate == min(run.courses):
        text += "; lower rates may do as well, none was tried"
    return text


def _rehearsal(run: SmallRun, rate: float, good: tuple[float, float]) -> Rehearsal:
    finals = dict(run.state.tried).get(rate, ())
    failed = rate >= run.state.failed
    ending = Ending.DIVERGED if failed else Ending.GOOD if finals and good[0] <= rate <= good[1] else Ending.SLOW
    why = "its loss left the range that it began in" if failed else "a higher rate took its place"
    return Rehearsal(rate=rate, losses=run.courses[rate], finals=finals, stopped="" if finals else why, ending=ending)


def _some_batches(data: Any, loss: Loss, most: int) -> Batches:
    """At most so many batches of the data; a loader's own random state is not advanced."""
    if isinstance(data, DataLoader):
        with keep_random_state(*generators(data)):
            return gather(list(islice(data, most)), loss)
    return gather(list(islice(data, most)) if isinstance(data, Iterator) else data, loss)
