"""The verbs `range`, `noise` and `groups`: what can be measured of a network before it is trained."""

from functools import partial
from typing import Annotated

import typer

from surefoot.cli._failures import bad_input
from surefoot.cli._output import Named, Output, deliver
from surefoot.cli._verb import Chosen

OptimizerName = Annotated[str, typer.Option(metavar="NAME", help="One of adamw, sgd, momentum and nesterov.")]
Budget = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Budget in optimizer steps [64% of the run, or of 500].", show_default=False),
]
Total = Annotated[int, typer.Option(min=1, metavar="N", help="Updates of the run the rate is for.")]
Rate = Annotated[
    float | None, typer.Option(metavar="RATE", help="A rate that is good for the whole network [from a range test].")
]


def range_(
    chosen: Chosen, out: Output, optimizer: OptimizerName = "adamw", total_steps: Total = 500, steps: Budget = None
) -> None:
    """Find the peak rate for TARGET, a network, by short rehearsals of its training at several rates side by side.

    Exit code 0: a rate; 1: none, with the reason; 2: wrong usage or bad input.
    """
    # imported here, as below: PyTorch takes seconds, and verbs without networks should not wait for it
    from surefoot.training.tasks.measures import range_of

    (task,) = chosen.targets
    with bad_input():
        compute = partial(range_of, task, optimizer, total_steps=total_steps, steps=steps, rng=chosen.rng)
        (test,) = out.gather([compute])
    deliver([Named(f"{chosen.name}, {optimizer}", test)], out, failed=bool(test.abstained))


def noise(chosen: Chosen, out: Output) -> None:
    """Measure the gradient noise of TARGET, a network, at its start: which batch sizes pay.

    Exit code 0: done; 1: a computation failed; 2: wrong usage or bad input.
    """
    from surefoot.training.tasks.measures import noise_of

    (task,) = chosen.targets
    deliver([Named(chosen.name, noise_of(task, rng=chosen.rng))], out)


def groups(chosen: Chosen, out: Output, optimizer: OptimizerName = "adamw", lr: Rate = None) -> None:
    """Suggest parameter groups for TARGET, a network: a rate and a schedule each, with the evidence.

    Exit code 0: done; 1: a computation failed; 2: wrong usage or bad input.
    """
    from surefoot.training.tasks.measures import range_of, suggest_groups_of

    (task,) = chosen.targets
    with bad_input():
        rate = range_of(task, optimizer, rng=chosen.rng).rate if lr is None else lr
        advice = suggest_groups_of(task, optimizer, rate=rate, rng=chosen.rng)
    deliver([Named(f"{chosen.name}, {optimizer} at {rate:.3g}", advice)], out)
