"""States to JSON and back: a rule stopped in mid-run goes on with the same steps, to the last bit."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, cast

from surefoot.errors import InvalidInput, InvalidType

__all__ = ["dump", "load"]

# JSON has no NaN and no infinity; a one-entry object stands for them.
_FLOAT = "float"

S = TypeVar("S")


def dump(state: Any) -> dict[str, Any]:
    """A state as plain JSON values.

    Parameters
    ----------
    state : frozen dataclass
        State made of numbers, strings, booleans, None, tuples of those and nested states.

    Returns
    -------
    dict
        `json.dumps` takes it; Python's floats survive the round trip exactly.
    """
    return {field.name: _encoded(getattr(state, field.name)) for field in fields(state)}


def load(data: Mapping[str, Any], like: S) -> S:
    """The inverse of `dump`.

    Parameters
    ----------
    data : mapping
        What `dump` returned, possibly through JSON.
    like : frozen dataclass
        Any state of the same shape, such as ``rule.init()``: it says which classes to build.

    Returns
    -------
    state
        Of the class of `like`.

    Raises
    ------
    InvalidInput
        If a field is missing or unknown.
    """
    names = [field.name for field in fields(cast(Any, like))]
    if set(names) != set(data):
        raise InvalidInput(
            f"a {type(like).__name__} has the fields {sorted(names)}; got {sorted(data)}; "
            "load it with the rule (and wrappers) that it was dumped from"
        )
    build = cast(Any, type(like))
    return build(**{name: _decoded(data[name], getattr(like, name)) for name in names})


def _encoded(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_FLOAT: repr(float(value))}
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, tuple):
        return [_encoded(item) for item in cast("tuple[Any, ...]", value)]
    if is_dataclass(value):
        return dump(value)
    raise InvalidType(f"a state holds numbers, strings, None, tuples and states; got a {type(value).__name__}")


def _decoded(value: Any, like: Any) -> Any:
    if is_dataclass(like):
        return load(value, like)
    if isinstance(value, Mapping):
        return float(cast("Mapping[str, str]", value)[_FLOAT])
    if isinstance(value, list):
        return tuple(_decoded(item, None) for item in cast("list[Any]", value))
    return value
