"""The verbs `clip` and `warmup`: advice from numbers that a run has logged."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from surefoot.audits import why
from surefoot.cli._failures import bad_input
from surefoot.cli._output import Output, deliver
from surefoot.errors import InvalidInput
from surefoot.logs import LogFile, read_log
from surefoot.recipes import ClipAdvice, clip_advice, logged_norms, warmup_advice

LogPath = Annotated[
    Path, typer.Argument(metavar="LOG", help="A log with the gradient's norm at each step, before clipping.")
]
Cap = Annotated[float | None, typer.Option("--clip", metavar="C", help="Also judge this cap.")]
Percentile = Annotated[float, typer.Option(help="Percentile of the norms to advise as the cap.")]
Column = Annotated[str | None, typer.Option(metavar="NAME", help="The column (tag) of the norm.")]
Beta2 = Annotated[float | None, typer.Option(help="Adam's beta2, for its rule of thumb.")]
Total = Annotated[int | None, typer.Option(min=1, metavar="N", help="Number of steps of the run.")]
LimitsPath = Annotated[
    Path | None,
    typer.Option(metavar="LOG", help="A log with the columns step and limit, as surefoot run --log writes it."),
]


def clip(out: Output, log: LogPath, cap: Cap = None, percentile: Percentile = 95.0, column: Column = None) -> None:
    """Say where to clip gradients, from the norms in LOG, and what a cap of yours would cut.

    If the run diverged, only the norms before that count.

    Exit code 0: done; 2: wrong usage or bad input.
    """
    with bad_input():
        advice = _clip_advice(read_log(log), cap, percentile, column)
    deliver([advice], out)


def warmup(
    out: Output,
    lr: Annotated[float, typer.Option(metavar="RATE", help="The peak rate.")],
    limits: LimitsPath = None,
    beta2: Beta2 = None,
    total: Total = None,
) -> None:
    """Say how long to warm up to a rate, from the limits measured along a run, or from Adam's own memory.

    Exit code 0: a length; 1: none that the numbers support; 2: wrong usage or bad input.
    """
    with bad_input():
        record = None if limits is None else _limits(limits)
        advice = warmup_advice(lr, limits=record, beta2=beta2, total=total)
    deliver([advice], out, failed=advice.steps is None)


def _clip_advice(log: LogFile, cap: float | None, percentile: float, column: str | None) -> ClipAdvice:
    """Advice from the norms before the run diverged, if it did: a percentile of those after would cap nothing."""
    norms, run = logged_norms(log, column), why(log, norm=column)
    if run.last_good is None:
        return clip_advice(norms, cap, percentile=percentile)
    good = logged_norms(log, column, until=run.last_good)
    advice = clip_advice(good, cap, percentile=percentile)
    reason = (
        f"the loss diverged from {run.unit} {run.last_good:,.6g} on: the {len(good)} norms until then count, of "
        f"{len(norms)}; surefoot why {log.name} says more"
    )
    return replace(advice, reasons=(reason, *advice.reasons))


def _limits(path: Path) -> list[tuple[int, float]]:
    """Step and limit of the rows that have both."""
    rows = [row for row in read_log(path).rows if row.get("step") is not None and row.get("limit") is not None]
    if not rows:
        raise InvalidInput(f"{path} has no rows with a step and a limit; log them, or give --beta2")
    try:
        return [(int(float(row["step"])), float(row["limit"])) for row in rows]
    except (TypeError, ValueError):
        raise InvalidInput(f"{path}: step and limit must be numbers; look at its rows") from None
