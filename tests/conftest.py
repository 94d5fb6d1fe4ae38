"""What every test may count on."""

import pytest


@pytest.fixture(autouse=True)
def _no_width(monkeypatch):
    """No width of a terminal: the command then keeps its lines, whatever process the tests run in."""
    monkeypatch.delenv("COLUMNS", raising=False)
