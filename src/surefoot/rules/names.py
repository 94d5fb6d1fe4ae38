"""The parser of names with an argument after a colon: ``auto``, ``cosine:0.1``, ``cosine:3e-4,total=1000``.

Rules, contenders of a race, a pilot's rules and an audit's plans are tables of such names.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from surefoot.errors import InvalidInput

__all__ = ["Name", "parse_name", "parse_number"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """The parts of a name as it was typed.

    Parameters
    ----------
    text : str
        The whole, without white space around it.
    word : str
        Part before the colon.
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
    """The parts of a name; an error where it is unknown or has parts that it does not take.

    Parameters
    ----------
    text : str
        ``word``, ``word:argument``, or ``word:argument,key=value,...``.
    takes : mapping of str to str
        Known words, each with the form of its argument: empty for none, ``STEP`` for an argument, and with a ``=`` in
        it, as ``RATE,KEY=VALUE``, for options too.

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
        near = get_close_matches(word.lower(), takes, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(takes)}"
        raise InvalidInput(f"unknown rule {text!r}; {hint}")
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
            raise InvalidInput(f"{text!r}: {part!r} has no key; write {word}:{form.lower()}")
    return Name(text=text, word=word, argument=argument, options=options)


def parse_number(text: str, claim: str, *, positive: bool = False, hint: str = "") -> float:
    """A finite number from text.

    Parameters
    ----------
    text : str
    claim : str
        Beginning of the error, which names the taker and the kind of number: "cosine takes a positive number".
    positive : bool
        Whether the number must be above 0.
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
