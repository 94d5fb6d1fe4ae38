"""The verb `audit`: the rates that ran against the plan."""

from pathlib import Path
from typing import Annotated

import typer

from surefoot.cli._console import print_json, say, show_text
from surefoot.cli._failures import FAILED, bad_input
from surefoot.cli._inputs import AsJson, ReportPath
from surefoot.cli._pictures import PngPath, SvgPath, check_paths, save_figures

__all__ = ["audit"]

LogPath = Annotated[
    Path,
    typer.Argument(
        metavar="LOG",
        help="A .csv, .tsv, .jsonl or .json log, a TensorBoard event file, or the folder that it is in.",
        show_default=False,
    ),
]
PlanText = Annotated[
    str,
    typer.Option(
        "--plan",
        metavar="PLAN",
        help="NAME[:RATE][,key=value...], such as cosine:total=10000,warmup=500 or linear:3e-4,total=1000.",
        show_default=False,
    ),
]
Column = Annotated[
    str | None, typer.Option("--column", metavar="NAME", help="The column (tag) of the rate.", show_default=False)
]
Tolerance = Annotated[float, typer.Option("--tol", help="Part of the largest rate that is let pass.")]


def audit(
    log: LogPath,
    plan: PlanText,
    column: Column = None,
    tol: Tolerance = 1e-3,
    as_json: AsJson = False,
    report: ReportPath = None,
    svg: SvgPath = None,
    png: PngPath = None,
) -> None:
    """Compare the learning rates in LOG with the planned schedule, and name the likely cause of a difference.

    Exit code 0: as planned; 1: it departs; 2: wrong usage or bad input.
    """
    from surefoot.audits import audit as compute_audit

    check_paths(report, svg, png)
    with bad_input():
        found = compute_audit(log, plan, column=column, tol=tol)
    if as_json:
        print_json(found.to_dict())
    else:
        show_text(found)
    if report is not None:
        from surefoot.report import write_report

        say(f"report: {write_report(found.to_dict(), report)}", error=as_json)
    if svg is not None or png is not None:
        from surefoot.report.figures import audit_figure

        save_figures(audit_figure(found.to_dict()), svg, png, to_stderr=as_json)
    if found.verdict == "departs":
        raise typer.Exit(FAILED)
