"""The verbs: each resolves what it is given, computes, and shows the result."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from surefoot.advice import Advice
from surefoot.advice import advise as compute_advice
from surefoot.cli._audit import audit
from surefoot.cli._console import Meter, print_json, say, show_advice, show_targets
from surefoot.cli._density import WantsDensity, with_density
from surefoot.cli._diagnose import ODE_PREFIX, diagnose
from surefoot.cli._failures import FAILED
from surefoot.cli._inputs import (
    AsJson,
    LabelColumn,
    LossName,
    Quiet,
    ReportPath,
    Seed,
    TargetName,
    Uncertain,
    made_uncertain,
    targets_of,
)
from surefoot.cli._pictures import orbit, region
from surefoot.cli._play import play
from surefoot.cli._race import race
from surefoot.cli._run import run
from surefoot.cli._scale import scale
from surefoot.cli._sweep import sweep
from surefoot.cli._why import why
from surefoot.targets import Target, built_ins

__all__ = ["app", "command"]

OTHER_TARGETS = {
    "FILE": "a .npy, .npz, .mtx or .csv file: a symmetric matrix, or a table of data with --loss",
    "MODULE:FACTORY": "a function of yours that returns (model, loss, data), a problem or a matrix",
}

app = typer.Typer(
    name="surefoot",
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="How big a step should I take next? Measured step limits and learning rates, with evidence.",
)


def command() -> Any:
    """The command behind the Typer application, with a `main` that takes arguments."""
    return typer.main.get_command(app)


def _version(wanted: bool) -> None:
    if wanted:
        from surefoot import __version__

        say(f"surefoot {__version__}")
        raise typer.Exit


@app.callback()
def surefoot(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """How big a step should I take next? Measured step limits and learning rates, with evidence."""


@app.command()
def advise(
    target: TargetName,
    loss: LossName = None,
    label: LabelColumn = None,
    as_json: AsJson = False,
    uncertain: Uncertain = None,
    density: WantsDensity = False,
    report: ReportPath = None,
    rng: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Say how big a step each optimizer can take on TARGET, why, and prove it by short runs.

    Measures the curvature, derives every optimizer's limit, puts the limit to the test, and finds the usable steps by
    short real runs.

    Exit code 0: advice; 1: none, with the reason; 2: wrong usage or bad input.
    """
    if target.startswith(ODE_PREFIX):
        diagnose(
            target,
            as_json=as_json,
            options={
                **{"--loss": loss, "--label": label, "--uncertain": uncertain, "--report": report},
                "--density": density or None,
            },
        )
        return
    targets = made_uncertain(targets_of(target, loss, label, rng, report), uncertain)
    advices = [_advice(each, rng, quiet) for each in targets]
    if density:
        advices = [with_density(advice, each, rng) for advice, each in zip(advices, targets, strict=True)]
    if as_json:
        print_json(_record(advices))
    else:
        for i, advice in enumerate(advices):
            if i:
                say("")
            show_advice(advice)
    if report is not None:
        _write(advices, report, to_stderr=as_json)
    if not all(_is_advice(advice) for advice in advices):
        raise typer.Exit(FAILED)


app.command()(run)
app.command()(race)
app.command()(region)
app.command()(orbit)
app.command()(sweep)
app.command()(audit)
app.command()(why)
app.command()(scale)
app.command()(play)


@app.command(name="list")
def list_targets() -> None:
    """List what TARGET can be."""
    from surefoot.targets import odes

    show_targets(built_ins(), {**odes(), **OTHER_TARGETS})


def _advice(target: Target, rng: int, quiet: bool) -> Advice:
    with Meter(quiet=quiet) as meter:
        return compute_advice(target, rng=rng, progress=meter)


def _record(advices: Sequence[Advice]) -> dict[str, Any]:
    records = [advice.to_dict() for advice in advices]
    return records[0] if len(records) == 1 else {"kind": "advices", "advices": records}


def _write(advices: Sequence[Advice], path: Path, *, to_stderr: bool) -> None:
    from surefoot.report import write_report

    where = write_report(_record(advices), path)
    say(f"report: {where}", error=to_stderr)


def _is_advice(advice: Advice) -> bool:
    """Whether at least one method got a suggestion."""
    return not advice.abstained and any(r.suggested is not None for r in advice.recommendations)
