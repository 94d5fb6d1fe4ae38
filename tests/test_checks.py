"""Type hints as NumPy 2.5 spells them: aliases made by a ``type`` statement."""

from dataclasses import dataclass

import numpy as np
import pytest

from surefoot.checks import checked, spell_out
from surefoot.errors import InvalidType
from surefoot.records import Record

aliases = pytest.importorskip("typing_extensions")
Scalar = aliases.TypeVar("Scalar", bound=np.generic)
# as numpy.typing.NDArray is there
Numbers = aliases.TypeAliasType("Numbers", np.ndarray[tuple[int, ...], np.dtype[Scalar]], type_params=(Scalar,))


@dataclass(frozen=True, slots=True, eq=False)
class Held(Record):
    """A result with an array."""

    grid: Numbers[np.float64]
    points: Numbers[np.complex128] | None


@checked
def first(grid: Numbers[np.float64]) -> float:
    """Its first entry."""
    return float(grid[0])


def test_an_alias_is_what_it_stands_for():
    assert spell_out(Numbers[np.float64]) == np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    assert spell_out(float) is float


def test_a_record_holds_an_array_by_an_alias():
    held = Held(np.asarray([1.0, np.inf]), np.asarray([1j]))
    again = Held.from_dict(held.to_dict())
    np.testing.assert_array_equal(again.grid, held.grid)
    np.testing.assert_array_equal(again.points, held.points)


def test_an_argument_is_checked_by_an_alias():
    assert first(np.asarray([2.0])) == 2.0
    with pytest.raises(InvalidType, match="array of numbers"):
        first("two")
