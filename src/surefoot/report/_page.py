"""What a page is made of: a title, sections, and a word on trust. Views build these; one template shows them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from surefoot.checks import checked
from surefoot.records import with_floats

Record = Mapping[str, Any]

# The colour of how a run ended, and of a verdict on it: a word has one colour on every page.
MOODS = {
    "good": "good",
    "slow": "limit",
    "too small": "limit",
    "no progress": "limit",
    "cannot tell": "limit",
    "oscillating": "limit",
    "collapsed": "bad",
    "diverged": "bad",
    "diverging": "bad",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a cell of a table where text alone does not do.

    Parameters
    ----------
    text : str
    mood : str
        ``good``, ``limit``, ``bad`` or empty: its colour.
    strong : bool
        Whether it is what the table is about.
    anchor : str
        Anchor of the section that it points to.
    """

    text: str
    mood: str = ""
    strong: bool = False
    anchor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under a heading; the first cell of each names it.

    Parameters
    ----------
    heads : sequence of str
    rows : sequence of sequence of str or Cell
    title, about : str
        Heading of a table that can be opened, and words beside it; one without a title is always in sight.
    open : bool
        Whether it is open at first.
    notes : sequence of str
        A line under each row; none for a table without.
    note : str
        A line under the table.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    title: str = ""
    about: str = ""
    open: bool = False
    notes: Sequence[str] = ()
    note: str = ""

    @property
    def cells(self) -> list[tuple[list[Cell], str]]:
        """Rows of cells, each with its note."""
        notes = self.notes or [""] * len(self.rows)
        return [
            ([cell if isinstance(cell, Cell) else Cell(cell) for cell in row], note)
            for row, note in zip(self.rows, notes, strict=True)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawing or a picture with what it shows.

    Parameters
    ----------
    caption : str
    title : str
    drawing : str
        An ``<svg>`` element of this room, whose text was escaped when it was written; empty where the record has
        too few numbers for it, and `Page.with_drawing` brings it. A figure that shows nothing is left out.
    picture : str or None
        A data URI, where it is a picture.
    wide : bool
        Whether it takes the whole width.
    """

    caption: str
    title: str = ""
    drawing: str = ""
    picture: str | None = None
    wide: bool = False

    @property
    def shown(self) -> bool:
        """Whether there is anything to see."""
        return bool(self.drawing) or self.picture is not None

    @property
    def plot(self) -> str:
        """What the drawing shows as JSON, for the page's script; empty for one that does not remember its figure."""
        figure = getattr(self.drawing, "figure", None)
        if figure is None:
            return ""
        from surefoot.report._plot import plot_of

        return plot_of(figure)

    @property
    def curves(self) -> list[Table]:
        """The numbers behind the drawing, a table for each curve."""
        figure = getattr(self.drawing, "figure", None)
        if figure is None:
            return []
        from surefoot.report._plot import curves_of

        return [Table(heads=heads, rows=rows, about=name) for name, heads, rows in curves_of(figure)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Lines under a heading of their own.

    Parameters
    ----------
    lines : sequence of str
    title : str
    ordered : bool
        Whether they are to be taken in turn.
    """

    lines: Sequence[str]
    title: str = ""
    ordered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One card: the finding first, then what it rests on.

    Parameters
    ----------
    title, about : str
        The heading, and a few words in small beside it.
    word, mood : str
        The verdict before the lead, and its colour: ``good``, ``limit`` or ``bad``.
    lead : str
        The finding, in a sentence.
    code : str
        The line of Python that does what is recommended, with a button that copies it.
    notes : sequence of str
        What should be known with it.
    findings : sequence of str or Listing
        Lines, or lists of them with headings.
    facts : sequence of (name, value)
    figures : sequence of Figure
    tables : sequence of Table
        Tables; those without a title come before the figures.
    text : str
        Lines as they stand, in columns.
    anchor : str
        What links point to.
    """

    title: str
    about: str = ""
    word: str = ""
    mood: str = ""
    lead: str = ""
    code: str = ""
    notes: Sequence[str] = ()
    findings: Sequence[str | Listing] = ()
    facts: Sequence[tuple[str, str]] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    text: str = ""
    anchor: str = ""

    @property
    def listings(self) -> list[Listing]:
        """The findings as lists, lines without a heading as one of them."""
        lines = [finding for finding in self.findings if isinstance(finding, str)]
        listed = [finding for finding in self.findings if not isinstance(finding, str)]
        return [*([Listing(lines=lines)] if lines else []), *(each for each in listed if each.lines)]


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole page.

    Parameters
    ----------
    title : str
        The question that it answers.
    subject : str
        What it is about: names, for the title of the window.
    sections : sequence of Section
        Two of one title get a number each, so that no two cards are called the same.
    trust : sequence of str
        Paragraphs on how far to trust it.
    """

    title: str
    subject: str
    sections: Sequence[Section]
    trust: Sequence[str]

    def __post_init__(self) -> None:
        counts: dict[tuple[str, str], int] = {}
        numbered: list[Section] = []
        for section in self.sections:
            name = section.title, section.about
            counts[name] = counts.get(name, 0) + 1
            again = counts[name] > 1
            numbered.append(replace(section, title=f"{section.title} ({counts[name]})") if again else section)
        object.__setattr__(self, "sections", numbered)

    def with_drawing(self, drawing: str) -> "Page":
        """The same page, with what those of its figures that have no drawing show."""
        sections = [
            replace(s, figures=[f if f.shown else replace(f, drawing=drawing) for f in s.figures])
            for s in self.sections
        ]
        return replace(self, sections=sections)


def as_record(result: Any) -> Record:
    """The record of a result, or a record as it was read back, with infinity and NaN as floats."""
    return with_floats(result if isinstance(result, Mapping) else result.to_dict())


def view(
    title: str, trust: str, *, subject: Callable[[Record], str] | None = None
) -> Callable[[Callable[[Record], Section | Sequence[Section]]], Callable[[Sequence[Record]], Page]]:
    """Turn what builds the sections of one record into what builds the page of several records of that kind.

    Parameters
    ----------
    title : str
        The question that the page answers.
    trust : str
        A paragraph on how far to trust it.
    subject : callable, optional
        A record's name for the title of the window (default: the title of its first section).
    """

    def decorate(build: Callable[[Record], Section | Sequence[Section]]) -> Callable[[Sequence[Record]], Page]:
        def page(records: Sequence[Record]) -> Page:
            built = [[each] if isinstance(each, Section) else each for each in map(build, records)]
            names = [each[0].title for each in built] if subject is None else map(subject, records)
            return Page(
                title=title,
                subject=" · ".join(names),
                sections=[section for sections in built for section in sections],
                trust=[trust],
            )

        return page

    return decorate
