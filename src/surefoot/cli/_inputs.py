"""What the verbs take: arguments and options that several of them share, and the targets behind a name."""

from pathlib import Path
from typing import Annotated

import typer

from surefoot.cli._failures import bad_input
from surefoot.errors import InvalidInput
from surefoot.targets import ProblemTarget, Target, resolve

__all__ = [
    "AsJson",
    "Condition",
    "LabelColumn",
    "LossName",
    "Quiet",
    "ReportPath",
    "Seed",
    "Size",
    "SpectrumName",
    "TargetName",
    "Uncertain",
    "made_uncertain",
    "problems_of",
    "targets_of",
]

TargetName = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="A built-in name (see **surefoot list**), a .npy, .npz, .mtx or .csv file, or module:factory.",
        show_default=False,
    ),
]
LossName = Annotated[
    str | None,
    typer.Option("--loss", help="For a file: quadratic, least-squares, logistic or softmax.", show_default=False),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        "--label",
        metavar="COLUMN",
        help="For a file: the column to predict, by name or by index from 0. The last one by default.",
        show_default=False,
    ),
]
Condition = Annotated[
    float | None,
    typer.Option("--condition", metavar="K", help="For quadratic: the condition number [1e4].", show_default=False),
]
SpectrumName = Annotated[
    str | None,
    typer.Option("--spectrum", help="For quadratic: linear, log, clustered or spiked [linear].", show_default=False),
]
Size = Annotated[
    int | None,
    typer.Option("--size", metavar="N", help="For quadratic: the number of unknowns [1000].", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the whole record as JSON, and nothing else, on stdout.")]
ReportPath = Annotated[
    Path | None,
    typer.Option("--report", metavar="PATH", help="Write one self-contained HTML file.", show_default=False),
]
Uncertain = Annotated[
    str | None,
    typer.Option(
        "--uncertain",
        metavar="PERCENT",
        help="Limits that hold while every feature's scale is off by up to so much, such as 10%.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option("--rng", min=0, metavar="N", help="Seed: the same one gives the same numbers.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no cost preview on stderr.")]


def targets_of(
    name: str,
    loss: str | None,
    label: str | None,
    rng: int,
    report: Path | None,
    *,
    condition: float | None = None,
    spectrum: str | None = None,
    size: int | None = None,
    image: Path | None = None,
    sigma: float | None = None,
    noise: float | None = None,
) -> tuple[Target, ...]:
    """The targets of a verb; a report that could not be written is refused before anything is computed."""
    with bad_input():
        if report is not None:
            from surefoot.report import check_destination

            check_destination(report)
        return resolve(
            name,
            loss=loss,
            label=label,
            rng=rng,
            condition=condition,
            spectrum=spectrum,
            size=size,
            image=image,
            sigma=sigma,
            noise=noise,
        )


def made_uncertain(targets: tuple[Target, ...], percent: str | None) -> tuple[Target, ...]:
    """The targets with uncertain features; networks have none that could be told apart from their weights."""
    if percent is None:
        return targets
    with bad_input():
        try:
            fraction = float(percent.removesuffix("%")) / 100
        except ValueError as error:
            raise InvalidInput(f"--uncertain takes a percentage such as 10%; got {percent!r}") from error
        if not all(isinstance(target, ProblemTarget) for target in targets):
            raise InvalidInput("--uncertain works on problems with features; a network has none of known scale")
        return tuple(target.made_uncertain(fraction) for target in targets if isinstance(target, ProblemTarget))


def problems_of(verb: str, name: str, targets: tuple[Target, ...]) -> tuple[ProblemTarget, ...]:
    """The targets, if they are classical problems; what runs a network is not here yet."""
    problems = tuple(target for target in targets if isinstance(target, ProblemTarget))
    with bad_input():
        if len(problems) < len(targets):
            raise InvalidInput(
                f"surefoot {verb} works on classical problems; networks such as {name} are not available here yet; "
                f"use surefoot advise {name}"
            )
    return problems
