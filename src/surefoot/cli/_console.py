"""What the command shows: results on stdout, everything else on stderr."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from surefoot._advise import Advice, Recommendation
from surefoot.targets import BuiltIn

__all__ = ["Meter", "print_json", "say", "show_advice", "show_targets"]

# A bar that is gone before it is read helps nobody; a wait that is long should be a decision.
BAR_AFTER_SECONDS = 2.0
PREVIEW_SECONDS = 30.0


def print_json(record: Mapping[str, Any]) -> None:
    """One JSON document, strict: no NaN, no infinity."""
    print(json.dumps(record, allow_nan=False))


def say(text: str, *, error: bool = False) -> None:
    """A plain line."""
    print(text, file=sys.stderr if error else sys.stdout)


def show_advice(advice: Advice) -> None:
    """A table in a terminal, plain text elsewhere."""
    if not sys.stdout.isatty():
        print(advice)
        return
    console = Console()
    console.print(Text(advice.target, style="bold"))
    facts = "   ".join(f"{name} {value}" for name, value in advice.description.items())
    console.print(Text(facts, style="dim"))
    if advice.abstained:
        console.print(Text(f"no advice: {advice.abstained}", style="yellow"))
        return
    console.print(_table(advice))
    for r in advice.recommendations:
        note = f" ({r.note})" if r.note else ""
        console.print(Padding(Text.assemble((f"{r.label}: ", "bold"), r.finding, (note, "dim")), (0, 0, 0, 1)))
    cost = f"{advice.products} curvature products, {advice.runs} short runs, {advice.seconds:.1f} s"
    console.print(Padding(Text(f"cost: {cost}", style="dim"), (0, 0, 0, 1)))


def show_targets(targets: Sequence[BuiltIn], others: Mapping[str, str]) -> None:
    """What can be advised on: a name and a line each."""
    rows = {target.name: target.summary for target in targets} | dict(others)
    if not sys.stdout.isatty():
        width = max(map(len, rows))
        print("\n".join(f"{name:<{width}}  {summary}" for name, summary in rows.items()))
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name, summary in rows.items():
        table.add_row(Text(name, style="bold"), Text(summary))
    Console().print(table)


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
            say(f"this takes about {_duration(elapsed + remaining_seconds)}; Ctrl-C stops it", error=True)
        if not self._terminal or elapsed < BAR_AFTER_SECONDS:
            return
        if self._bar is None:
            self._bar = _bar()
            self._task = self._bar.add_task("")
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


def _table(advice: Advice) -> Table:
    table = Table(header_style="dim", box=None, pad_edge=True)
    for heading in ("optimizer", "suggested", "usable in short runs", "linear limit", "checked"):
        table.add_column(heading)
    for r in advice.recommendations:
        table.add_row(*_cells(r))
    return table


def _cells(r: Recommendation) -> tuple[Text, ...]:
    claims = [v.agrees for v in r.verification if v.agrees is not None]
    checked = f"{sum(claims)}/{len(claims)} agree" if claims else "-"
    return (
        Text(r.label, style="bold"),
        Text("-" if r.suggested is None else f"{r.suggested:.3g}", style="bold green"),
        Text("-" if r.usable is None else f"{r.usable[0]:.3g} .. {r.usable[1]:.3g}"),
        Text(f"{r.limits.curvature_limit:.4g}"),
        Text(checked, style="" if all(claims) else "red"),
    )
