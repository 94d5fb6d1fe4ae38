"""What `run` does with a network: train it under a pilot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from surefoot.cli._console import Meter, print_json, say, show_text
from surefoot.cli._failures import FAILED, bad_input
from surefoot.errors import InvalidInput
from surefoot.targets import ProblemTarget, Target

__all__ = ["LogPath", "OptimizerName", "networks", "train_networks"]

OptimizerName = Annotated[
    str | None,
    typer.Option(
        "--optimizer",
        metavar="NAME",
        help="For a network: adamw, sgd, momentum or nesterov [adamw].",
        show_default=False,
    ),
]
LogPath = Annotated[
    Path | None,
    typer.Option(
        "--log",
        metavar="PATH",
        help="For a network: a .jsonl file, or a folder for TensorBoard's event files.",
        show_default=False,
    ),
]


def networks(targets: Sequence[Target], options: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether the targets are training tasks: then only `options` may be given, else only `others`.

    Raises
    ------
    Stop
        If one is given that says nothing here.
    """
    found = not any(isinstance(target, ProblemTarget) for target in targets)
    with bad_input():
        for option, value in (others if found else options).items():
            if value is not None:
                raise InvalidInput(f"{option} is {'not for' if found else 'for'} a network; leave it out")
    return found


def train_networks(
    targets: Sequence[Target],
    rule: str,
    *,
    steps: int,
    step: float | None,
    optimizer: str | None,
    log: Path | None,
    as_json: bool,
    report: Path | None,
    quiet: bool,
) -> None:
    """Train, show, log and report.

    Raises
    ------
    Exit
        With the code of failure if a run diverged.
    """
    from surefoot.training import train

    chosen = rule if step is None else f"{rule}:{step:g}"
    runs: list[Any] = []
    for target in targets:
        with Meter(quiet=quiet) as meter, bad_input():
            made = train(
                target,  # pyright: ignore[reportArgumentType]
                chosen,
                optimizer=optimizer,
                steps=steps,
                log=log,
                progress=meter,
            )
        runs.append(made)
    records = [made.to_dict() for made in runs]
    record = records[0] if len(records) == 1 else {"kind": "trainings", "trainings": records}
    if as_json:
        print_json(record)
    else:
        for i, made in enumerate(runs):
            if i:
                say("")
            show_text(made)
    if log is not None:
        say(f"log: {log.expanduser().absolute()}", error=as_json)
    if report is not None:
        from surefoot.report import write_report

        say(f"report: {write_report(record, report)}", error=as_json)
    if any(made.ending == "diverged" for made in runs):
        raise typer.Exit(FAILED)
