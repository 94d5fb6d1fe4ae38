"""The verb `run`: one rule on one problem, told in full."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from surefoot.cli._console import Meter, print_json, say, show_text
from surefoot.cli._edge import EDGE, edge
from surefoot.cli._failures import FAILED, bad_input
from surefoot.cli._images import BlurSigma, ImageFile, NoiseLevel, PicturePath, check_picture, restored, save_picture
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
from surefoot.cli._train import LogPath, OptimizerName, networks, train_networks
from surefoot.targets.restoration import Restoration
from surefoot.trials import Run
from surefoot.trials import run as compute_run

__all__ = ["run"]

RuleName = Annotated[
    str, typer.Option("--rule", metavar="RULE", help="Such as auto, bb, armijo, constant:0.1 or constant:1.9/L.")
]
Steps = Annotated[int, typer.Option("--steps", min=1, metavar="N", help="Most moves.")]
Step = Annotated[
    float | None,
    typer.Option("--step", help="The step of a schedule; the first one that another rule tries.", show_default=False),
]
TOL = 1e-8
Tolerance = Annotated[float, typer.Option("--tol", help="Stop when the gradient norm fell to this part of its first.")]


def run(
    target: TargetName,
    rule: RuleName = "auto",
    steps: Steps = 1000,
    step: Step = None,
    tol: Tolerance = TOL,
    loss: LossName = None,
    label: LabelColumn = None,
    condition: Condition = None,
    spectrum: SpectrumName = None,
    size: Size = None,
    image: ImageFile = None,
    sigma: BlurSigma = None,
    noise: NoiseLevel = None,
    output: PicturePath = None,
    optimizer: OptimizerName = None,
    log: LogPath = None,
    as_json: AsJson = False,
    report: ReportPath = None,
    rng: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Run one rule on TARGET and say how it went: verdict, evidence, step by step.

    A network is trained under the pilot, on mini-batches.

    TARGET may also be edge: a network's sharpness along full-batch training, against the limit of its rate.

    Exit code 0: done; 1: it diverged, or a computation failed; 2: wrong usage or bad input.
    """
    if target == EDGE:
        given = {"--step": step, "--loss": loss, "--label": label, "--condition": condition, "--spectrum": spectrum}
        given |= {"--size": size, "--image": image, "--sigma": sigma, "--noise": noise, "--output": output}
        given["--rule"] = None if rule == "auto" else rule
        edge(as_json=as_json, report=report, rng=rng, quiet=quiet, options=given)
        return
    check_picture(target, output)
    found = targets_of(
        target, loss, label, rng, report,
        condition=condition, spectrum=spectrum, size=size, image=image, sigma=sigma, noise=noise,
    )  # fmt: skip
    if networks(found, {"--optimizer": optimizer, "--log": log}, {"--tol": None if tol == TOL else tol}):
        train_networks(
            found, rule, steps=steps, step=step, optimizer=optimizer, log=log,
            as_json=as_json, report=report, quiet=quiet,
        )  # fmt: skip
        return
    runs: list[tuple[Run, Restoration | None]] = []
    for each in problems_of("run", target, found):
        with Meter(quiet=quiet) as meter, bad_input():
            made = compute_run(
                each.problem,
                rule,
                x0=each.start,
                steps=steps,
                step=step,
                tol=tol,
                name=each.name,
                enough=each.enough,
                progress=meter,
            )
        runs.append((made, restored(each, made, above=report is not None, quiet=quiet)))
    if as_json:
        print_json(_record(runs))
    else:
        for i, (made, picture) in enumerate(runs):
            if i:
                say("")
            show_text(made)
            if picture is not None:
                say("\n".join(f"  {line}" for line in str(picture).splitlines()))
    for _, picture in runs:
        if picture is not None and output is not None:
            save_picture(picture.after, output, to_stderr=as_json)
    if report is not None:
        from surefoot.report import write_report

        say(f"report: {write_report(_record(runs), report)}", error=as_json)
    if any(made.descent.verdict.ending == "diverged" for made, _ in runs):
        raise typer.Exit(FAILED)


def _record(runs: Sequence[tuple[Run, Restoration | None]]) -> dict[str, Any]:
    records = [
        made.to_dict() | ({} if picture is None else {"restoration": picture.to_dict()}) for made, picture in runs
    ]
    return records[0] if len(records) == 1 else {"kind": "runs", "runs": records}
