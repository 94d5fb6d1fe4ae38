"""The verb `play`: write the playground and open it."""

from pathlib import Path
from typing import Annotated

import typer

from surefoot.cli._console import say
from surefoot.cli._failures import bad_input
from surefoot.playground import play as write_and_open

__all__ = ["play"]


def play(
    save: Annotated[
        Path | None, typer.Option("--save", metavar="PATH", help="Write the page here and do not open it.")
    ] = None,
) -> None:
    """Open the playground: move a step and see what it does, in seven scenes.

    One HTML file, offline: for a lesson, a talk, or a first look. Its address holds the settings.

    Exit code 0: done; 2: the file cannot be written.
    """
    with bad_input():
        say(f"playground: {write_and_open(save)}")
