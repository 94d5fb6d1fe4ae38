"""One codec for every result: plain JSON values out, the same object back.

A result is a frozen dataclass that inherits `Record`. Its record is a dictionary: the entry "kind" says which class it
is of, "version" which edition of this page wrote it, then come its fields by name. What JSON has no word for is spelt
in one way::

    inf, -inf, nan                 "inf", "-inf", "nan"       every other number is a number
    complex number or array        {"real": ..., "imag": ...}
    tuple, list, array             a list
    a result inside another        its record, without the version

so ``json.dumps(record, allow_nan=False)`` always works. Reading goes by the type hints of the class: what does not fit
them is an InvalidInput that names the entry.
"""

import html
import math
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal, Self, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from surefoot.checks import checked, spell_out
from surefoot.errors import InvalidInput, InvalidType

__all__ = ["Record", "with_floats"]

# Raised when an entry changes its name or its meaning, so that an older Surefoot refuses what it would misread.
VERSION = 1

# How numbers that JSON lacks are written. Python's float() reads them, and so does JavaScript's Number() but for "inf".
NOT_FINITE = ("inf", "-inf", "nan")

# Ends every error about a record.
HINT = "read what to_dict() or dump() wrote, unchanged, with the class or the rule (wrappers included) that wrote it"

# The metadata of a dataclass field in which `key` and `left_out` leave their word.
_KEY = "surefoot.records.key"

S = TypeVar("S")


class Record:
    """What a result inherits to become JSON and to come back from it; a mixin for frozen dataclasses.

    Two results are equal if they are of one class and all fields are, arrays by their entries, and NaN is NaN: what is
    read back equals what was written.

    Examples
    --------
    >>> import json
    >>> from surefoot.spectra import Bounds  # a `Record`, as every result is
    >>> written = json.dumps(Bounds.exactly(2.0).to_dict())
    >>> Bounds.from_dict(json.loads(written)) == Bounds.exactly(2.0)
    True
    """

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # in the class itself: there a dataclass leaves it alone, and its own would say that NaN is not NaN
        cls.__eq__ = _equal

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values.

        Returns
        -------
        dict
            "kind", "version", each field, and what the class derives from them for readers.
        """
        record = encode(self)
        return {"kind": record.pop("kind"), "version": VERSION, **record}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Parameters
        ----------
        data : mapping
            What `to_dict` returned, possibly through JSON. Derived entries are not read: they follow from the others.

        Raises
        ------
        InvalidInput
            If an entry is missing, unknown or not of its type, or the record is of another kind or a later version; it
            names the entry.
        """
        return cast("Self", _read_record(cls, data, "", None))

    def derived(self) -> Mapping[str, Any]:
        """Entries that follow from the fields, for readers that do not have the class: a report, another language."""
        return {}

    def _repr_html_(self) -> str:
        # notebooks prefer this to the dataclass's repr; the text is the one that print() shows, table included
        return f"<pre>{html.escape(str(self))}</pre>"


def _equal(one: Any, other: Any) -> bool:
    """Whether two values of fields are the same."""
    if one is other:
        return True
    if hasattr(one, "__array__"):
        import numpy as np

        return hasattr(other, "__array__") and np.array_equal(one, other, equal_nan=np.asarray(one).dtype.kind in "fc")
    if type(one) is not type(other):
        return not hasattr(other, "__array__") and not isinstance(one, Record) and bool(one == other)
    if is_dataclass(one):
        return all(_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one) if f.compare)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_equal(value, other[k]) for k, value in one.items())
    if isinstance(one, tuple | list):
        pairs = zip(cast("Sequence[Any]", one), cast("Sequence[Any]", other), strict=False)
        return len(one) == len(other) and all(_equal(a, b) for a, b in pairs)
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other)


def key(name: str) -> dict[str, Any]:
    """Metadata of a field that is written under another name: "kind" at the top of a record is the record's own."""
    return {_KEY: name}


def left_out() -> dict[str, Any]:
    """Metadata of a field that is no JSON (a model's parameters); it is read back as its default, else None."""
    return {_KEY: None}


def encode(value: Any) -> Any:
    """A value as plain JSON values.

    Parameters
    ----------
    value : None, bool, int, float, complex, str, array, tensor, enum, or a tuple, list, mapping or dataclass of those

    Raises
    ------
    InvalidType
        If it is something else.
    """
    if isinstance(value, Enum):
        return encode(value.value)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _word(value)
    if isinstance(value, complex):
        return {"real": encode(value.real), "imag": encode(value.imag)}
    if hasattr(value, "__dataclass_fields__"):
        return _write(value)
    if isinstance(value, Mapping):
        return {str(k): encode(v) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in cast("Sequence[Any]", value)]
    if hasattr(value, "tolist"):  # an array, a NumPy scalar or a tensor, without importing any of them
        if "complex" in str(getattr(value, "dtype", "")):
            return {"real": encode(value.real.tolist()), "imag": encode(value.imag.tolist())}
        plain = value.tolist()
        # an extended float has no Python number of its own
        return encode(float(plain) if type(plain) is type(value) else plain)
    raise InvalidType(
        f"a record holds numbers, text, None, arrays, tuples, mappings and dataclasses; got a {type(value).__name__}"
    )


@checked
def with_floats(record: Any) -> Any:
    """A record with "inf", "-inf" and "nan" as floats again, for a reader without the classes, such as a report.

    Examples
    --------
    >>> from surefoot.records import with_floats
    >>> with_floats({"limit": "inf", "label": "RK4", "steps": [1, "nan"]})
    {'limit': inf, 'label': 'RK4', 'steps': [1, nan]}
    """
    if isinstance(record, Mapping):
        return {k: with_floats(v) for k, v in cast("Mapping[str, Any]", record).items()}
    if isinstance(record, list | tuple):
        return [with_floats(item) for item in cast("Sequence[Any]", record)]
    return float(record) if isinstance(record, str) and record in NOT_FINITE else record


def dump(state: Any) -> dict[str, Any]:
    """The state of a rule as plain JSON values: a run that was stopped goes on with the same steps, to the last bit.

    Parameters
    ----------
    state : frozen dataclass
        Numbers, text, None, tuples of those and nested states.

    Returns
    -------
    dict
        Without kind and version: the rule that reads it knows its own.
    """
    return cast("dict[str, Any]", encode(state))


def load(data: Mapping[str, Any], like: S) -> S:
    """The inverse of `dump`.

    Parameters
    ----------
    data : mapping
        What `dump` returned, possibly through JSON.
    like : frozen dataclass
        Any state of the same shape, such as ``rule.init()``: it says which classes to build where the type hints of a
        wrapper leave that open.

    Raises
    ------
    InvalidInput
        If an entry is missing, unknown or not of its type; it names the entry.
    """
    if not is_dataclass(like) or isinstance(like, type):
        raise InvalidType(f"like must be a state or a result, whose class says what to read; got {type(like).__name__}")
    return cast("S", _read_record(type(like), data, "", like))


def _word(value: float) -> str:
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _write(value: Any) -> dict[str, Any]:
    record: dict[str, Any] = {"kind": _kind(type(value))} if isinstance(value, Record) else {}
    for field in fields(cast("Any", value)):
        name = field.metadata.get(_KEY, field.name)
        if name is not None:
            record[name] = encode(getattr(value, field.name))
    if isinstance(value, Record):
        record |= {k: encode(v) for k, v in value.derived().items()}
    return record


@cache
def _kind(cls: type) -> str:
    """The class's name in words: RangeTest is a "range test"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cls.__name__).lower()


@cache
def _hints(cls: type) -> Mapping[str, Any]:
    return get_type_hints(cls)


def _wrong(where: str, expected: str, value: Any) -> InvalidInput:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return InvalidInput(f"the entry {where or 'record'!r} must be {expected}; got {shown}; {HINT}")


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _read_record(cls: type, data: Any, where: str, like: Any) -> Any:
    if not isinstance(data, Mapping):
        raise _wrong(where, f"the record of a {_kind(cls)}, a mapping", data)
    given = dict(cast("Mapping[str, Any]", data))
    if issubclass(cls, Record):
        cls = _class_of(cls, given.pop("kind", _kind(cls)), where)
        version = given.pop("version", VERSION)
        if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= VERSION:
            raise _wrong(
                _at(where, "version"), f"a whole number from 1 to {VERSION}, the latest this Surefoot knows", version
            )
    values: dict[str, Any] = {}
    for field in fields(cls):
        name = field.metadata.get(_KEY, field.name)
        if name is None:
            values[field.name] = _default(field, None)
        elif name in given:
            values[field.name] = _read(
                _hints(cls)[field.name], given.pop(name), _at(where, name), getattr(like, field.name, None)
            )
        elif (default := _default(field, MISSING)) is not MISSING:
            # an entry that a later Surefoot added keeps older records readable
            values[field.name] = default
        else:
            raise InvalidInput(f"the entry {_at(where, name)!r} of a {_kind(cls)} is missing; {HINT}")
    try:
        made = cls(**values)
    except InvalidInput as error:
        raise InvalidInput(f"the entry {where or _kind(cls)!r}: {error}") from error
    derived = made.derived() if isinstance(made, Record) else ()
    unknown = [name for name in given if name not in derived]
    if unknown:
        known = sorted(name for f in fields(cls) if (name := f.metadata.get(_KEY, f.name)) is not None)
        raise InvalidInput(f"a {_kind(cls)} has the entries {', '.join(known)}; got {_at(where, unknown[0])!r}; {HINT}")
    return made


def _default(field: Field[Any], otherwise: Any) -> Any:
    if field.default is not MISSING:
        return field.default
    return otherwise if field.default_factory is MISSING else field.default_factory()


def _class_of(cls: type, kind: Any, where: str) -> type:
    """The class itself or the one of its subclasses that has this kind."""
    if kind == _kind(cls) and is_dataclass(cls):
        return cls
    for below in _below(cls):
        if _kind(below) == kind:
            return below
    expected = repr(_kind(cls)) if is_dataclass(cls) else "a kind whose module has been imported"
    raise _wrong(_at(where, "kind"), expected, kind)


def _below(cls: type) -> list[type]:
    # the newest first: dataclass(slots=True) makes each class twice and the first is waste
    newest = list(reversed(cls.__subclasses__()))
    return newest + [deeper for one in newest for deeper in _below(one)]


def _read(hint: Any, value: Any, where: str, like: Any) -> Any:
    """A JSON value as what the type hint says."""
    hint = spell_out(hint)
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value if like is None or not is_dataclass(like) else _read_record(type(like), value, where, like)
    if origin in (Union, types.UnionType):
        return _read_union(args, value, where, like)
    if origin is Literal:
        if value not in args:
            raise _wrong(where, f"one of {', '.join(map(repr, args))}", value)
        return value
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _member(hint, value, where)
    if hint in _SCALARS:
        return _SCALARS[hint](value, where)
    if origin is tuple:
        return _read_tuple(args, value, where)
    if isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, Record)):
        return _read_record(hint, value, where, like)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _wrong(where, "a mapping", value)
        return {k: _read(args[1], v, _at(where, str(k)), None) for k, v in cast("Mapping[str, Any]", value).items()}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return [_read(args[0], item, f"{where}[{i}]", None) for i, item in enumerate(_list(value, where))]
    if _is_array(hint, origin):
        return _read_array(args, value, where)
    raise InvalidType(f"a record cannot hold a {hint}; the entry {where!r} needs another type hint")


def _read_union(args: tuple[Any, ...], value: Any, where: str, like: Any) -> Any:
    if value is None and type(None) in args:
        return None
    errors: list[InvalidInput] = []
    for hint in args:
        if hint is not type(None):
            try:
                return _read(hint, value, where, like)
            except InvalidInput as error:
                errors.append(error)
    # with one alternative to None its own complaint is the precise one, and it names the innermost entry
    raise errors[-1]


def _read_tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    items = _list(value, where)
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_read(args[0], item, f"{where}[{i}]", None) for i, item in enumerate(items))
    if len(items) != len(args):
        raise _wrong(where, f"a list of {len(args)}", value)
    return tuple(
        _read(hint, item, f"{where}[{i}]", None) for i, (hint, item) in enumerate(zip(args, items, strict=True))
    )


def _list(value: Any, where: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise _wrong(where, "a list", value)
    return cast("Sequence[Any]", value)


def _member(kind: type[Enum], value: Any, where: str) -> Enum:
    for member in kind:
        if member.value == value:
            return member
    raise _wrong(where, f"one of {', '.join(repr(member.value) for member in kind)}", value)


def _float(value: Any, where: str) -> float:
    if (isinstance(value, int | float) and not isinstance(value, bool)) or value in NOT_FINITE:
        return float(value)
    raise _wrong(where, "a number (or 'inf', '-inf', 'nan')", value)


def _complex(value: Any, where: str) -> complex:
    if isinstance(value, Mapping) and set(cast("Mapping[str, Any]", value)) == {"real", "imag"}:
        return complex(*(_float(value[part], _at(where, part)) for part in ("real", "imag")))
    return complex(_float(value, where))


def _exactly(kind: type, words: str) -> Callable[[Any, str], Any]:
    """What reads an entry of one type of JSON's as it is."""

    def read(value: Any, where: str) -> Any:
        # True is a whole number to Python, and a mistake where one is expected
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise _wrong(where, words, value)
        return value

    return read


# What reads the entry of a scalar, by its hint.
_SCALARS: dict[Any, Callable[[Any, str], Any]] = {
    bool: _exactly(bool, "true or false"),
    int: _exactly(int, "a whole number"),
    float: _float,
    complex: _complex,
    str: _exactly(str, "text"),
    type(None): _exactly(type(None), "null"),
}


def _is_array(hint: Any, origin: Any) -> bool:
    return getattr(origin or hint, "__name__", "") == "ndarray"


def _read_array(args: tuple[Any, ...], value: Any, where: str) -> Any:
    # imported here: rules use this page and stay free of NumPy
    import numpy as np

    # NDArray[T] is ndarray[shape, dtype[T]]; T is Any where an array may be real or complex
    scalar = get_args(args[-1])[0] if args else Any
    wanted: Any = None if scalar is Any else scalar
    if isinstance(value, Mapping) and set(cast("Mapping[str, Any]", value)) == {"real", "imag"}:
        if wanted is not None and not issubclass(wanted, np.complexfloating):
            raise _wrong(where, "a list of real numbers", value)
        parts = [_read_array((), value[part], _at(where, part)) for part in ("real", "imag")]
        if parts[0].shape != parts[1].shape:
            raise _wrong(where, "as many imaginary parts as real ones", value)
        # put together by hand: real + 1j * imag is nan where imag is infinite
        whole = np.empty(parts[0].shape, dtype=np.complex128 if wanted is None else wanted)
        whole.real, whole.imag = parts
        return whole
    try:
        array = np.asarray(_numbers(_list(value, where), where))
    except ValueError as error:
        if isinstance(error, InvalidInput):
            raise
        raise _wrong(where, "a list whose rows are equally long", value) from error
    if array.size and wanted is not None and issubclass(wanted, np.bool_) != (array.dtype.kind == "b"):
        raise _wrong(where, "a list of true and false" if issubclass(wanted, np.bool_) else "a list of numbers", value)
    if array.size and wanted is not None and issubclass(wanted, np.integer) and array.dtype.kind not in "iu":
        raise _wrong(where, "a list of whole numbers", value)
    return array if wanted is None else array.astype(wanted)


def _numbers(items: Sequence[Any], where: str) -> list[Any]:
    """Nested lists of numbers, the words for inf and nan read."""
    return [
        _numbers(cast("Sequence[Any]", item), where)
        if isinstance(item, list | tuple)
        else item
        if isinstance(item, int | float)
        else _float(item, f"{where}[{i}]")
        for i, item in enumerate(items)
    ]
