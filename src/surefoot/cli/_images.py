"""What verbs take and show where the target is a picture."""

from pathlib import Path
from typing import Annotated

import typer

from surefoot.cli._console import Meter, say
from surefoot.cli._failures import bad_input
from surefoot.errors import InvalidInput
from surefoot.operators import Array
from surefoot.targets import ProblemTarget
from surefoot.targets.deblur import DeblurTarget
from surefoot.targets.images import write_png
from surefoot.targets.restoration import Restoration, beyond, restoration
from surefoot.trials import Run

__all__ = ["BlurSigma", "ImageFile", "NoiseLevel", "PicturePath", "check_picture", "restored", "save_picture"]

ImageFile = Annotated[
    Path | None,
    typer.Option("--image", metavar="FILE", help="For deblur: a PNG, JPEG or .npy image of yours.", show_default=False),
]
BlurSigma = Annotated[
    float | None,
    typer.Option("--sigma", metavar="S", help="For deblur: the blur's width in pixels [3].", show_default=False),
]
NoiseLevel = Annotated[
    float | None,
    typer.Option(
        "--noise",
        metavar="S",
        help="For deblur: standard deviation of the noise, of a white of 1 [0.01; estimated with --image].",
        show_default=False,
    ),
]
PicturePath = Annotated[
    Path | None,
    typer.Option("--output", metavar="PATH", help="For deblur: write the result as PNG.", show_default=False),
]


def check_picture(target: str, path: Path | None) -> None:
    """Refuse a picture that could not be written, before anything is computed."""
    if path is None:
        return
    with bad_input():
        if target != "deblur":
            raise InvalidInput(f"--output writes a picture, and {target!r} has none; leave it out")
        if path.suffix.lower() != ".png":
            raise InvalidInput(f"--output writes PNG; give a name such as {path.with_suffix('.png').name}")
        folder = path.expanduser().absolute().parent
        if not folder.is_dir():
            raise InvalidInput(f"there is no folder {folder}; create it, or write the picture elsewhere")


def restored(target: ProblemTarget, run: Run, *, above: bool, quiet: bool) -> Restoration | None:
    """What a run made of a picture; None where the target has none.

    Parameters
    ----------
    target : ProblemTarget
    run : Run
        On it.
    above : bool
        Try what happens above the limit, too.
    quiet : bool
        No progress.

    Returns
    -------
    Restoration or None
    """
    if not isinstance(target, DeblurTarget):
        return None
    with Meter(quiet=quiet) as meter:
        tried = beyond(target, progress=meter) if above else None
    return restoration(target, run.descent, tried)


def save_picture(image: Array, path: Path, *, to_stderr: bool) -> None:
    """Write a picture as PNG and say where."""
    with bad_input():
        write_png(path.expanduser(), image)
    say(f"picture: {path.expanduser().absolute()}", error=to_stderr)
