"""What every test may count on."""

import pytest


@pytest.fixture(autouse=True)
def _no_width(monkeypatch):
    """No width of a terminal: the command then keeps its lines, whatever process the tests run in."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    """The command in an empty folder: arguments to exit code, output and errors."""
    pytest.importorskip("typer")
    from surefoot.cli import run

    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = run(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
