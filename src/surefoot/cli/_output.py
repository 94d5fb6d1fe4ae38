"""Where a verb delivers: text, JSON or a table, figures and a report, and the exit code."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, TypeVar

import typer

from surefoot.checks import as_path
from surefoot.cli._console import Meter, say, show
from surefoot.cli._failures import FAILED, INTERRUPTED, Stop, bad_input
from surefoot.errors import InvalidInput
from surefoot.records import VERSION
from surefoot.tables import write_csv

T = TypeVar("T")

# Endings that name a format: one of them for another format is a slip.
PICTURES = (".svg", ".png", ".jpg", ".jpeg", ".gif", ".pdf")


@dataclass(frozen=True, slots=True)
class Named:
    """A result that does not know what it is of: its answer first, then the target's name and what else is known of it.

    Parameters
    ----------
    name : str
    result : Record
    about : mapping
        Entries of the record; its summary, if there is one, stands beside the name.
    """

    name: str
    result: Any
    about: Mapping[str, str] = field(default_factory=dict[str, str])

    def __str__(self) -> str:
        summary = self.about.get("summary")
        answer, *rest = str(self.result).splitlines()
        return "\n".join([answer, f"  for {self.name}{f': {summary}' if summary else ''}", *rest])

    def to_dict(self) -> dict[str, Any]:
        """For JSON and for the report."""
        return {**self.result.to_dict(), "target": self.name, **self.about}


@dataclass(slots=True, kw_only=True)
class Output:
    """What was asked for beside the answer itself.

    Parameters
    ----------
    as_json, quiet : bool
        The record as JSON instead of text; no progress.
    report, svg, png, csv : Path or None
        Files to write.
    interrupted : bool
        Whether the user stopped it, so that the results are what there was until then.
    stdout : text file
        Where results go. While a verb works ``sys.stdout`` is stderr, so that a user's own factory that prints does
        not spoil the JSON.
    """

    as_json: bool = False
    quiet: bool = False
    report: Path | None = None
    svg: Path | None = None
    png: Path | None = None
    csv: Path | None = None
    interrupted: bool = False
    stdout: TextIO = field(default_factory=lambda: sys.stdout)

    def progress(self) -> Meter:
        """Progress of the computation, on stderr."""
        return Meter(quiet=self.quiet)

    def gather(self, computations: Iterable[Callable[[], T]]) -> list[T]:
        """Results of computations, one after the other; on Ctrl-C those that there are, the last one in part.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C, if there is nothing to show yet.
        """
        made: list[T] = []
        try:
            for compute in computations:
                made.append(compute())
        except KeyboardInterrupt as stop:
            partial = getattr(stop, "partial", None)
            made += [] if partial is None else [partial]
            if not made:
                raise
            self.interrupted = True
        return made

    def tell(self, text: str) -> None:
        """Say where something went: beside JSON on stderr."""
        say(text, sys.stderr if self.as_json else self.stdout)

    def check(self) -> None:
        """Refuse what could not be written, before a computation that may take minutes.

        Raises
        ------
        Stop
            If a file cannot be written where it is to be, or what draws it is not installed.
        """
        from surefoot.report import check_destination, check_folder

        with bad_input():
            for form, path in (("report", self.report), ("svg", self.svg), ("png", self.png)):
                if path is None:
                    continue
                check_destination(path)
                # a name without an ending is as good as any; the ending of another format is a slip
                if path.suffix.lower() in PICTURES and path.suffix.lower() != f".{form}":
                    right = path.with_suffix(".html" if form == "report" else f".{form}").name
                    raise InvalidInput(f"--{form} does not write {path.suffix}; give a name such as {right}")
            if self.csv is not None:
                check_folder(self.csv)


def deliver(
    results: Sequence[Any],
    out: Output,
    *,
    figure: Callable[[], str] | None = None,
    notes: Sequence[str] = (),
    failed: bool = False,
) -> None:
    """Show results and write the files that were asked for.

    Parameters
    ----------
    results : sequence
        Values with ``__str__`` and `to_dict`, whose kind is the same; with ``--csv`` also `rows`, the heading first.
    out : Output
    figure : callable, optional
        Draws what ``--svg`` and ``--png`` ask for and the report shows, where the record has too few numbers for it;
        default the figure that `surefoot.report` has for records of this kind.
    notes : sequence of str
        Said after the answer: where other files are.
    failed : bool
        Whether the answer is that it did not succeed, which is exit code 1.

    Raises
    ------
    Exit
        With the code of failure if it failed, with that of an interrupt if the user stopped it.
    """
    record = _record(results)
    if out.interrupted:
        record["interrupted"] = True
    if out.as_json:
        print(json.dumps(record, allow_nan=False), file=out.stdout)
    else:
        for i, result in enumerate(results):
            if i:
                print(file=out.stdout)
            show(result, out.stdout)
    # files come after the answer, which is then there even if one of them cannot be written
    for note in notes:
        out.tell(note)
    if out.svg or out.png:
        _draw(figure, results[0], out)
    if out.csv is not None:
        out.tell(f"table: {_write_table(results, out.csv)}")
    if out.report is not None:
        from surefoot.report import write_report

        out.tell(f"report: {write_report(record, out.report, drawing='' if figure is None else figure())}")
    if out.interrupted:
        raise typer.Exit(INTERRUPTED)
    if failed:
        raise typer.Exit(FAILED)


def _record(results: Sequence[Any]) -> dict[str, Any]:
    """The record of one result; several of a kind are one of its plural. Its first entries are kind and version."""
    records = [result.to_dict() for result in results]
    if len(records) == 1:
        return {"kind": records[0]["kind"], "version": VERSION, **records[0]}
    several = f"{records[0]['kind']}s"
    return {"kind": several, "version": VERSION, several: records}


def _draw(figure: Callable[[], str] | None, result: Any, out: Output) -> None:
    from surefoot.report import figures

    drawing = figures.figure_of(result.to_dict()) if figure is None else figure()
    # the option says the format, the file's name need not
    for path, save in ((out.svg, figures.save_svg), (out.png, figures.save_png)):
        if path is not None:
            out.tell(f"figure: {save(drawing, as_path(path).absolute())}")


def _write_table(results: Sequence[Any], path: Path) -> Path:
    """One table; with several results, what each is of stands in a column of its own in front.

    Raises
    ------
    Stop
        If it cannot be written.
    """
    path = as_path(path).absolute()
    try:
        write_csv(_rows(results), path)
    except OSError as error:
        raise Stop(f"cannot write {path}: {error.strerror or error}", "write the table elsewhere") from error
    return path


def _rows(results: Sequence[Any]) -> Iterable[Sequence[Any]]:
    if len(results) == 1:
        yield from results[0].rows()
        return
    for i, result in enumerate(results):
        heading, *rows = result.rows()
        if not i:
            yield ("problem", *heading)
        yield from ((result.problem, *row) for row in rows)
