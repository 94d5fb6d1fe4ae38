"""The verb `scale`: the rate for another batch size."""

from typing import Annotated

import typer

from surefoot.cli._failures import bad_input
from surefoot.cli._output import Output, deliver
from surefoot.errors import InvalidInput
from surefoot.recipes import scale_batch

Betas = Annotated[str | None, typer.Option(metavar="B1,B2", help="Betas of Adam's family [0.9,0.999].")]
NoiseScale = Annotated[float | None, typer.Option(metavar="B", help="The gradient noise scale, in samples.")]


def scale(
    out: Output,
    lr: Annotated[float, typer.Option(help="The rate that works now.")],
    batch: Annotated[float, typer.Option(help="Samples per update now.")],
    to: Annotated[float, typer.Option(help="Samples per update in the new runs.")],
    optimizer: Annotated[str, typer.Option(metavar="NAME", help="Such as sgd or adamw.")] = "sgd",
    noise_scale: NoiseScale = None,
    steps: Annotated[int | None, typer.Option(help="Updates in a run now.")] = None,
    warmup: Annotated[int | None, typer.Option(help="Updates of the warm-up now.")] = None,
    momentum: Annotated[float | None, typer.Option(help="Momentum of SGD.")] = None,
    betas: Betas = None,
    eps: Annotated[float | None, typer.Option(help="Epsilon of Adam's family [1e-8].")] = None,
) -> None:
    """Say the learning rate for another batch size, with the rule, the reason for it, and where it stops holding.

    Batches are samples per update: over all processes and accumulated micro-batches.

    Exit code 0: done; 2: wrong usage or bad input.
    """
    with bad_input():
        scaling = scale_batch(
            lr, batch, to, optimizer, noise_scale, steps, warmup, momentum, betas=_numbers(betas), eps=eps
        )
    deliver([scaling], out)


def _numbers(text: str | None) -> list[float] | None:
    try:
        return None if text is None else [float(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInput(f"--betas takes numbers such as 0.9,0.999; got {text!r}") from None
