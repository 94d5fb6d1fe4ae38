"""The verb `run`: one rule on one problem, told in full."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from surefoot.cli._console import Meter, print_json, say, show_text
from surefoot.cli._failures import FAILED, bad_input
from surefoot.cli._inputs import (
    AsJson,
    Condition,
    LabelColumn,
    LossName,
    Quiet,
    ReportPath,
    Seed,
    Size,
    SpectrumName,
    TargetName,
    problems_of,
    targets_of,
)
from surefoot.drivers import Run
from surefoot.drivers import run as compute_run

__all__ = ["run"]

RuleName = Annotated[
    str, typer.Option("--rule", metavar="RULE", help="Such as auto, bb, armijo, constant:0.1 or constant:1.9/L.")
]
Steps = Annotated[int, typer.Option("--steps", min=1, metavar="N", help="Most moves.")]
Step = Annotated[
    float | None,
    typer.Option("--step", help="The step of a schedule; the first one that another rule tries.", show_default=False),
]
Tolerance = Annotated[float, typer.Option("--tol", help="Stop when the gradient norm fell to this part of its first.")]


def run(
    target: TargetName,
    rule: RuleName = "auto",
    steps: Steps = 1000,
    step: Step = None,
    tol: Tolerance = 1e-8,
    loss: LossName = None,
    label: LabelColumn = None,
    condition: Condition = None,
    spectrum: SpectrumName = None,
    size: Size = None,
    as_json: AsJson = False,
    report: ReportPath = None,
    rng: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Run one rule on TARGET and say how it went: verdict, evidence, step by step.

    Exit code 0: done; 1: it diverged, or a computation failed; 2: wrong usage or bad input.
    """
    found = targets_of(target, loss, label, rng, report, condition=condition, spectrum=spectrum, size=size)
    runs: list[Run] = []
    for each in problems_of("run", target, found):
        with Meter(quiet=quiet) as meter, bad_input():
            made = compute_run(
                each.problem, rule, x0=each.start, steps=steps, step=step, tol=tol, name=each.name, progress=meter
            )
        runs.append(made)
    if as_json:
        print_json(_record(runs))
    else:
        for i, made in enumerate(runs):
            if i:
                say("")
            show_text(made)
    if report is not None:
        from surefoot.report import write_report

        say(f"report: {write_report(_record(runs), report)}", error=as_json)
    if any(made.descent.verdict.word == "diverged" for made in runs):
        raise typer.Exit(FAILED)


def _record(runs: Sequence[Run]) -> dict[str, Any]:
    records = [made.to_dict() for made in runs]
    return records[0] if len(records) == 1 else {"kind": "runs", "runs": records}
