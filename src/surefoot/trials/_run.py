"""One rule on one problem in full: verdict, evidence, and the limit that its steps are to be compared with."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from surefoot.checks import Positive, checked
from surefoot.errors import InvalidInput
from surefoot.methods import Method
from surefoot.problems import Problem
from surefoot.progress import Clock, Progress
from surefoot.records import Record
from surefoot.rules import Schedule
from surefoot.solvers import Descent, Ending, descend
from surefoot.solvers.descend import Callback
from surefoot.spectra import Spectrum
from surefoot.stability import limits
from surefoot.tables import align, spread
from surefoot.trials._contenders import contender, known_of
from surefoot.trials._curvature import global_curvature
from surefoot.trials._minimum import minimum

# Rows of the table in print, spread over the powers of ten.
ROWS = 12
# Why a run stopped that a caller's `enough` ended.
REACHED = "reached its goal"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run(Record):
    """One rule on one problem.

    Parameters
    ----------
    problem : str
        Name of the problem.
    rule : str
        Name of the rule as it was typed.
    planned : bool
        Whether its steps are fixed in advance, so that the limit is theirs to keep.
    method : str
        The method whose steps it decided.
    limit : float or None
        The largest step that is stable everywhere, from the curvature's upper bound; None where there is no bound.
    limit_is : str
        Where the limit comes from.
    loss_is : str
        What the loss is a mean or a sum of, where the problem says it: the steps are for that one.
    descent : Descent
        The run itself.
    seconds : float
        Wall time.
    """

    problem: str
    rule: str
    planned: bool
    method: str
    limit: float | None
    limit_is: str
    loss_is: str = ""
    descent: Descent = field(repr=False)
    seconds: float

    @property
    def findings(self) -> tuple[str, ...]:
        """What the run shows, the verdict first."""
        trace, findings = self.descent.trace, [str(self.descent.verdict)]
        if self.descent.stopped not in ("converged", "all steps used", REACHED):
            findings.append(self.descent.stopped)
        if self.limit and len(trace) > 1 and (above := int(np.count_nonzero(trace.step > self.limit))):
            longest = float(np.nanmax(trace.step))
            text = f"{above} of {len(trace) - 1} steps exceed the limit {self.limit:.4g} ({self.limit_is}), "
            text += f"at up to {longest / self.limit:.3g} times it"
            if not self.planned:
                text += ": a limit for constant steps; this rule goes by the curvature that it meets"
            findings.append(text)
        risen = np.flatnonzero(trace.overshoot & (trace.change > 0))
        if risen.size:
            findings.append(f"first overshoot, {trace.explain(int(risen[0]))}")
        return tuple(findings)

    def __str__(self) -> str:
        trace, run = self.descent.trace, self.descent
        rows = [("point", "loss", "gradient norm", "step", "step x curvature", "")]
        for k in spread(len(trace), ROWS, powers=True):
            note = "" if trace.accepted[k] else "taken back"
            if trace.reason[k]:
                note += (": " if note else "") + trace.reason[k]
            rows.append((
                str(k), f"{trace.loss[k]:.8g}", f"{trace.gradient_norm[k]:.3g}", _brief(trace.step[k]),
                _brief(trace.step[k] * trace.curvature[k]), note,
            ))  # fmt: skip
        limit = "" if self.limit is None else f"; stable below {self.limit:.4g} ({self.limit_is})"
        ending = run.verdict.ending
        return "\n".join([
            f"{ending}: {run.stopped}, loss {run.loss:.8g}, gradient norm {run.gradient_norm:.3g} "
            f"after {run.evaluations} gradients",
            f"  for {self.problem}: {self.rule}",
            f"  {self.method}{limit}",
            *([f"  for f = {self.loss_is}"] if self.loss_is else []),
            "",
            *align(rows),
            "",
            *(f"  {finding.removeprefix(f'{ending}: ')}" for finding in self.findings),
        ])  # fmt: skip

    def derived(self) -> Mapping[str, Any]:
        return {"findings": self.findings}


@checked
def run(
    problem: Problem,
    rule: str = "auto",
    *,
    x0: Any = None,
    steps: int = 1000,
    step: Positive | None = None,
    tol: float = 1e-8,
    name: str = "",
    enough: Callback | None = None,
    progress: Progress | None = None,
) -> Run:
    """Run one named rule and say how it went.

    Parameters
    ----------
    problem : Problem
    rule : str
        A name as `surefoot.trials.race` takes them.
    x0 : array, shape (size,), optional
        The start; the problem's own otherwise.
    steps : int
        Most moves, those that are taken back included.
    step : float, optional
        The step of a schedule that has one, the first step to try of a rule that finds its own.
    tol : float
        Stop when the gradient norm fell to this part of its first value.
    name : str
        What to call the problem; its own name by default.
    enough : callable, optional
        Called with (x, loss) at each accepted point: whether the run has what it is for, and is good as it is. Such as
        `surefoot.problems.discrepancy`.
    progress : callable, optional
        Called with (done, total, label, remaining seconds or None).

    Returns
    -------
    Run

    Raises
    ------
    InvalidInput
        If the name is unknown or needs what the problem does not know, or a number is out of range.

    Examples
    --------
    >>> from surefoot.trials._run import run
    >>> from surefoot.problems import Quadratic
    >>> result = run(Quadratic([[1.0, 0.0], [0.0, 100.0]], [1.0, 1.0]), "constant:2.2/L")
    >>> result.descent.verdict.ending
    'diverged'
    """
    optimum = None
    if rule == "polyak":
        optimum = minimum(problem, problem.start() if x0 is None else problem.checked(x0)).value
    chosen = contender(rule, known_of(problem, steps, optimum=optimum, first=step))
    spec = global_curvature(problem)
    limit, limit_is = (None, "") if spec is None else _limit(spec, chosen.method)
    clock = Clock()

    def move(made: int, total: int, *_: object) -> None:
        if progress is not None:
            progress(made, total, rule, clock.left(made, total, least=total // 20))

    # what has no limit has no rate to predict either
    shown = None if limit is None else spec
    descent = descend(
        problem,
        x0,
        rule=chosen.rule,
        method=chosen.method,
        steps=steps,
        tol=tol,
        callback=enough,
        progress=move,
        spectrum=shown,
    )
    if enough is not None and enough(descent.x, descent.loss):
        good = replace(descent.verdict, ending=Ending.GOOD, remaining=0.0)
        descent = replace(descent, stopped=REACHED, verdict=good)
    return Run(
        problem=name or problem.name,
        rule=rule if step is None else f"{rule}, step {step:g}",
        planned=isinstance(chosen.rule, Schedule),
        method=chosen.method.name,
        limit=limit,
        limit_is=limit_is,
        loss_is=problem.loss_is,
        descent=descent,
        seconds=clock.seconds,
    )


def _limit(spec: Spectrum, method: Method) -> tuple[float | None, str]:
    """What the method bears on the sharp directions, and why."""
    try:
        allowed = limits(spec, method)
    except InvalidInput:  # a momentum that varies has no amplification factor
        return None, ""
    return allowed.curvature_limit, allowed.reasons.get("curvature limit", "")


def _brief(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"
