"""The verb `race`: rules side by side, with SciPy's methods beside them."""

from functools import partial
from typing import Annotated

import typer

from surefoot.cli._failures import bad_input
from surefoot.cli._output import Output, deliver
from surefoot.cli._verb import Chosen, Workers
from surefoot.errors import InvalidInput
from surefoot.trials import race as compute_race

RuleNames = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,...",
        help="Names of rules, such as auto,bb,constant:1.9/L or module:factory. Default: those worth seeing on TARGET.",
    ),
]
Steps = Annotated[int, typer.Option(min=1, metavar="N", help="Largest number of gradients for each rule.")]
Gap = Annotated[float, typer.Option(help="Relative gap at which a run ends.")]


def race(
    chosen: Chosen,
    out: Output,
    rules: RuleNames = None,
    steps: Steps = 1000,
    tol: Gap = 1e-8,
    workers: Workers = None,
) -> None:
    """Run rules side by side on TARGET and count what each gradient bought.

    SciPy's L-BFGS-B, and its conjugate gradients on a quadratic, run beside them.

    Exit code 0: done; 1: a computation failed; 2: wrong usage or bad input.
    """
    with bad_input(), out.progress() as progress:
        names = None if rules is None else [name for name in rules.split(",") if name.strip()]
        if names == []:
            raise InvalidInput("--rules is empty; name some, such as auto,bb,armijo, or leave it out")
        races = out.gather(
            partial(
                compute_race,
                target.problem,
                names,
                x0=target.start,
                steps=steps,
                tol=tol,
                goal=target.goal,
                name=target.name,
                workers=workers,
                progress=progress,
            )
            for target in chosen.targets
        )
    deliver(races, out)
