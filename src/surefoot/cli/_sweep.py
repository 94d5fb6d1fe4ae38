"""The verb `sweep`: one constant rate after the other, and where each leads."""

from functools import partial
from typing import Annotated, Any

import numpy as np
import typer

from surefoot.cli._failures import bad_input
from surefoot.cli._output import Output, deliver
from surefoot.cli._verb import Chosen, Workers
from surefoot.errors import InvalidInput
from surefoot.problems import Problem
from surefoot.targets import ProblemTarget, Target
from surefoot.trials import FEWEST_STEPS
from surefoot.trials import sweep as compute_sweep

Low = Annotated[float | None, typer.Option(help="Lowest rate [0.1 x the stability limit at the start].")]
High = Annotated[float | None, typer.Option(help="Highest rate [4 x that limit].")]
Count = Annotated[int, typer.Option(min=2, metavar="N", help="Number of rates, evenly on a log scale.")]
Steps = Annotated[int, typer.Option(min=FEWEST_STEPS, metavar="N", help="Steps of each run.")]
Samples = Annotated[int, typer.Option(min=1, metavar="N", help="For a network: samples in the full batch, at most.")]
Momentum = Annotated[float, typer.Option(help="Momentum of heavy ball.")]
Clip = Annotated[float | None, typer.Option(metavar="C", help="Clip gradients to this norm.")]


def sweep(
    chosen: Chosen,
    out: Output,
    low: Low = None,
    high: High = None,
    count: Count = 24,
    steps: Steps = 500,
    samples: Samples = 512,
    momentum: Momentum = 0.0,
    clip: Clip = None,
    workers: Workers = None,
) -> None:
    """Run TARGET at one constant rate after another: final loss, verdict and period for each rate.

    A network is trained with the gradient of all the samples, since mini-batches have no period.

    Exit code 0: done; 1: a computation failed; 2: wrong usage or bad input.
    """
    with bad_input(), out.progress() as progress:
        rates = _rates(low, high, count)
        sweeps = out.gather(
            partial(
                compute_sweep,
                problem,
                rates,
                x0=start,
                steps=steps,
                count=count,
                momentum=momentum,
                clip=clip,
                rng=chosen.rng,
                workers=workers,
                progress=progress,
            )
            for problem, start in (_problem(target, samples) for target in chosen.targets)
        )
    deliver(sweeps, out)


def _rates(low: float | None, high: float | None, count: int) -> Any:
    """The rates asked for; None where they are to be found around the limit."""
    if low is None and high is None:
        return None
    if low is None or high is None:
        raise InvalidInput("--low and --high go together; give both or neither")
    if not 0 < low < high < float("inf"):
        raise InvalidInput(f"needs 0 < low < high; got {low:g} and {high:g}")
    return np.geomspace(low, high, count)


def _problem(target: Target, samples: int) -> tuple[Problem, Any]:
    """The problem behind a target and where to start."""
    if isinstance(target, ProblemTarget):
        return target.problem, target.start
    from surefoot.training.tasks.as_problem import full_batch

    return full_batch(target, samples), None  # pyright: ignore[reportArgumentType] - the registry says it is a Task
