"""One constant step after the other: where each leads in the end, as a table against the step."""

import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from surefoot.checks import Positive, Range, Share, checked, random_generator, real_array
from surefoot.dynamics import period
from surefoot.errors import Interrupted, InvalidInput
from surefoot.methods import GradientDescent, HeavyBall, Method
from surefoot.operators import Array
from surefoot.problems import Problem
from surefoot.progress import Clock, Progress
from surefoot.records import Record
from surefoot.rules import Clipped, Constant
from surefoot.solvers import Ending, descend
from surefoot.spectra import spectrum
from surefoot.stability import limits
from surefoot.tables import Table, align
from surefoot.trials._workers import each

# States kept at the end of a run to see a period in, which is at most half of them.
KEPT = 64
# Fewer steps of a run leave no two periods of that many states to compare.
FEWEST_STEPS = 2 * KEPT
# A period is looked for in the loss and along this many random directions: an orbit that closes there closes.
DIRECTIONS = 3
# By convention looser than what `dynamics.period` takes by default: these runs are shorter.
TOLERANCE = 1e-5
# A run that gave back this part of the most that it had gained has collapsed.
COLLAPSED = 0.5
# Where rates are tried by default, in units of the stability limit at the start: from slow convergence to where
# few runs come back, by convention.
REACH = (0.1, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Record):
    """Where one rate led.

    Parameters
    ----------
    rate : float
    loss : float
        Loss at the end; nan where the run left the finite numbers.
    best : float
        The lowest on the way.
    ending : Ending
        ``oscillating`` where a period above 1 is seen; ``collapsed`` where the run settled with most of what it had
        gained lost again; else that of the run's verdict.
    period : int
        1 where the run settled to a point, q where its states repeat after q steps, 0 where neither is seen: still
        on the way, irregular, or gone.
    evidence : str
        What the verdict rests on.
    """

    rate: float
    loss: float
    best: float
    ending: Ending
    period: int
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep(Table):
    """Where each of many constant rates leads, from the same start.

    Parameters
    ----------
    problem : str
    method : str
    steps : int
        Most steps of each run.
    initial : float
        The loss at the start.
    limit : float
        The linear stability limit at the start: the smallest that its measured curvature allows; inf without positive
        curvature.
    clip : float or None
        The norm at which gradients were cut.
    outcomes : tuple of Outcome
        Where each rate led, in order of the rate.
    seconds : float
    """

    problem: str
    method: str
    steps: int
    initial: float
    limit: float
    clip: float | None
    outcomes: tuple[Outcome, ...] = field(repr=False)
    seconds: float

    @property
    def best(self) -> Outcome | None:
        """The rate with the lowest loss at the end; None where no run ended at a finite one."""
        finite = [outcome for outcome in self.outcomes if math.isfinite(outcome.loss)]
        return min(finite, key=lambda outcome: outcome.loss, default=None)

    @property
    def finding(self) -> str:
        """What the table shows, in a sentence."""
        best = self.best
        if best is None:
            return "no rate ended at a finite loss; try lower ones"
        text = f"the loss ends lowest at the rate {best.rate:.4g}"
        if math.isfinite(self.limit):
            text += f", {best.rate / self.limit:.3g} times the stability limit at the start, {self.limit:.4g}"
        edges = {self.outcomes[0].rate: "lowest", self.outcomes[-1].rate: "highest"}
        if best.rate in edges and len(self.outcomes) > 1:
            text += f"; that is the {edges[best.rate]} rate tried: look further"
        return text

    def __str__(self) -> str:
        rows = [("rate", "x limit", "final loss", "lowest", "period", "verdict")]
        rows += [
            (
                f"{o.rate:.5g}",
                f"{o.rate / self.limit:.3g}" if math.isfinite(self.limit) else "-",
                f"{o.loss:.6g}" if math.isfinite(o.loss) else "-",
                f"{o.best:.6g}",
                f"{o.period}" if o.period else "-",
                o.ending,
            )
            for o in self.outcomes
        ]
        clipped = "" if self.clip is None else f", gradients cut to the norm {self.clip:g}"
        return "\n".join([
            self.finding,
            f"  for {self.problem}",
            f"  {self.method}{clipped}, {self.steps} steps from the loss {self.initial:.6g}",
            "",
            *align(rows),
        ])  # fmt: skip

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """A row (rate, loss, best, period, verdict) for each rate, the heading first; nan where the run left."""
        yield "rate", "loss", "best", "period", "verdict"
        yield from ((o.rate, o.loss, o.best, o.period, o.ending) for o in self.outcomes)

    def derived(self) -> Mapping[str, Any]:
        return {"finding": self.finding}


@checked
def sweep(
    problem: Problem,
    rates: ArrayLike | None = None,
    *,
    x0: Any = None,
    steps: Annotated[int, Range(f"[{FEWEST_STEPS}, inf)", "a period cannot be seen in fewer")] = 500,
    count: Annotated[int, Range("[2, inf)")] = 24,
    momentum: Share = 0.0,
    clip: Positive | None = None,
    name: str = "",
    rng: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Run a constant rate after the other from the same start, and say where each leads.

    Parameters
    ----------
    problem : Problem
        For a network `surefoot.training.as_problem`: full-batch gradients, as mini-batches have no period.
    rates : array, shape (r,), optional
        Positive. Default: `count` of them, evenly on a logarithmic scale from 0.1 to 4 times the stability limit at the
        start.
    x0 : array, shape (size,), optional
        Default: the problem's own start.
    steps : int
        Steps of each run.
    count : int
    momentum : float
        Momentum of heavy ball, in [0, 1); 0 for plain gradient descent.
    clip : float, optional
        The norm at which gradients are cut.
    name : str
        Default: the problem's.
    rng : int
        Seed of the measurement and of the directions in which a period is looked for.
    workers : int, optional
        Rates tried at once, by joblib; -1 for one a core. Default: what a surrounding ``joblib.parallel_config`` says,
        else one after the other.
    progress : callable, optional
        Called with (rates done, rates, what is being done, seconds left).

    Returns
    -------
    Sweep

    Raises
    ------
    InvalidInput
        If a number is out of range, or rates are to be chosen and the start has no positive curvature.
    Interrupted
        On Ctrl-C, once a rate is done; its `partial` is the sweep of those that are.
    NotFinite
        If the loss is not finite at the start.

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.trials._sweep import sweep
    >>> from surefoot.problems import Quadratic
    >>> result = sweep(Quadratic(np.diag([1.0, 10.0])), [0.1, 0.19, 0.21], x0=[1.0, 1.0], steps=200)
    >>> [(o.ending, o.period) for o in result.outcomes]
    [('good', 1), ('good', 1), ('diverged', 0)]
    """
    clock = Clock()
    start = np.asarray(problem.start() if x0 is None else problem.checked(x0), dtype=np.float64)
    method: Method = HeavyBall(momentum) if momentum else GradientDescent()
    limit = limits(spectrum(problem.hessian(start), which="largest", rng=rng), method).curvature_limit
    chosen = _rates(rates, limit, count)
    outcomes: list[Outcome] = []

    def result() -> Sweep:
        return Sweep(
            problem=name or problem.name,
            method=method.name,
            steps=steps,
            initial=problem.value(start),
            limit=limit,
            clip=clip,
            outcomes=tuple(outcomes),
            seconds=clock.seconds,
        )

    try:
        run = partial(_outcome, problem, start, method=method, clip=clip, steps=steps, rng=rng)
        with closing(each(run, chosen, workers)) as results:
            for i, rate in enumerate(chosen):
                if progress is not None:
                    progress(i, len(chosen), f"rate {rate:.4g}", clock.left(i, len(chosen)))
                outcomes.append(next(results))
    except KeyboardInterrupt as stop:
        if not outcomes:
            raise
        raise Interrupted(result()) from stop
    return result()


def _rates(rates: ArrayLike | None, limit: float, count: int) -> list[float]:
    if rates is None:
        if not math.isfinite(limit):
            raise InvalidInput("the start has no positive curvature to choose rates by; give the rates")
        return np.geomspace(REACH[0] * limit, REACH[1] * limit, count).tolist()
    chosen = np.atleast_1d(real_array(rates, "rates"))
    if chosen.ndim != 1 or not chosen.size or not (np.isfinite(chosen) & (chosen > 0)).all():
        raise InvalidInput(f"rates must be positive and finite numbers, at least one; got {rates!r}")
    return sorted(chosen.tolist())


def _outcome(
    problem: Problem, start: Array, rate: float, *, method: Method, clip: float | None, steps: int, rng: int
) -> Outcome:
    # the rule's cap is on the move, clipping's on the gradient
    rule = Constant(step=rate) if clip is None else Clipped(rule=Constant(step=rate), cap=rate * clip)
    directions = random_generator(rng).standard_normal((DIRECTIONS, start.size))
    seen: list[list[float]] = []

    def watch(x: Array, loss: float) -> None:
        seen.append([loss, *(directions @ x).tolist()])

    run = descend(problem, start, rule=rule, method=method, steps=steps, callback=watch, curvature=False)
    # a run that met a value that is not finite ends before it: its last good point is not where the rate leads
    finite = bool(np.isfinite(run.trace.loss[-1]) and np.isfinite(run.trace.gradient_norm[-1]))
    settled = int(finite)
    if finite and run.stopped == "all steps used":
        settled = int(period(np.asarray(seen[-KEPT:])[:, :, None], tolerance=TOLERANCE)[0])
    losses = run.trace.loss[np.isfinite(run.trace.loss)]
    gained, lost = float(losses[0] - losses.min()), float(run.loss - losses.min())
    ending = run.verdict.ending
    if settled > 1:
        ending = Ending.OSCILLATING
    elif settled == 1 and lost > COLLAPSED * gained:
        ending = Ending.COLLAPSED
    return Outcome(
        rate=rate,
        loss=run.loss if finite else math.nan,
        best=float(losses.min()),
        ending=ending,
        period=settled,
        evidence=str(run.verdict).partition(": ")[2],
    )
