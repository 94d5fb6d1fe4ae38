"""Rows for classical problems."""

from pathlib import Path
from typing import Any

from surefoot.targets._entry import Entry, Option
from surefoot.targets._problem import ProblemTarget
from surefoot.targets._shaped import SHAPES, ShapedQuadratic


def _digits_softmax(rng: int) -> tuple[ProblemTarget, ...]:
    from surefoot.targets._datasets import digits_softmax

    return (ProblemTarget(digits_softmax(), rng=rng),)


def _breast_cancer(rng: int) -> tuple[ProblemTarget, ...]:
    from surefoot.targets._datasets import breast_cancer

    raw, standardised = breast_cancer(standardise=False), breast_cancer(standardise=True)
    return (
        ProblemTarget(raw, rng, name=f"breast-cancer, raw: {raw.name}"),
        ProblemTarget(standardised, rng, name=f"breast-cancer, standardised: {standardised.name}"),
    )


def _deblur(rng: int, **shape: Any) -> tuple[ProblemTarget, ...]:
    from surefoot.targets.deblur import deblur_target

    return (deblur_target(rng=rng, **shape),)


# The rows, in the order in which they are listed.
PROBLEMS = (
    Entry(
        name="digits-softmax",
        kind="problem",
        summary="softmax regression on the same images: convex, so the limits hold everywhere",
        build=_digits_softmax,
    ),
    Entry(
        name="breast-cancer",
        kind="problem",
        summary="logistic regression on 30 measurements of tumours, raw and standardised side by side",
        build=_breast_cancer,
    ),
    Entry(
        name="quadratic",
        kind="problem",
        summary="a quadratic with a condition number and a spectrum of your choice, 1e4 and linear by default",
        build=lambda rng, **shape: (ProblemTarget(ShapedQuadratic(**shape), rng=rng),),
        options=(
            Option(name="condition", type=float, metavar="K", help="the condition number [1e4]"),
            Option(name="spectrum", type=str, metavar="NAME", help=f"{', '.join(SHAPES)} [linear]"),
            Option(name="size", type=int, metavar="N", help="the number of unknowns [1000]"),
        ),
    ),
    Entry(
        name="deblur",
        kind="problem",
        summary="a photograph, blurred and noisy, or your own with --image and --sigma",
        build=_deblur,
        options=(
            Option(name="image", type=Path, metavar="FILE", help="your image, a PNG, JPEG or .npy file"),
            Option(name="sigma", type=float, metavar="S", help="the blur's width in pixels [3]"),
            Option(
                name="noise",
                type=float,
                metavar="S",
                help="standard deviation of the noise, where white is 1 [0.01; estimated with --image]",
            ),
        ),
    ),
)
