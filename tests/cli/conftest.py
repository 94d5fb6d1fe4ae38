"""What the tests of the command share: an empty current folder, and a command line that is run in it."""

import pytest

from surefoot.cli import run


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(capsys):
    """Runs a command line: (exit code, stdout, stderr)."""

    def call(*arguments):
        code = run(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
