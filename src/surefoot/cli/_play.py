"""The verb `play`: write the playground and open it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from surefoot.cli._failures import bad_input
from surefoot.cli._output import Output, deliver
from surefoot.playground import play as write_and_open

SavePath = Annotated[Path | None, typer.Option(metavar="PATH", help="Write the page here and do not open it.")]


def play(out: Output, save: SavePath = None) -> None:
    """Open the playground: move a step and see what it does, in seven scenes.

    One HTML file, offline: for a lesson, a talk, or a first look. Its address holds the settings.

    Exit code 0: done; 2: the file cannot be written.
    """
    with bad_input():
        path = write_and_open(save)
    deliver([Playground(path)], out)


@dataclass(frozen=True, slots=True)
class Playground:
    """Where the page is."""

    path: Path

    def __str__(self) -> str:
        return f"playground: {self.path}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": "playground", "path": str(self.path)}
