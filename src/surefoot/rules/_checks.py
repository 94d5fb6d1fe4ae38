"""Validation of what a person configures a rule with."""

import math
from collections.abc import Callable
from typing import Any

from surefoot.errors import InvalidInput, InvalidType

__all__ = ["fraction", "number", "optional", "positive", "whole"]


def positive(config: Any, *names: str) -> None:
    """Each field a positive, finite number, kept as a Python float."""
    _require(config, names, lambda value: 0 < value < math.inf, "must be positive and finite")


def fraction(config: Any, *names: str) -> None:
    """Each field strictly between 0 and 1, kept as a Python float."""
    _require(config, names, lambda value: 0 < value < 1, "must lie strictly between 0 and 1")


def number(config: Any, *names: str, least: float = -math.inf, most: float = math.inf) -> None:
    """Each field a finite number in [least, most], kept as a Python float."""
    inside = f"must be a finite number in [{least:g}, {most:g}]" if least > -math.inf else "must be a finite number"
    _require(config, names, lambda value: math.isfinite(value) and least <= value <= most, inside)


def whole(config: Any, *names: str, least: int = 1) -> None:
    """Each field a whole number of at least `least`, kept as a Python int."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not hasattr(value, "__index__") or value.__index__() < least:
            raise InvalidInput(f"{name} must be a whole number >= {least}; got {value!r}")
        object.__setattr__(config, name, value.__index__())


def optional(check: Callable[..., None], config: Any, *names: str) -> None:
    """The same check for each field that is not None."""
    check(config, *(name for name in names if getattr(config, name) is not None))


def _require(config: Any, names: tuple[str, ...], holds: Callable[[float], bool], requirement: str) -> None:
    for name in names:
        value = getattr(config, name)
        try:
            cleaned = float(value)
        except (TypeError, ValueError):
            raise InvalidType(f"{name} {requirement}; got {value!r} of type {type(value).__name__}") from None
        if not holds(cleaned):
            raise InvalidInput(f"{name} {requirement}; got {value!r}")
        object.__setattr__(config, name, cleaned)
