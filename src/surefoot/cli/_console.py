"""What the command shows: results on stdout, everything else on stderr."""

import os
import shutil
import sys
import time
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from surefoot.cli._fit import fit

# By convention: a bar that is gone before it can be read helps nobody.
BAR_AFTER_SECONDS = 2.0
# By convention: before a wait longer than this the user should decide whether to wait.
PREVIEW_SECONDS = 30.0
# Beginnings of lines that say what an answer rests on, not what it is.
DIM = ("  curvature:", "  cost:")


def say(text: str, file: TextIO | None = None) -> None:
    """Print a plain line, by default on stderr."""
    print(text, file=sys.stderr if file is None else file)


def show(result: object, stdout: TextIO) -> None:
    """``str(result)``, fitted to the width of a terminal; there the first line, which is the answer, is set off.

    What goes into a file or a pipe keeps its lines, so that other programs can read them, unless COLUMNS says a width.
    """
    terminal = stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal or os.environ.get("COLUMNS") else None
    text = fit(str(result), width)
    if not terminal:
        print(text, file=stdout)
        return
    console = Console(file=stdout)
    for i, line in enumerate(text.splitlines()):
        style = "bold" if i == 0 else "dim" if line.startswith(DIM) else ""
        console.print(Text(line, style=style), no_wrap=True, overflow="ignore", crop=False)


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
        self._news = ""
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __call__(self, done: int, total: int, label: str, remaining_seconds: float | None) -> None:
        """What `surefoot.advise` calls."""
        if self._quiet:
            return
        self._say_news()
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

    def announce(self, text: str) -> None:
        """A line that stays, once the computation takes long; the last of them until then."""
        self._news = text
        self._say_news()

    def _say_news(self) -> None:
        if self._quiet or not self._news or time.monotonic() - self._began < BAR_AFTER_SECONDS:
            return
        if self._bar is None:
            say(self._news)
        else:
            self._bar.console.print(self._news, markup=False, highlight=False)
        self._news = ""

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
    # transient: the bar is gone when the answer comes
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
