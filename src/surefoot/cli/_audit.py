"""The verb `audit`: the rates that ran against the plan."""

from pathlib import Path
from typing import Annotated

import typer

from surefoot.audits import audit as compute_audit
from surefoot.cli._failures import bad_input
from surefoot.cli._output import Output, deliver

LogPaths = Annotated[
    list[Path],
    typer.Argument(
        metavar="LOG",
        help="A log file (.csv, .tsv, .jsonl, .json, .parquet, text; also .gz), a TensorBoard event file, or the "
        "folder of a run; several are read one after another, for a run that was resumed.",
    ),
]
PlanText = Annotated[
    str,
    typer.Option(
        metavar="PLAN",
        help="NAME[:RATE][,key=value...], such as cosine:total=10000,warmup=500 or linear:3e-4,total=1000; or another "
        "log.",
    ),
]
Column = Annotated[str | None, typer.Option(metavar="NAME", help="The column (tag) of the rate.")]
Tolerance = Annotated[float, typer.Option(help="Difference to ignore, as a part of the largest rate.")]


def audit(out: Output, log: LogPaths, plan: PlanText, column: Column = None, tol: Tolerance = 1e-3) -> None:
    """Compare the learning rates in LOG with the planned schedule, and name the likely cause of a difference.

    Exit code 0: as planned; 1: it departs; 2: wrong usage or bad input.
    """
    with bad_input():
        result = compute_audit(log[0] if len(log) == 1 else log, plan, column=column, tol=tol)
    deliver([result], out, failed=result.verdict == "departs")
