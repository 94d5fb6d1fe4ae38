"""The verb `sweep`: one constant rate after the other, and where each leads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from surefoot.cli._console import Meter, print_json, say, show_text
from surefoot.cli._failures import bad_input
from surefoot.cli._inputs import AsJson, LabelColumn, LossName, Quiet, ReportPath, Seed, TargetName, targets_of
from surefoot.cli._pictures import PngPath, SvgPath, check_paths, save_figures
from surefoot.errors import InvalidInput
from surefoot.problems import Problem
from surefoot.targets import ProblemTarget, Target
from surefoot.trials import Sweep
from surefoot.trials import sweep as compute_sweep

__all__ = ["sweep"]

Low = Annotated[
    float | None,
    typer.Option("--low", help="Lowest rate [0.1 x the stability limit at the start].", show_default=False),
]
High = Annotated[float | None, typer.Option("--high", help="Highest rate [4 x that limit].", show_default=False)]
Count = Annotated[int, typer.Option("--count", min=2, metavar="N", help="How many rates, evenly by their ratio.")]
Steps = Annotated[int, typer.Option("--steps", min=1, metavar="N", help="Steps of each run.")]
Samples = Annotated[
    int, typer.Option("--samples", min=1, metavar="N", help="For a network: samples in the full batch, at most.")
]
Momentum = Annotated[float, typer.Option("--momentum", help="Of heavy ball.")]
Clip = Annotated[
    float | None, typer.Option("--clip", metavar="C", help="Cut gradients to this norm.", show_default=False)
]
CsvPath = Annotated[Path | None, typer.Option("--csv", metavar="PATH", help="Write the table.", show_default=False)]


def sweep(
    target: TargetName,
    low: Low = None,
    high: High = None,
    count: Count = 24,
    steps: Steps = 500,
    samples: Samples = 512,
    momentum: Momentum = 0.0,
    clip: Clip = None,
    loss: LossName = None,
    label: LabelColumn = None,
    as_json: AsJson = False,
    report: ReportPath = None,
    svg: SvgPath = None,
    png: PngPath = None,
    csv: CsvPath = None,
    rng: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Run TARGET at one constant rate after the other: final loss, verdict and period against the rate.

    A network is trained with the gradient of all the samples, since mini-batches have no period.

    Exit code 0: done; 1: a computation failed; 2: wrong usage or bad input.
    """
    check_paths(svg, png, csv)
    targets = targets_of(target, loss, label, rng, report)
    with bad_input():
        if len(targets) > 1 and (svg or png or csv):
            raise InvalidInput(f"{target!r} stands for {len(targets)} problems, and a file takes one; use --report")
        if (low is None) != (high is None):
            raise InvalidInput("--low and --high go together; give both or neither")
        if low is not None and high is not None and not 0 < low < high < float("inf"):
            raise InvalidInput(f"needs 0 < low < high; got {low:g} and {high:g}")
    rates = None if low is None or high is None else np.geomspace(low, high, count)
    found: list[Sweep] = []
    for each in targets:
        with Meter(quiet=quiet) as meter, bad_input():
            problem, start = _problem(each, samples)
            found.append(
                compute_sweep(
                    problem,
                    rates,
                    x0=start,
                    steps=steps,
                    count=count,
                    momentum=momentum,
                    clip=clip,
                    rng=rng,
                    progress=meter,
                )
            )
    if as_json:
        print_json(_record(found))
    else:
        for i, one in enumerate(found):
            if i:
                say("")
            show_text(one)
    if svg or png:
        from surefoot.report.figures import sweep_figure

        save_figures(sweep_figure(found[0]), svg, png, to_stderr=as_json)
    if csv is not None:
        say(f"table: {found[0].to_csv(csv)}", error=as_json)
    if report is not None:
        from surefoot.report import write_report

        say(f"report: {write_report(_record(found), report)}", error=as_json)


def _problem(target: Target, samples: int) -> tuple[Problem, Any]:
    """The problem behind a target and where to start."""
    if isinstance(target, ProblemTarget):
        return target.problem, target.start
    from surefoot.training import Task
    from surefoot.training.tasks.as_problem import full_batch

    if not isinstance(target, Task):
        raise InvalidInput(
            f"{target.name} is neither a problem nor a training task; return one, or a tuple (model, loss, data)"
        )
    return full_batch(target, samples), None


def _record(sweeps: Sequence[Sweep]) -> dict[str, Any]:
    records = [one.to_dict() for one in sweeps]
    return records[0] if len(records) == 1 else {"kind": "sweeps", "sweeps": records}
