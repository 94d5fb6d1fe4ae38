"""What became of a run and why: all looks at it, put together into a verdict, causes and what to try."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from surefoot.audits._audit import audit
from surefoot.audits.failures._numbers import look_at_numbers
from surefoot.audits.failures._progress import FAR_TOO_SHORT, FEW, fall, flat, look_at_progress, reach, straight
from surefoot.audits.failures._run import Look, Run, number, run_of
from surefoot.audits.failures._stability import look_at_stability
from surefoot.audits.failures._types import Cause, Finding, Verdict, Why
from surefoot.checks import checked
from surefoot.errors import InvalidInput
from surefoot.logs import Curve, Curves, LogFile, read_curves, read_log
from surefoot.tables import abridge

# More causes than this are no answer; and more advice than this is not followed.
MOST = 3
# Rows of each curve that are kept for a figure.
KEPT = 600
# A cause with less than this part of the weight of the first is left out: it would only be noise.
FAINT = 0.35


@checked
def why(
    log: Any,
    plan: Any = None,
    *,
    loss: str | None = None,
    norm: str | None = None,
    rate: str | None = None,
    entropy: float | None = None,
) -> Why:
    """Say what became of a training run, when, and what could have caused it, from its log.

    Looks at the loss, the norm of the gradient, the learning rate and the loss scale, as far as they were logged: what
    is not finite first, spikes and whether they passed, a rise and how fast it grew, oscillation and its period,
    plateaus, progress. A finding is what the log shows. A cause is a *heuristic* conclusion from findings, unless it is
    marked as certain: then the log shows the cause itself. Where the log cannot tell, the verdict says so.

    Parameters
    ----------
    log : path, DataFrame, mapping, or sequence
        What loggers write, in a file, a folder, or memory, as `surefoot.logs.read_log` takes it.
    plan : str, Schedule, sequence, callable, or scheduler, optional
        The schedule that was meant: as `surefoot.audit` takes it, whose causes are looked for too.
    loss, norm, rate : str, optional
        Columns of the loss, the gradient's norm and the rate, where their names do not say so.
    entropy : float, optional
        Loss of the best constant prediction, such as the entropy of the labels in nats: a plateau there is named.

    Returns
    -------
    Why

    Raises
    ------
    InvalidInput
        If the log cannot be read, or has none of these columns.
    InvalidType
        If it is no log.

    Examples
    --------
    >>> from surefoot import why
    >>> loss = [2.0, 1.5, 1.2, 1.0, 0.9, 0.85, 0.8] + [0.8 + 0.01 * 1.5**k for k in range(12)]
    >>> result = why({"step": range(19), "loss": loss, "lr": [0.3] * 19})
    >>> result.verdict, result.causes[0].word
    ('diverging', 'rate above the limit')
    """
    # a loss near the largest number there is overflows in a difference: what is not finite then explains nothing
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return _explain(read_log(log), plan, {"loss": loss, "norm": norm, "rate": rate}, entropy)


def _explain(file: LogFile, plan: Any, names: Mapping[str, str | None], entropy: float | None) -> Why:
    curves = read_curves(file, names)
    if not {"loss", "norm", "rate", "scale"} & set(curves.by_role()):
        columns = list(dict.fromkeys(name for row in file.rows for name in row))
        raise InvalidInput(
            f"{file.name}: no column of a loss, a gradient norm or a rate among {abridge(columns, 20)}; "
            "name it with loss=, norm= or rate= (--loss, --norm, --rate)"
        )
    run = run_of(curves, entropy)
    look = Look()
    look_at_numbers(run, look)
    look_at_stability(run, look)
    look_at_progress(run, look)
    _look_at_resumes(run, look)
    if plan is not None:
        _look_at_schedule(look, file, plan, names["rate"])
    causes = _rank(_drop_consequences(look.causes))
    verdict, summary = _verdict(run, look.findings)
    # faults first, otherwise in the order in which they were looked for, which is that of a run's life
    findings = sorted(look.findings, key=lambda finding: not finding.fault)
    if verdict == "good" and not any(finding.fault for finding in findings):
        causes = [cause for cause in causes if cause.word == "bad batch"]  # even a good run's spike has a cause
    return Why(
        log=curves.name,
        unit=curves.unit,
        verdict=verdict,
        summary=summary,
        findings=tuple(findings),
        causes=tuple(causes),
        try_first=tuple(_advice(causes)),
        measures=tuple(_measures(run, causes, verdict, plan)),
        notes=tuple(_notes(curves)),
        curves={role: _points(curve) for role, curve in curves.by_role().items() if len(curve)},
        marks=tuple(sorted(look.marks)),
    )


def _drop_consequences(causes: list[Cause]) -> list[Cause]:
    """Without what another one brings about: a schedule that ran another way is why a run annealed early."""
    words = {cause.word for cause in causes}
    needless = {"schedule: rate is 0"} if "rate is 0" in words else set[str]()
    if any(word.startswith("schedule: ") for word in words):
        needless.add("annealed early")
    return [cause for cause in causes if cause.word not in needless]


def _rank(causes: Sequence[Cause]) -> list[Cause]:
    """The heaviest first, one of each word; those that hardly speak are left out beside one that does."""
    ordered = sorted(causes, key=lambda cause: -cause.weight)
    words: dict[str, Cause] = {}
    for cause in ordered:
        words.setdefault(cause.word, cause)
    kept = list(words.values())[:MOST]
    return [cause for cause in kept if cause.weight >= FAINT * kept[0].weight]


def _advice(causes: Sequence[Cause]) -> list[str]:
    """The first advice of each cause, then the second of each."""
    # in turns: the second thing to try is the first one of the next cause, in case the first was wrong
    rounds = range(max((len(cause.try_first) for cause in causes), default=0))
    texts = [cause.try_first[i] for i in rounds for cause in causes if i < len(cause.try_first)]
    return list(dict.fromkeys(texts))[:MOST]


def _verdict(run: Run, findings: Sequence[Finding]) -> tuple[Verdict, str]:
    words = {finding.word for finding in findings if finding.fault}
    loss = run.loss
    if (
        run.ends_broken
        or "falls without end" in words
        or run.rise is not None
        or (run.curves.loss is not None and not len(loss))
    ):
        return "diverging", _headline(findings)
    norm = run.curves.norm
    if norm is not None and len(norm) and not np.isfinite(norm.values[-1]) and "norm not finite" in words:
        return "diverging", _headline(findings)
    if "rate is 0" in words:
        return "too small", "the rate was 0 all along"
    if not len(loss):
        return "cannot tell", "no loss was logged; " + (_headline(findings) if words else "nothing else stands out")
    if len(loss) < FEW:
        return "cannot tell", f"{len(loss)} losses are too few to tell a trend from noise"
    went = f"the loss went from {number(loss.first)} to {number(loss.last)}"
    if "oscillation" in words:
        return "oscillating", f"{went} and swings"
    if straight(run):
        return "too small", f"{went} and had hardly begun to level off"
    if flat(run):
        if loss.last == 0:
            return "good", "the loss is 0: nothing is left to learn"
        gain = reach(run)
        if "no gradient" not in words and gain is not None and gain < FAR_TOO_SHORT * abs(loss.last):
            return "too small", "the loss hardly moved, and the steps were too short to move it"
        return (
            "cannot tell",
            "no progress; steps too short, too long and a model that cannot learn look alike",
        )
    if fall(run) <= 0:
        return "cannot tell", f"{went}, up and down: no trend stands out from the noise"
    if "plateau" in {finding.word for finding in findings}:
        return "cannot tell", f"{went} and stood still early: converged or stuck, the loss alone cannot tell"
    return "good", went + ("" if not words else "; but " + _headline(findings))


def _headline(findings: Sequence[Finding]) -> str:
    """What counts most: divergence before what is not finite, which it ends in."""
    faults = [finding for finding in findings if finding.fault]
    order = ("diverged", "slow divergence", "jump", "falls without end")
    first = next((finding for word in order for finding in faults if finding.word == word), None)
    first = first or next(iter(faults), None)
    return first.says if first is not None else "nothing stands out"


def _look_at_resumes(run: Run, look: Look) -> None:
    """Add where the log goes back: a run that was resumed, and whether its loss went on."""
    curve = run.logged_loss
    for step in run.resumes:
        says = f"the log goes back to {run.at(step)}: the run was resumed there"
        i = 1 + int(np.argmax(np.diff(curve.steps) < 0))
        before, after = curve.values[max(i - 5, 0) : i], curve.values[i : i + 5]
        both = np.isfinite(before).any() and np.isfinite(after).any()
        up = float(np.nanmedian(after) - np.nanmedian(before)) if both else 0.0
        jumped = up > max(6 * run.loss.noise, 0.15 * abs(fall(run)))
        says += f", and the loss jumped by {number(up)}" if jumped else ""
        look.find(word="resumed", says=says, step=step, fault=jumped, mark="resumed")
        if jumped and run.rise is None:
            look.suspect(
                word="resume lost state",
                says=f"the loss was higher after the resume at {run.at(step)} than before",
                try_first=("load the optimizer's, the scheduler's and the scaler's state with the model's",),
                measure="the loss of one fixed batch just before saving and just after loading",
                weight=3,
            )


def _look_at_schedule(look: Look, file: LogFile, plan: Any, rate: str | None) -> None:
    """Add where the schedule departs from the plan."""
    result = audit(file, plan, column=rate)
    if result.verdict == "as planned":
        look.find(word="as planned", says=f"the rates follow the plan {result.plan}", fault=False)
        return
    step = result.first_departure
    says = f"the rates depart from the plan {result.plan}" + (f" at step {step:g}" if step is not None else "")
    look.find(word="schedule", says=f"{says}: {result.explanation}", step=step, mark="departs from the plan")
    look.suspect(
        word=f"schedule: {result.cause}",
        says=result.explanation,
        certain=result.cause != "unknown" and not any("cannot tell" in line for line in result.evidence),
        try_first=(result.fix,) if result.fix else (),
        measure="surefoot audit LOG --plan ...: planned and run rates side by side",
        weight=3.6,
    )


def _measures(run: Run, causes: Sequence[Cause], verdict: Verdict, plan: Any) -> list[str]:
    """What would tell more: of the causes, and of what was not logged."""
    # with a plan, whether the schedule is the one that was meant is known
    texts = [c.measure for c in causes if c.measure and (plan is None or ": whether" not in c.measure)]
    if verdict != "good":
        missing = [
            name
            for name, curve in (("the gradient's norm", run.curves.norm), ("the rate", run.curves.rate))
            if curve is None
        ]
        if missing:
            texts.append(f"log {' and '.join(missing)} too, at every step: without them causes cannot be told apart")
        if 0 < len(run.loss) < 4 * FEW and run.loss.every > 1:
            texts.append(f"log every step: one in {number(run.loss.every)} hides how fast it went")
    if plan is None and len(run.rate) and verdict != "good":
        texts.append("--plan with the schedule that was meant: whether it is the one that ran")
    return list(dict.fromkeys(texts))[: MOST + 1]


def _notes(curves: Curves) -> list[str]:
    names = {"validation": "held-out loss", "norm": "gradient norm", "scale": "loss scale"}
    read = (f"{names.get(role, role)} ({curve.column})" for role, curve in curves.by_role().items())
    notes = [f"read: {', '.join(read)}"]
    for role, columns in curves.others.items():
        if columns:
            more = f" and {len(columns) - 3} more" if len(columns) > 3 else ""
            notes.append(f"also there for the {role}: {abridge(columns[:3])}{more}")
    if curves.unit == "row":
        notes.append("no column of steps or epochs: rows are counted from 0")
    return notes + list(curves.notes)


def _points(curve: Curve) -> dict[str, tuple[float, ...]]:
    """Some of the points: of each stretch its least and its largest value, so that no spike is lost."""
    finite = np.isfinite(curve.values)
    steps, values = curve.steps[finite], curve.values[finite]
    if len(values) > KEPT:
        edges = np.linspace(0, len(values), KEPT // 2 + 1).astype(int)
        kept = sorted({int(f(values[a:b])) + int(a) for a, b in pairwise(edges) for f in (np.argmin, np.argmax)})
        steps, values = steps[kept], values[kept]
    broken = curve.steps[~finite][:KEPT]
    return {"steps": tuple(steps.tolist()), "values": tuple(values.tolist()), "broken": tuple(broken.tolist())}
