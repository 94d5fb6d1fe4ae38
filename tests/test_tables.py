import csv
from dataclasses import dataclass

import pytest

from surefoot.tables import Table, align, spread


@dataclass(frozen=True)
class Squares(Table):
    last: int

    def rows(self):
        yield "x", "x^2"
        yield from ((x, x * x) for x in range(self.last + 1))


def test_a_table_is_written_with_its_heading(tmp_path):
    with Squares(2).to_csv(tmp_path / "squares.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["x", "x^2"], ["0", "0"], ["1", "1"], ["2", "4"]]


def test_columns_are_as_wide_as_they_have_to_be():
    rows = [("name", "n"), ("a", "100"), ("long name", "")]
    assert align(rows) == ["  name       n", "  a          100", "  long name"]


@pytest.mark.parametrize("powers", [False, True])
@pytest.mark.parametrize("length", [0, 1, 5, 12, 13, 1000, 100_000])
def test_rows_are_spread_from_the_first_to_the_last(length, powers):
    kept = spread(length, 12, powers=powers)
    assert kept == sorted(set(kept))
    assert len(kept) <= 12
    if length:
        assert (kept[0], kept[-1]) == (0, length - 1)
    if length <= 12:
        assert kept == list(range(length))


def test_rows_are_spread_evenly_or_over_the_powers_of_ten():
    assert spread(101, 5) == [0, 25, 50, 75, 100]
    assert spread(10_000, 5, powers=True) == [0, 9, 99, 999, 9999]
