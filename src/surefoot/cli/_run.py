"""The verb `run`: one rule on one target, outcome in full."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from surefoot.checks import as_path
from surefoot.cli._failures import bad_input
from surefoot.cli._output import Output, deliver
from surefoot.cli._verb import Chosen
from surefoot.errors import InvalidInput
from surefoot.targets import KINDS, Kind
from surefoot.targets.deblur import DeblurTarget
from surefoot.targets.images import write_png
from surefoot.targets.restoration import Restoration, beyond, restoration
from surefoot.trials import Run
from surefoot.trials import run as compute_run

# Defaults of `trials.run`, here to tell what was given from what was not.
STEPS, TOL = 1000, 1e-8
RuleName = Annotated[
    str | None, typer.Option(metavar="RULE", help="Such as auto, bb, armijo, constant:1.9/L or module:factory [auto].")
]
Steps = Annotated[int | None, typer.Option(min=1, metavar="N", help=f"Largest number of moves [{STEPS}].")]
Step = Annotated[float | None, typer.Option(help="The step of a schedule; the first one that another rule tries.")]
Tolerance = Annotated[
    float | None,
    typer.Option(help=f"For a problem: stop when the gradient norm is this fraction of its first value [{TOL:g}]."),
]
PicturePath = Annotated[Path | None, typer.Option(metavar="PATH", help="For deblur: write the result as PNG.")]
OptimizerName = Annotated[
    str | None, typer.Option(metavar="NAME", help="For a network: adamw, sgd, momentum or nesterov [adamw].")
]
LogPath = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="For a network: a .jsonl file, or a folder for TensorBoard's event files."),
]
# What each kind of target is run with.
OPTIONS: dict[Kind, frozenset[str]] = {
    "problem": frozenset({"rule", "steps", "step", "tol", "output"}),
    "network": frozenset({"rule", "steps", "step", "optimizer", "log"}),
}


def run(
    chosen: Chosen,
    out: Output,
    rule: RuleName = None,
    steps: Steps = None,
    step: Step = None,
    tol: Tolerance = None,
    output: PicturePath = None,
    optimizer: OptimizerName = None,
    log: LogPath = None,
) -> None:
    """Run one rule on TARGET and say how it went: the verdict, the evidence, and the steps on the way.

    A network is trained by the pilot, on mini-batches.

    Exit code 0: done; 1: it diverged, or a computation failed; 2: wrong usage or bad input.
    """
    options = {"rule": rule, "steps": steps, "step": step, "tol": tol, "output": output}
    options |= {"optimizer": optimizer, "log": log}
    given = {name: value for name, value in options.items() if value is not None}
    with bad_input():
        for name in given:
            if name not in OPTIONS[chosen.kind]:
                takers = " or ".join(KINDS[kind][0] for kind, taken in OPTIONS.items() if name in taken)
                what = KINDS[chosen.kind][0]
                raise InvalidInput(f"--{name} is for {takers}, and {chosen.name} is {what}; leave it out")
    {"problem": _descend, "network": _train}[chosen.kind](chosen, out, given)


def _descend(chosen: Chosen, out: Output, given: Mapping[str, Any]) -> None:
    _check_picture(chosen, given.get("output"))
    made: list[Outcome] = []
    with out.progress() as progress:
        for target in chosen.targets:
            with bad_input():
                result = compute_run(
                    target.problem,
                    given.get("rule", "auto"),
                    x0=target.start,
                    steps=given.get("steps", STEPS),
                    step=given.get("step"),
                    tol=given.get("tol", TOL),
                    name=target.name,
                    enough=target.enough,
                    progress=progress,
                )
            # a report also shows what the picture becomes above the limit
            tried = beyond(target, progress=progress) if isinstance(target, DeblurTarget) and out.report else None
            picture = restoration(target, result.descent, tried) if isinstance(target, DeblurTarget) else None
            made.append(Outcome(result, picture))
    notes: list[str] = []
    if "output" in given and made[0].picture is not None:
        path = as_path(given["output"]).absolute()
        with bad_input():
            write_png(path, made[0].picture.after, getattr(chosen.targets[0], "depth", 8))
        notes.append(f"picture: {path}")
    deliver(made, out, notes=notes, failed=any(outcome.run.descent.verdict.ending == "diverged" for outcome in made))


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run, and what it made of a picture where the target is one."""

    run: Run
    picture: Restoration | None

    @property
    def problem(self) -> str:
        """Name of the problem."""
        return self.run.problem

    def __str__(self) -> str:
        lines = [] if self.picture is None else [f"  {line}" for line in str(self.picture).splitlines()]
        return "\n".join([str(self.run), *lines])

    def to_dict(self) -> dict[str, Any]:
        """For JSON and for the report."""
        picture = {} if self.picture is None else {"restoration": self.picture.to_dict()}
        return {**self.run.to_dict(), **picture}


def _check_picture(chosen: Chosen, path: Path | None) -> None:
    """Refuse a picture that could not be written, before anything is computed."""
    if path is None:
        return
    from surefoot.report import check_folder

    with bad_input():
        if not isinstance(chosen.targets[0], DeblurTarget):
            raise InvalidInput(f"--output writes a picture, and {chosen.name!r} has none; leave it out")
        check_folder(path)
        if path.suffix.lower() != ".png":
            raise InvalidInput(f"--output writes PNG; give a name such as {path.with_suffix('.png').name}")


def _train(chosen: Chosen, out: Output, given: Mapping[str, Any]) -> None:
    from surefoot.training import train

    rule = given.get("rule", "auto")
    with bad_input(), out.progress() as progress:
        if "step" in given:
            if ":" in rule:
                raise InvalidInput(f"{rule} says its own step, and --step was given as well; leave one of them out")
            rule = f"{rule}:{given['step']:g}"
        runs = [
            train(
                target,
                rule,
                optimizer=given.get("optimizer"),
                steps=given.get("steps", STEPS),
                log=given.get("log"),
                progress=progress,
            )
            for target in chosen.targets
        ]
    notes = [f"log: {as_path(given['log']).absolute()}"] if "log" in given else []
    deliver(runs, out, notes=notes, failed=any(made.ending == "diverged" for made in runs))
