"""The verbs `clip` and `warmup`: advice from numbers that a run has logged."""

from pathlib import Path
from typing import Annotated

import typer

from surefoot.cli._failures import bad_input
from surefoot.cli._output import Output, deliver
from surefoot.errors import InvalidInput
from surefoot.logs import read_log
from surefoot.recipes import clip_advice, logged_norms, warmup_advice

LogPath = Annotated[
    Path,
    typer.Argument(metavar="LOG", help="A log with the gradient's norm at each step, before clipping."),
]
Cap = Annotated[float | None, typer.Option("--clip", metavar="C", help="A cap of yours to judge.")]
Percentile = Annotated[float, typer.Option("--percentile", help="Percentile of the norms that is advised as the cap.")]
Column = Annotated[str | None, typer.Option("--column", metavar="NAME", help="The column (tag) of the norm.")]
Beta2 = Annotated[float | None, typer.Option("--beta2", help="Adam's beta2, for its rule of thumb.")]
Total = Annotated[int | None, typer.Option("--total", min=1, metavar="N", help="Steps of the run.")]
LimitsPath = Annotated[
    Path | None,
    typer.Option(
        "--limits", metavar="LOG", help="A log with the columns step and limit, as surefoot run --log writes it."
    ),
]


def clip(out: Output, log: LogPath, cap: Cap = None, percentile: Percentile = 95.0, column: Column = None) -> None:
    """Say where to clip gradients, from the norms in LOG, and what a cap of yours would cut.

    Exit code 0: done; 2: wrong usage or bad input.
    """
    with bad_input():
        found = clip_advice(logged_norms(log, column), cap, percentile=percentile)
    deliver([found], out)


def warmup(
    out: Output,
    lr: Annotated[float, typer.Option("--lr", metavar="RATE", help="The peak rate.")],
    limits: LimitsPath = None,
    beta2: Beta2 = None,
    total: Total = None,
) -> None:
    """Say how long to warm up to a rate, from the limits measured along a run, or from Adam's own memory.

    Exit code 0: a length; 1: none that the numbers support; 2: wrong usage or bad input.
    """
    with bad_input():
        record = None if limits is None else _limits(limits)
        found = warmup_advice(lr, limits=record, beta2=beta2, total=total)
    deliver([found], out, failed=found.steps is None)


def _limits(path: Path) -> list[tuple[int, float]]:
    """Step and limit of the rows that have both."""
    rows = [row for row in read_log(path).rows if row.get("step") is not None and row.get("limit") is not None]
    if not rows:
        raise InvalidInput(f"{path} has no rows with a step and a limit; log them, or give --beta2")
    try:
        return [(int(float(row["step"])), float(row["limit"])) for row in rows]
    except (TypeError, ValueError):
        raise InvalidInput(f"{path}: step and limit must be numbers; look at its rows") from None
