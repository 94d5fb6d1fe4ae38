"""The verb `why`: what became of a training run, from its log."""

from typing import Annotated

import typer

from surefoot.audits import why as explain
from surefoot.cli._audit import LogPaths
from surefoot.cli._failures import bad_input
from surefoot.cli._output import Output, deliver

PlanText = Annotated[
    str | None,
    typer.Option(
        metavar="PLAN",
        help="The planned schedule, as **surefoot audit** takes it, such as cosine:total=10000,warmup=500.",
    ),
]
LossColumn = Annotated[str | None, typer.Option(metavar="NAME", help="The column (tag) of the loss.")]
NormColumn = Annotated[str | None, typer.Option(metavar="NAME", help="The column of the gradient's norm.")]
RateColumn = Annotated[str | None, typer.Option(metavar="NAME", help="The column of the rate.")]
Entropy = Annotated[float | None, typer.Option(metavar="NATS", help="Loss of the best constant prediction.")]


def why(
    out: Output,
    log: LogPaths,
    plan: PlanText = None,
    loss: LossColumn = None,
    norm: NormColumn = None,
    rate: RateColumn = None,
    entropy: Entropy = None,
) -> None:
    """Say what became of the run in LOG, when, what could have caused it, and what to try first.

    Exit code 0: a good run; 1: it was not, or the log cannot tell; 2: wrong usage or bad input.
    """
    with bad_input():
        answer = explain(log[0] if len(log) == 1 else log, plan, loss=loss, norm=norm, rate=rate, entropy=entropy)
    deliver([answer], out, failed=not answer.fine)
