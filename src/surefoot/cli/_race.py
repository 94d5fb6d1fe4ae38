"""The verb `race`: rules side by side, with SciPy's methods beside them."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from surefoot.cli._console import Meter, print_json, say, show_text
from surefoot.cli._failures import Stop, bad_input
from surefoot.cli._images import BlurSigma, ImageFile, NoiseLevel
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
from surefoot.errors import InvalidInput
from surefoot.trials import Race
from surefoot.trials import race as compute_race

__all__ = ["race"]

RuleNames = Annotated[
    str | None,
    typer.Option(
        "--rules",
        metavar="A,B,...",
        help="Names of rules, such as auto,bb,constant:1.9/L. Those worth seeing on the target by default.",
        show_default=False,
    ),
]
Steps = Annotated[int, typer.Option("--steps", min=1, metavar="N", help="Most gradients of each.")]
Gap = Annotated[float, typer.Option("--tol", help="Relative gap at which a rule is done.")]
CsvPath = Annotated[
    Path | None,
    typer.Option("--csv", metavar="PATH", help="Write every point of every curve as a table.", show_default=False),
]


def race(
    target: TargetName,
    rules: RuleNames = None,
    steps: Steps = 1000,
    tol: Gap = 1e-8,
    loss: LossName = None,
    label: LabelColumn = None,
    condition: Condition = None,
    spectrum: SpectrumName = None,
    size: Size = None,
    image: ImageFile = None,
    sigma: BlurSigma = None,
    noise: NoiseLevel = None,
    as_json: AsJson = False,
    report: ReportPath = None,
    csv: CsvPath = None,
    rng: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Run rules side by side on TARGET and count what each gradient bought.

    SciPy's L-BFGS-B, and its conjugate gradients on a quadratic, run beside them.

    Exit code 0: done; 1: a computation failed; 2: wrong usage or bad input.
    """
    found = targets_of(
        target, loss, label, rng, report,
        condition=condition, spectrum=spectrum, size=size, image=image, sigma=sigma, noise=noise,
    )  # fmt: skip
    problems = problems_of("race", target, found)
    names = None if rules is None else [name for name in rules.split(",") if name.strip()]
    with bad_input():
        if names == []:
            raise InvalidInput("--rules is empty; name some, such as auto,bb,armijo, or leave it out")
        if csv is not None and not csv.expanduser().absolute().parent.is_dir():
            raise InvalidInput(f"there is no folder {csv.expanduser().absolute().parent}; create it")
    races: list[Race] = []
    for each in problems:
        with Meter(quiet=quiet) as meter, bad_input():
            made = compute_race(
                each.problem,
                names,
                x0=each.start,
                steps=steps,
                tol=tol,
                goal=each.goal,
                name=each.name,
                progress=meter,
            )
        races.append(made)
    if as_json:
        print_json(_record(races))
    else:
        for i, made in enumerate(races):
            if i:
                say("")
            show_text(made)
    if csv is not None:
        _write_table(races, csv)
        say(f"csv: {csv.expanduser().absolute()}", error=as_json)
    if report is not None:
        from surefoot.report import write_report

        say(f"report: {write_report(_record(races), report)}", error=as_json)


def _record(races: Sequence[Race]) -> dict[str, Any]:
    records = [made.to_dict() for made in races]
    return records[0] if len(records) == 1 else {"kind": "races", "races": records}


def _write_table(races: Sequence[Race], path: Path) -> None:
    """One table; with several problems, their name in a column of its own in front.

    Raises
    ------
    Stop
        If it cannot be written.
    """
    several = len(races) > 1
    try:
        with path.expanduser().open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            for i, made in enumerate(races):
                for j, row in enumerate(made.rows()):
                    if j == 0 and i > 0:
                        continue
                    writer.writerow((made.problem if j else "problem", *row) if several else row)
    except OSError as error:
        raise Stop(f"cannot write {path}: {error.strerror or error}", "write the table elsewhere") from error
