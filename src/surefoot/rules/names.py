"""One parser for names with what follows a colon: ``auto``, ``cosine:0.1``, ``cosine:3e-4,total=1000``.

Rules, contenders of a race, a pilot's rules and an audit's plans are tables of such names; this reads all of them.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from surefoot.errors import InvalidInput

__all__ = ["Name", "parse_name", "parse_number"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A name as it was typed, in its parts.

    Parameters
    ----------
    text : str
        The whole of it, without white space around it.
    word : str
        What comes before the colon.
    argument : str
        First part after the colon, if it has no key; empty without one.
    options : mapping of str to str
        Parts ``key=value``, by their keys.
    """

    text: str
    word: str
    argument: str
    options: Mapping[str, str]


def parse_name(text: str, takes: Mapping[str, str]) -> Name:
    """Take a name apart.

    Parameters
    ----------
    text : str
        ``word``, ``word:argument``, or ``word:argument,key=value,...``.
    takes : mapping of str to str
        The words that there are, each with what may follow it, for a person: empty for nothing, ``STEP`` for an
        argument, and with a ``=`` in it, as ``RATE,KEY=VALUE``, for options too.

    Examples
    --------
    >>> from surefoot.rules.names import parse_name
    >>> name = parse_name("cosine:3e-4,total=1000", {"cosine": "RATE,KEY=VALUE"})
    >>> name.word, name.argument, dict(name.options)
    ('cosine', '3e-4', {'total': '1000'})
    """
    text = text.strip()
    word, _, rest = text.partition(":")
    if word not in takes:
        raise _unknown_name(text, takes)
    form = takes[word]
    if rest and not form:
        raise InvalidInput(f"the rule {word} takes no argument; got {rest!r}")
    if "=" not in form:
        return Name(text=text, word=word, argument=rest, options={})
    argument, options = "", dict[str, str]()
    for i, part in enumerate(filter(None, (part.strip() for part in rest.split(",")))):
        key, equals, value = part.partition("=")
        if equals:
            options[key.strip()] = value
        elif i == 0:
            argument = part
        else:
            raise InvalidInput(f"{text!r}: {part!r} says nothing; write {word}:{form.lower()}")
    return Name(text=text, word=word, argument=argument, options=options)


def parse_number(text: str, claim: str, *, positive: bool = False, hint: str = "") -> float:
    """A finite number that was typed.

    Parameters
    ----------
    text : str
    claim : str
        What takes it and what it is, as the beginning of an error: "cosine takes a positive number".
    positive : bool
        Whether it must be above 0.
    hint : str
        End of the error: what to write instead.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (positive and value <= 0):
        raise InvalidInput(f"{claim}; got {text!r}" + (f"; {hint}" if hint else ""))
    return value


def _unknown_name(text: str, words: Iterable[str]) -> InvalidInput:
    near = get_close_matches(text.partition(":")[0].lower(), words, n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(words)}"
    return InvalidInput(f"unknown rule {text!r}; {hint}")
