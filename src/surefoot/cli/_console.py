"""What the command shows: results on stdout, everything else on stderr."""

import sys
import time
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from surefoot.advice import Advice

__all__ = ["Meter", "say", "show_advice", "show_text"]

# A bar that is gone before it is read helps nobody; a wait that is long should be a decision.
BAR_AFTER_SECONDS = 2.0
PREVIEW_SECONDS = 30.0


def say(text: str, file: TextIO | None = None) -> None:
    """A plain line; on stderr unless told otherwise."""
    print(text, file=sys.stderr if file is None else file)


def show_advice(advice: Advice, stdout: TextIO) -> None:
    """``str(advice)``; in a terminal the same words, set off by weight and wrapped where they are long."""
    if not stdout.isatty():
        print(advice, file=stdout)
        return
    console = Console(file=stdout)
    head, *rest = str(advice).split("\n\n")
    title, *facts = head.splitlines()
    console.print(Text(title, style="bold"))
    for line in facts:
        console.print(_indented(line, "yellow" if advice.abstained else "dim"))
    for i, block in enumerate(rest):
        console.print()
        lines = block.splitlines()
        if i == 0:
            console.print(Text(lines[0], style="dim"), no_wrap=True, overflow="ignore", crop=False)
            for row in lines[1:]:
                marked = _suggestion_marked(row, lines[0].find("suggested"))
                console.print(marked, no_wrap=True, overflow="ignore", crop=False)
        else:
            for line in lines:
                console.print(_indented(line, "dim" if line.startswith(("  curvature:", "  cost:")) else ""))


def show_text(result: object, stdout: TextIO) -> None:
    """``str(result)``; in a terminal the title and the table's heading are set off, and tables are not wrapped."""
    text = str(result)
    if not stdout.isatty():
        print(text, file=stdout)
        return
    console = Console(file=stdout)
    head, *blocks = text.split("\n\n")
    title, *facts = head.splitlines()
    console.print(Text(title, style="bold"))
    for line in facts:
        console.print(_indented(line, "dim"))
    for i, block in enumerate(blocks):
        console.print()
        for j, line in enumerate(block.splitlines()):
            if i == 0:
                style = "dim" if j == 0 else ""
                console.print(Text(line, style=style), no_wrap=True, overflow="ignore", crop=False)
            else:
                console.print(_indented(line))


class Meter:
    """Progress of a computation on stderr: a bar in a terminal once it takes long, a warning before a long wait.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._began = time.monotonic()
        self._warned = False
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __call__(self, done: int, total: int, label: str, remaining_seconds: float | None) -> None:
        """What `surefoot.advise` calls."""
        if self._quiet:
            return
        elapsed = time.monotonic() - self._began
        if not self._warned and remaining_seconds is not None and elapsed + remaining_seconds > PREVIEW_SECONDS:
            self._warned = True
            say(f"this may take {_duration(elapsed + remaining_seconds)}; Ctrl-C stops it")
        if not self._terminal or elapsed < BAR_AFTER_SECONDS:
            return
        if self._bar is None:
            self._bar = _bar()
            self._task = self._bar.add_task("", left="")
            self._bar.start()
        left = "" if remaining_seconds is None else f"at most {_duration(remaining_seconds)} left"
        self._bar.update(self._task, completed=done, total=total, description=label, left=left)

    def __enter__(self) -> "Meter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar() -> Progress:
    columns = (
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[left]}", style="dim"),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _indented(line: str, style: str = "") -> Padding:
    return Padding(Text(line.strip(), style=style), (0, 0, 0, 2))


def _suggestion_marked(row: str, start: int) -> Text:
    """A row of the table, the cell that starts there in green."""
    text = Text(row)
    if start >= 0:
        text.stylize("bold green", start, start + len(row[start:].partition("  ")[0]))
    return text
