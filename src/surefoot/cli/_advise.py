"""The verb `advise`: how big a step, and why."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import typer

from surefoot.advice import Advice
from surefoot.advice import advise as compute_advice
from surefoot.cli._failures import bad_input
from surefoot.cli._output import Named, Output, deliver
from surefoot.cli._verb import Chosen
from surefoot.errors import InvalidInput
from surefoot.spectra import density as spectral_density
from surefoot.targets import ODE, ProblemTarget, Target

# By convention: enough products to tell a bulk of eigenvalues from its outliers.
VECTORS, STEPS = 4, 40

Uncertain = Annotated[
    str | None,
    typer.Option(
        metavar="PERCENT",
        help="Give limits that hold even if each feature's scale is off by up to this much, such as 10%.",
    ),
]
WantsDensity = Annotated[
    bool,
    typer.Option(
        "--density",
        help=f"Also estimate where all the eigenvalues are, for {VECTORS * STEPS} more products; the report shows it.",
    ),
]


def advise(chosen: Chosen, out: Output, uncertain: Uncertain = None, density: WantsDensity = False) -> None:
    """Say how big a step each optimizer can take on TARGET, and why, and test it by short runs.

    Measures the curvature, derives every optimizer's limit, puts the limit to the test, and finds the usable steps by
    short real runs. For a differential equation it says how stiff it is, and what to integrate it with.

    Exit code 0: advice; 1: none, with the reason; 2: wrong usage or bad input.
    """
    if chosen.kind == "ode":
        with bad_input():
            if uncertain is not None or density:
                raise InvalidInput("--uncertain and --density do not go with a differential equation; leave them out")
        deliver([_diagnose(equation) for equation in chosen.targets], out)
        return
    targets = chosen.targets if uncertain is None else _uncertain(chosen.targets, uncertain)
    with out.progress() as progress:
        advise_on = partial(compute_advice, rng=chosen.rng, progress=progress, announce=progress.announce)
        advices = out.gather(partial(advise_on, target) for target in targets)
        if density and not out.interrupted:
            advices = [_with_density(a, target, chosen.rng) for a, target in zip(advices, targets, strict=True)]
    deliver(advices, out, failed=not all(map(_has_advice, advices)))


def _diagnose(equation: ODE) -> Named:
    about = {"kind": "diagnosis", "summary": equation.summary}
    return Named(equation.name, equation.diagnose(), about)


def _has_advice(advice: Advice) -> bool:
    """Whether at least one method got a suggestion."""
    return not advice.abstained and any(r.suggested is not None for r in advice.recommendations)


def _with_density(advice: Advice, target: Target, rng: int) -> Advice:
    """The advice with the spectral density of the first method's curvature among its details."""
    operator = target.operator(target.candidates()[0])
    estimate = spectral_density(operator, n_vectors=VECTORS, steps=min(STEPS, operator.shape[0]), rng=rng)
    return replace(advice, details=(*advice.details, estimate), products=advice.products + estimate.products)


def _uncertain(targets: Sequence[Any], percent: str) -> tuple[ProblemTarget, ...]:
    """The targets with uncertain features; networks have none that could be told apart from their weights."""
    with bad_input():
        try:
            fraction = float(percent.removesuffix("%")) / 100
        except ValueError as error:
            raise InvalidInput(f"--uncertain takes a percentage such as 10%; got {percent!r}") from error
        if not all(isinstance(target, ProblemTarget) for target in targets):
            raise InvalidInput("--uncertain works on problems with features; a network has none of known scale")
        return tuple(target.with_uncertainty(fraction) for target in targets)
