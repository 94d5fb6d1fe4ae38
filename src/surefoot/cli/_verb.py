"""What verbs share: the target they work on, the options that it has, and where the result goes."""

import inspect
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from surefoot.cli._failures import USAGE, Stop, bad_input
from surefoot.cli._output import Output
from surefoot.errors import InvalidInput
from surefoot.targets import KINDS, Entry, Kind, Option, entry_of, kind_of, registry, resolve


def _names_from(incomplete: str) -> list[str]:
    """Built-in names that begin so, for the shell's completion."""
    return [entry.name for entry in registry() if entry.recognise is None and entry.name.startswith(incomplete)]


TargetName = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="A built-in name (see **surefoot list**), a .npy, .npz, .mtx or .csv file, or module:factory.",
        show_default=False,
        autocompletion=_names_from,
    ),
]
Seed = Annotated[int, typer.Option("--rng", min=0, metavar="N", help="Seed: the same one gives the same numbers.")]
Workers = Annotated[
    int | None, typer.Option(metavar="N", help="Runs at a time, by joblib; -1: one per core [1].", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the whole record as JSON, and nothing else, on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no cost preview on stderr.")]
# The options that write files, with their help.
FILES = {
    "report": "Write one self-contained HTML file.",
    "svg": "Draw the figure into an SVG file.",
    "png": "Draw the figure into a PNG file.",
    "csv": "Write the numbers as a table.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a verb is to work on.

    Parameters
    ----------
    name : str
        As it was typed.
    kind : str
        One of `surefoot.targets.KINDS`.
    targets : tuple
        What the name stands for: one, or several that are worth comparing.
    rng : int
        Seed.
    """

    name: str
    kind: Kind
    targets: tuple[Any, ...]
    rng: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """A row of the table of verbs.

    Parameters
    ----------
    function : callable
        Its parameters annotated `Chosen` and `Output` are filled in here; the others are its own options. Its name is
        the verb's, its docstring the help.
    examples : tuple of str
        At least two command lines, without ``surefoot``.
    takes : tuple of str
        Kinds of targets; none for a verb whose argument is something else.
    writes : tuple of str
        Keys of `FILES`.
    """

    function: Callable[..., None]
    examples: tuple[str, ...]
    takes: tuple[Kind, ...] = ()
    writes: tuple[str, ...] = ("report", "svg", "png")

    @property
    def name(self) -> str:
        """What to type."""
        return self.function.__name__.removesuffix("_")


def command_of(verb: Verb, verbs: Sequence[Verb]) -> Callable[..., None]:
    """The function that Typer sees: the verb's own options and those that verbs share.

    Parameters
    ----------
    verb : Verb
    verbs : sequence of Verb
        All of them: where one does not take a target, the message names one that does.
    """
    own = inspect.signature(verb.function).parameters
    shapes = {option.name: option for entry in _entries_of(verb) for option in entry.options}

    def call(**given: Any) -> None:
        files = {name: given.pop(name, None) for name in FILES}
        out = Output(as_json=given.pop("as_json"), quiet=given.pop("quiet"), **files)
        out.check()
        # a user's factory may print, and stdout is for the answer
        with redirect_stdout(sys.stderr):
            if verb.takes:
                options = {name: given.pop(name) for name in shapes}
                given["chosen"] = _choose(verb, verbs, given.pop("target"), given.pop("rng"), options, out)
            verb.function(**given, out=out)

    parameters = [
        *([_parameter("target", TargetName)] if verb.takes else []),
        *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own.values() if p.annotation not in (Chosen, Output)),
        *(_parameter(name, _option(option, _owners(verb, name)), None) for name, option in shapes.items()),
        _parameter("as_json", AsJson, default=False),
        *(_parameter(name, _path(name), None) for name in verb.writes),
        *([_parameter("rng", Seed, 0)] if verb.takes else []),
        _parameter("quiet", Quiet, default=False),
    ]
    # Typer makes the options and the help from these
    call.__name__, call.__doc__ = verb.name, verb.function.__doc__
    call.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call


def _choose(verb: Verb, verbs: Sequence[Verb], name: str, rng: int, options: dict[str, Any], out: Output) -> Chosen:
    """The targets of a name, if the verb takes their kind."""
    with bad_input():
        kind = entry_of(name).kind
        if kind is None:  # a factory: only what it makes can tell
            targets = resolve(name, rng=rng, **options)
            kind = kind_of(targets[0])
            _refuse(kind, verb, verbs, name)
        else:
            _refuse(kind, verb, verbs, name)
            targets = resolve(name, rng=rng, **options)
        if len(targets) > 1 and (out.svg or out.png):
            raise InvalidInput(f"{name!r} stands for {len(targets)} targets, and a figure shows one; use --report")
    return Chosen(name=name, kind=kind, targets=targets, rng=rng)


def _refuse(kind: Kind, verb: Verb, verbs: Sequence[Verb], name: str) -> None:
    """Say what a target of the wrong kind is, and which verb takes it.

    Raises
    ------
    Stop
        If the verb does not take targets of that kind.
    """
    if kind in verb.takes:
        return
    takers = [other.name for other in verbs if kind in other.takes]
    also = f" (also {', '.join(takers[1:])})" if takers[1:] else ""
    *others, last = (KINDS[each][1] for each in verb.takes if each != "target")
    takes = f"{', '.join(others)} and {last}" if others else last
    raise Stop(
        f"{verb.name} takes {takes}, and {name} is {KINDS[kind][0]}",
        f"surefoot {takers[0]} {name}{also}" if takers else "see surefoot list",
        USAGE,
    )


def _entries_of(verb: Verb) -> list[Entry]:
    return [entry for entry in registry() if entry.kind in verb.takes]


def _owners(verb: Verb, option: str) -> str:
    return " and ".join(e.owner for e in _entries_of(verb) if option in {own.name for own in e.options})


def _option(option: Option, owners: str) -> Any:
    flag = f"--{option.name.replace('_', '-')}"
    text = f"For {owners}: {option.help}."
    return Annotated[option.type | None, typer.Option(flag, metavar=option.metavar or None, help=text)]


def _path(name: str) -> Any:
    return Annotated[Path | None, typer.Option(f"--{name}", metavar="PATH", help=FILES[name])]


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
