"""A row of the registry: what to type, what it is, the options that it alone has, and how it is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["problem", "network", "ode", "map", "target"]

# What a person calls one of each, and several. A verb says which kinds it takes.
KINDS: dict[Kind, tuple[str, str]] = {
    "problem": ("a problem", "problems"),
    "network": ("a network", "networks"),
    "ode": ("a differential equation", "differential equations"),
    "map": ("a map", "maps"),
    "target": ("a target of its own kind", "targets of their own kind"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option that shapes a target.

    Parameters
    ----------
    name : str
        Keyword of `build`; the flag is ``--name``.
    type : type
        Type of its value.
    help : str
        A few words, the default in brackets.
    metavar : str
        What the help shows for the value.
    """

    name: str
    type: type
    help: str
    metavar: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row: one target that ships with Surefoot, or one form of naming your own.

    Parameters
    ----------
    name : str
        What to type.
    kind : str or None
        One of `KINDS`; None where only what was made can tell (a file is always a problem, a factory may be any).
    summary : str
        One line.
    build : callable
        (rng, **options) to a tuple of targets: one, or several that are worth comparing.
    options : tuple of Option
        Options that shape the target.
    whose : str
        Owner of the options in a message: ``quadratic``, ``a file``; default the name.
    recognise : callable or None
        A name to the keywords of `build` that it stands for, or None if it is not one of this row; by default the name
        itself, which stands for none.
    """

    name: str
    kind: Kind | None
    summary: str
    build: Callable[..., tuple[Any, ...]]
    options: tuple[Option, ...] = ()
    whose: str = ""
    recognise: Callable[[str], Mapping[str, Any] | None] | None = None

    def keywords(self, name: str) -> Mapping[str, Any] | None:
        """Keywords that a name stands for; None if it is not one of this row."""
        if self.recognise is not None:
            return self.recognise(name)
        return {} if name == self.name else None

    @property
    def owner(self) -> str:
        """Owner of the options, in words."""
        return self.whose or self.name


def kind_of(target: Any) -> Kind:
    """Kind of what a builder or a factory made: its attribute `kind`; without one it is of its own kind."""
    kind = getattr(target, "kind", "target")
    return kind if kind in KINDS else "target"
