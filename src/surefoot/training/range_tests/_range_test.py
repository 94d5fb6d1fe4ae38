"""The peak learning rate, from a few short rehearsals of the training on copies."""

import inspect
import math
from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

from surefoot.checks import checked
from surefoot.errors import Interrupted, InvalidInput, InvalidType, NotFinite, SurefootError
from surefoot.training.model.loss import Loss
from surefoot.training.model.sandbox import plain_module
from surefoot.training.optimizers import effective_rate
from surefoot.training.optimizers.unwrapped import unwrapped
from surefoot.training.range_tests._rehearsal import EVALUATION, PRODUCT, Stage, some_batches
from surefoot.training.range_tests._result import RangeTest, Rehearsal
from surefoot.training.range_tests._search import APART, PER_DECADE, Search, rate_of, search

__all__ = ["range_test"]

# Mini-batches that judge a rehearsal, and along which the curvature is taken.
FOLDS, ALONG = 4, 2
HALVES = slice(0, FOLDS // 2), slice(FOLDS // 2, FOLDS)
# A budget is divided into so many rehearsals: fewer do not bracket the best rate, shorter ones mistake it.
REHEARSALS = 5.3
SHORTEST = 8
# The suggestion keeps this far below the smallest rate at which a rehearsal failed.
CLEAR = 2.0
# A plateau this wide decides nothing.
WIDEST = 300.0


@checked
def range_test(
    model: nn.Module,
    loss: Loss,
    data: Any,
    optimizer: Optimizer,
    *,
    steps: int = 100,
    repeats: int = 1,
    rng: int = 0,
) -> RangeTest:
    """The peak rate for a training with this optimizer that anneals, found on copies in about `steps` steps.

    Each rate tried is a rehearsal: a whole training in miniature (16 steps of the default 100), from the same start
    over the same mini-batches, with a linear warmup over its first quarter if the optimizer is adaptive and then a
    cosine to zero. What counts is the loss at its end on held-out mini-batches. The first rate is where the quadratic
    model along the first update is least,

        eta = (1 - b)/gain * g.u / |u'Hu|,    u the first update per unit of the rate, b the momentum

    and from there the search climbs by half decades, then quarters. The suggestion is the mean place on the grid,
    weighted by exp(-(lack of gain)/(7% of the best gain)); for heavy ball and Nesterov it is lowered to what K steps
    let momentum build up, 1/K sum (1 - b^k), and it stays a factor 2 below the smallest rate that failed. A *heuristic*
    of this start and this horizon: it does not decide between rates that only long runs tell apart.

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
    steps : int
        The budget in optimizer steps, all repeats together; a product counts as three, an evaluation as a third.
    repeats : int
        Independent searches on other mini-batches that share the budget and have to agree.
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
        If the budget is too small, there is no data, the optimizer trains nothing of the model or its rate is not
        positive.
    NotFinite
        If the loss at the start is not finite.
    Interrupted
        On Ctrl-C, once a rehearsal is done; its `partial` is what those that are done say.

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
    >>> found = range_test(model, supervised(torch.nn.functional.mse_loss), batches, sgd)
    >>> 0.1 < found.rate < 1.0, found.steps <= 100
    (True, True)
    """
    model = plain_module(model) if isinstance(model, nn.Module) else model
    optimizer = unwrapped(optimizer)
    length = _checked(model, loss, optimizer, steps, repeats)
    batches = some_batches(data, loss, repeats * (length + FOLDS))
    stage = Stage(model, loss, optimizer, batches, length, FOLDS, rng)
    along, note = stage.along(ALONG)
    first = _first(stage, along)
    searches: list[Search] = []
    for repeat in range(repeats):
        allowed = steps * (repeat + 1) / repeats
        found = Search(stage.start(repeat))
        if not all(map(math.isfinite, found.start)):
            raise NotFinite(f"the loss at the start is {found.start}; fix the model or the data first")
        searches.append(found)
        try:
            search(found, first, lambda rate, r=repeat, a=allowed: stage.rehearse(rate, r, a))
        except KeyboardInterrupt as stop:
            if not found.runs:
                raise
            raise Interrupted(_result(stage, searches, along, note)) from stop
        first = round(found.centre()) if found.gain(found.best()) > 0 else first
    return _result(stage, searches, along, note)


def _checked(model: Any, loss: Any, optimizer: Any, steps: int, repeats: int) -> int:
    """The steps of a rehearsal."""
    if not isinstance(model, nn.Module):
        raise InvalidType(f"model must be a torch.nn.Module; got a {type(model).__name__}")
    if not callable(loss) or isinstance(loss, nn.Module):
        raise InvalidType(f"loss must be loss(model, batch); got a {type(loss).__name__}: see supervised()")
    if not isinstance(optimizer, Optimizer):
        raise InvalidType(f"optimizer must be a torch.optim.Optimizer; got a {type(optimizer).__name__}")
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise InvalidType(f"{type(optimizer).__name__}.step needs a closure; such steps have no rate to test")
    if repeats < 1:
        raise InvalidInput(f"repeats must be at least 1; got {repeats!r}")
    length = _length(steps, repeats)
    if length < SHORTEST:
        least = next(s for s in range(steps, 10_000 * repeats) if _length(s, repeats) >= SHORTEST)
        raise InvalidInput(f"steps={steps!r} is too few for {repeats} x 5 rehearsals; give at least {least}")
    own = {id(p) for p in model.parameters() if p.requires_grad}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise InvalidInput("the optimizer trains no parameter of the model; make it from model.parameters()")
    rate = float(optimizer.param_groups[0]["lr"])
    if not 0 < rate < math.inf:
        raise InvalidInput(f"the first group's rate must be positive and finite, to scale the others by; got {rate:g}")
    return length


def _length(steps: int, repeats: int) -> int:
    share = (steps - PRODUCT * ALONG) / repeats - EVALUATION * FOLDS
    return math.floor(share / REHEARSALS - EVALUATION * FOLDS)


def _first(stage: Stage, along: float) -> int:
    """Where to begin: the minimum along the first update, or the optimizer's own rate."""
    rate = float(stage.optimizer.param_groups[0]["lr"])
    if along > 0:
        try:
            rate = along / effective_rate(stage.method, 1.0) if stage.method else along
        except SurefootError:
            rate = along
    return round(PER_DECADE * math.log10(min(max(rate, 1e-12), 1e12)))


def _result(stage: Stage, searches: Sequence[Search], along: float, note: str) -> RangeTest:
    runs: list[Rehearsal] = [run for found in searches for run in found.ended()]
    failing = [i for found in searches for i in found.failing]
    working = [i for found in searches for i in found.runs if found.gain(i) > 0]
    cliffs = [i for i in failing if i > max(working, default=-math.inf)]
    cliff = rate_of(min(cliffs)) if cliffs and working else math.inf
    suggested, interval, reason, abstained = 0.0, (0.0, 0.0), "", _objection(searches)
    if not abstained:
        lowered = stage.buildup
        places = [found.centre() for found in searches]
        ends = [found.plateau(half) for found in searches for half in HALVES]
        suggested = min(lowered * rate_of(sum(places) / len(places)), cliff / CLEAR)
        low, high = lowered * rate_of(min(e[0] for e in ends)), lowered * rate_of(max(e[1] for e in ends))
        interval = (min(low, suggested), max(min(high, cliff / CLEAR), suggested))
        reason = _reason(stage, searches[0], note)
    return RangeTest(
        suggested=suggested,
        interval=interval,
        abstained=abstained,
        reason=reason,
        limit=stage.linear_limit * along if along > 0 else math.inf,
        cliff=cliff,
        start=sum(searches[0].start) / FOLDS,
        rehearsals=tuple(runs),
        steps=stage.spent,
        optimizer=type(stage.optimizer).__name__,
    )


def _reason(stage: Stage, found: Search, note: str) -> str:
    run = found.runs[found.best()]
    start = sum(found.start) / FOLDS
    text = f"in {stage.length} steps at a peak of {run.rate:.3g} the loss falls from {start:.4g} to {run.final:.4g}"
    if stage.buildup < 1:
        text += f"; x {stage.buildup:.2g}, what momentum builds up in so few"
    return f"{text}; {note}" if note else text


def _objection(searches: Sequence[Search]) -> str:
    """Why no rate should be suggested; empty if nothing speaks against it."""
    for found in searches:
        best = found.best()
        rate = rate_of(best)
        if not found.gain(best) > 0:
            return (
                f"no rate from {rate_of(max(found.runs)):.3g} down to {rate_of(min(found.runs)):.3g} lowered the loss: "
                "at a minimum already, or noise beyond what so few steps gain; take larger batches or more steps"
            )
        if not found.clear:
            return (
                f"held-out mini-batches differ about the gain at {rate:.3g}, the best rate tried, as much as it is: at "
                "a minimum already, or too noisy; take larger batches or more steps"
            )
        low, high = found.plateau()
        if len(found.runs) < 3:
            return "the budget ended before the best rate was bracketed; allow more steps"
        if best == max(found.runs):
            return f"the loss still falls faster at {rate:.3g}, the largest rate the budget reached; allow more steps"
        if best == min(found.runs):
            return f"the best rate is at or below {rate:.3g}, the smallest the budget reached; allow more steps"
        if rate_of(high) > WIDEST * rate_of(low):
            return (
                f"all rates from {rate_of(low):.3g} to {rate_of(high):.3g} do as well in so few steps; allow more steps"
            )
        halves = [found.centre(half) for half in HALVES]
        if rate_of(max(halves) - min(halves)) > APART:
            return (
                f"held-out mini-batches disagree, {rate_of(halves[0]):.3g} against {rate_of(halves[1]):.3g}; "
                "take larger batches or more steps"
            )
    centres = [found.centre() for found in searches]
    if rate_of(max(centres) - min(centres)) > APART:
        return f"repeats disagree, from {rate_of(min(centres)):.3g} to {rate_of(max(centres)):.3g}; allow more steps"
    return ""
