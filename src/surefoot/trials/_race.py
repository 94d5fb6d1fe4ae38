"""Rules side by side on one problem, with SciPy's methods beside them: what each gradient bought."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from surefoot.checks import checked
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

__all__ = ["race"]


@checked
def race(
    problem: Problem,
    rules: Sequence[str] | None = None,
    *,
    x0: Any = None,
    steps: int = 1000,
    tol: float = 1e-8,
    goal: float | None = None,
    baselines: bool = True,
    name: str = "",
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
    if steps < 1 or not 0 < tol < 1:
        raise InvalidInput(f"steps must be at least 1 and tol in (0, 1); got {steps!r} and {tol!r}")
    clock = Clock()
    start = np.array(problem.start() if x0 is None else problem.checked(x0), dtype=np.float64)
    initial = problem.value(start)
    if not math.isfinite(initial):
        raise NotFinite(f"the loss at the start is {initial!r}; start elsewhere")
    _refuse_without_minimum(problem)
    # names first: a mistake in one is said before anything is computed
    told = known_of(problem, steps, optimum=initial)
    names = tuple(usual_contenders(problem, told) if rules is None else rules)
    for each in names:
        contender(each, told)
    least = minimum(problem, start) if goal is None else Minimum(value=goal, error=0.0, how="given", given=True)
    if not least.value < initial:
        where = "at a minimum" if goal is None else f"at the goal {goal:.6g}"
        raise InvalidInput(f"the start is {where} already, f = {initial:.6g}; start elsewhere")
    field = _Field(problem, start, initial, least, steps, tol, progress)

    def result() -> Race:
        field.conclude()
        return Race(
            problem=name or problem.name,
            initial=initial,
            least=field.least,
            steps=steps,
            tol=tol,
            entries=field.entries(),
            seconds=clock.seconds,
        )

    try:
        field.run(names, baselines_of(problem) if baselines else ())
    except KeyboardInterrupt as stop:
        if not field.runs:
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


class _Field:
    """The runs of one race."""

    def __init__(
        self,
        problem: Problem,
        start: Array,
        initial: float,
        least: Minimum,
        steps: int,
        tol: float,
        progress: Progress | None,
    ) -> None:
        self.problem, self.start, self.initial = problem, start, initial
        self.least, self.steps, self.tol = least, steps, tol
        self.progress = progress
        self.clock = Clock()
        self.done = 0
        self.total = 1
        self.runs: list[tuple[Entry, Counted]] = []

    @property
    def goal(self) -> float:
        return self.least.value + self.tol * (self.initial - self.least.value)

    def run(self, names: Sequence[str], baselines: Sequence[str]) -> None:
        """All of them, one after the other."""
        known = known_of(self.problem, self.steps, optimum=self.least.value)
        self.total = (len(names) + len(baselines)) * (self.steps + 1)
        for name in names:
            self.runs.append(self._rule(contender(name, known)))
        for name in baselines:
            self.runs.append(self._baseline(name))

    def conclude(self) -> None:
        """Take the lowest loss that any of them met for f*, where it is lower than what was known."""
        lowest = min((loss for _, counted in self.runs for loss in counted.losses if loss == loss), default=math.inf)
        self.least = self.least.below(lowest)

    def entries(self) -> tuple[Entry, ...]:
        """What was run, with its curves."""
        return tuple(self._with_curve(entry, counted) for entry, counted in self.runs)

    def _rule(self, runner: Contender) -> tuple[Entry, Counted]:
        counted, goal, before = Counted(self.problem), self.goal, self.done

        def move(made: int, *_: object) -> None:
            self.done = before + made
            self._tell(runner.name)

        run = descend(
            counted,
            self.start,
            rule=runner.rule,
            method=runner.method,
            steps=self.steps - 1,
            tol=0.0,
            callback=lambda _, loss: loss <= goal,
            progress=move,
            curvature=False,
        )
        self.done = before + self.steps + 1
        reached = run.loss <= goal or run.converged
        entry = Entry(
            name=runner.name,
            baseline=False,
            ending=Ending.GOOD if reached else run.verdict.ending,
            stopped="" if reached or run.stopped == "all steps used" else run.stopped,
            evidence=str(run.verdict),
            rejected=run.verdict.rejected,
        )
        return entry, counted

    def _baseline(self, name: str) -> tuple[Entry, Counted]:
        counted = Counted(self.problem, self.goal, self.steps)
        self._tell(name)
        with np.errstate(all="ignore"):
            stopped = BASELINES[name](counted, self.start)
        self.done += self.steps + 1
        reached = min((loss for loss in counted.losses if loss == loss), default=math.inf) <= self.goal
        ending = Ending.GOOD if reached else Ending.SLOW
        return Entry(name=name, baseline=True, ending=ending, stopped="" if reached else stopped), counted

    def _with_curve(self, entry: Entry, counted: Counted) -> Entry:
        """The same with its curve, now that f* is final."""
        losses = np.asarray(counted.losses, dtype=np.float64)
        losses = np.where(np.isfinite(losses), losses, np.inf)
        best = np.minimum.accumulate(losses) - self.least.value
        gap = np.maximum(best / (self.initial - self.least.value), 0.0)
        return replace(entry, gap=gap, seconds=np.asarray(counted.seconds, dtype=np.float64))

    def _tell(self, label: str) -> None:
        if self.progress is None:
            return
        self.progress(self.done, self.total, label, self.clock.left(self.done, self.total, least=self.steps // 10))
