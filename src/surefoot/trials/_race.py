"""Rules side by side on one problem, with SciPy's methods beside them: what each gradient bought."""

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from surefoot.checks import Count, Finite, Fraction, checked
from surefoot.errors import Interrupted, InvalidInput, NotFinite
from surefoot.operators import Array
from surefoot.problems import Problem
from surefoot.progress import Clock, Progress
from surefoot.solvers import Ending, descend
from surefoot.trials._baselines import BASELINES, baselines_of
from surefoot.trials._contenders import Contender, contender, known_of, usual_contenders
from surefoot.trials._counted import Counted
from surefoot.trials._minimum import Minimum, minimum
from surefoot.trials._race_result import Entry, Race
from surefoot.trials._workers import Here, each


@checked
def race(
    problem: Problem,
    rules: Sequence[str] | None = None,
    *,
    x0: Any = None,
    steps: Count = 1000,
    tol: Fraction = 1e-8,
    goal: Finite | None = None,
    baselines: bool = True,
    name: str = "",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Race:
    """Run rules on one problem from one start, and count what each gradient bought.

        gap(k) = (least f among the first k gradients - f*)/(f(x0) - f*)

    f* is found first, by every means at hand and off the clock. A run ends at a gap of `tol`, or after `steps`
    gradients.

    Parameters
    ----------
    problem : Problem
        Bounded below.
    rules : sequence of str, optional
        Names as `surefoot.rules.named_rule` takes them, and ``fista``, ``nesterov``, ``heavy-ball``. Default: those
        worth seeing on this problem.
    x0 : array, shape (size,), optional
        The start; the problem's own otherwise.
    steps : int
        Most gradients of each.
    tol : float
        Relative gap at which a run is over.
    goal : float, optional
        The loss that counts as f*, below that at the start, where the minimum itself is not wanted: an inverse problem
        is over when its data are fitted to their noise.
    baselines : bool
        Run SciPy's L-BFGS-B as well, and its conjugate gradients on a convex quadratic.
    name : str
        What to call the problem; its own name by default.
    workers : int, optional
        Rules that run at once, by joblib; -1 for one a core. Default: what a surrounding ``joblib.parallel_config``
        says, else one after the other, where alone `Entry.seconds` are comparable.
    progress : callable, optional
        Called with (done, total, label, remaining seconds or None).

    Returns
    -------
    Race

    Raises
    ------
    InvalidInput
        If a name is unknown or needs what the problem does not know, the problem has no minimum, or the start is one
        or has reached the goal.
    Interrupted
        On Ctrl-C, once a rule is done; its `partial` is the race of those that are.

    Examples
    --------
    >>> from surefoot.trials._race import race
    >>> from surefoot.problems import Quadratic
    >>> result = race(Quadratic([[1.0, 0.0], [0.0, 100.0]], [1.0, 1.0]), ["auto", "constant:safe"], baselines=False)
    >>> [entry.name for entry in result.entries if entry.reached(1e-6)]
    ['auto', 'constant:safe']
    """
    clock = Clock()
    start = np.array(problem.start() if x0 is None else problem.checked(x0), dtype=np.float64)
    initial = problem.value(start)
    # the gap is measured from here: without a number there is none
    if not math.isfinite(initial):
        raise NotFinite(f"the loss at the start is {initial!r}; start elsewhere")
    # a search for the minimum of an unbounded loss would not end
    _refuse_without_minimum(problem)
    # names first: a mistake in one is reported before anything is computed
    before = known_of(problem, steps, optimum=initial)
    names = tuple(usual_contenders(problem, before) if rules is None else rules)
    for rule in names:
        contender(rule, before)
    least = minimum(problem, start) if goal is None else Minimum(value=goal, error=0.0, how="given", given=True)
    if not least.value < initial:
        where = "at a minimum" if goal is None else f"at the goal {goal:.6g}"
        raise InvalidInput(f"the start is {where} already, f = {initial:.6g}; start elsewhere")
    # again, now that f* is known: Polyak's rule reads it
    known = known_of(problem, steps, optimum=least.value)
    runners: list[Contender | str] = [contender(rule, known) for rule in names]
    runners += baselines_of(problem) if baselines else ()
    field = _Field(problem, start, initial, least, steps, tol, len(runners), Here(progress))
    made: list[_Made] = []

    def result() -> Race:
        # a run may have gone lower than every search for the minimum did; then that is f* for all of them
        final = least.below(min((loss for run in made for loss in run.losses if loss == loss), default=math.inf))
        return Race(
            problem=name or problem.name,
            initial=initial,
            least=final,
            steps=steps,
            tol=tol,
            entries=tuple(run.with_curve(initial, final) for run in made),
            seconds=clock.seconds,
        )

    try:
        with closing(each(field.run, list(enumerate(runners)), workers)) as runs:
            for run in runs:
                made.append(run)
                field.tell(len(made), run.entry.name)
    except KeyboardInterrupt as stop:
        if not made:
            raise
        raise Interrupted(result()) from stop
    return result()


def _refuse_without_minimum(problem: Problem) -> None:
    if not problem.constant_curvature:
        return
    smallest = problem.curvature().smallest
    if smallest.upper < 0:
        raise InvalidInput(
            f"the smallest curvature is {smallest}, so the loss has no minimum to race to; "
            f"add ridge > {-smallest.lower:.3g}"
        )


@dataclass(frozen=True, slots=True)
class _Made:
    """A run that is over, with the loss at each of its gradients and when: its gap waits for the final f*."""

    entry: Entry
    losses: list[float]
    seconds: list[float]

    def with_curve(self, initial: float, least: Minimum) -> Entry:
        """The entry with its curve, now that f* is final: the lowest loss that any of the runs met, at most."""
        losses = np.asarray(self.losses, dtype=np.float64)
        losses = np.where(np.isfinite(losses), losses, np.inf)
        best = np.minimum.accumulate(losses) - least.value
        gap = np.maximum(best / (initial - least.value), 0.0)
        return replace(self.entry, gap=gap, seconds=np.asarray(self.seconds, dtype=np.float64))


class _Field:
    """What the runs of one race have in common; a run leaves it as it is, so a worker may have a copy."""

    def __init__(
        self,
        problem: Problem,
        start: Array,
        initial: float,
        least: Minimum,
        steps: int,
        tol: float,
        runs: int,
        progress: Here,
    ) -> None:
        self.problem, self.start = problem, start
        self.goal = least.value + tol * (initial - least.value)
        self.steps, self.runs = steps, runs
        self.progress = progress
        self.clock = Clock()

    def run(self, numbered: tuple[int, Contender | str]) -> _Made:
        """One run: of a rule, or of a method of SciPy's by its name."""
        i, runner = numbered
        return self._baseline(i, runner) if isinstance(runner, str) else self._rule(i, runner)

    def _rule(self, i: int, runner: Contender) -> _Made:
        counted, goal = Counted(self.problem), self.goal
        run = descend(
            counted,
            self.start,
            rule=runner.rule,
            method=runner.method,
            # the start costs a gradient too, so that all have the same number of them
            steps=self.steps - 1,
            # a race ends by the gap alone
            tol=0.0,
            callback=lambda _, loss: loss <= goal,
            progress=lambda steps, *_: self.tell(i, runner.name, steps),
            curvature=False,
        )
        reached = run.loss <= goal or run.converged
        entry = Entry(
            name=runner.name,
            baseline=False,
            ending=Ending.GOOD if reached else run.verdict.ending,
            stopped="" if reached or run.stopped == "all steps used" else run.stopped,
            evidence=str(run.verdict),
            rejected=run.verdict.rejected,
        )
        return _Made(entry, counted.losses, counted.seconds)

    def _baseline(self, i: int, name: str) -> _Made:
        counted = Counted(self.problem, self.goal, self.steps)
        self.tell(i, name)
        # SciPy's line searches try points far out, whose warnings are of no use here
        with np.errstate(all="ignore"):
            stopped = BASELINES[name](counted, self.start)
        reached = min((loss for loss in counted.losses if loss == loss), default=math.inf) <= self.goal
        ending = Ending.GOOD if reached else Ending.SLOW
        entry = Entry(name=name, baseline=True, ending=ending, stopped="" if reached else stopped)
        return _Made(entry, counted.losses, counted.seconds)

    def tell(self, runs: int, label: str, steps: int = 0) -> None:
        """Report progress: the runs that are over, and the steps of the next one."""
        done, total = runs * (self.steps + 1) + steps, self.runs * (self.steps + 1)
        self.progress(done, total, label, self.clock.left(done, total, least=self.steps // 10))
