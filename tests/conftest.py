"""What every test may count on."""

import gc
from importlib.util import find_spec

import pytest
from hypothesis import settings

# No test depends on time: what takes Hypothesis 200 ms on a busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Without PyTorch the rest can still be tested: `make compat` does.
NEED_TORCH = ["training", "integrations", "test_docs.py", "test_public_edge.py", "test_records.py"]
collect_ignore = [] if find_spec("torch") else NEED_TORCH
# No test, but a module that is looked through for doctests.
collect_ignore += [] if find_spec("transformers") else ["integrations/tiny_models.py"]

# 800,000 objects of the imported libraries stay for good: to look for garbage among them again and again while they are
# imported takes a fifth of the time that this takes.
gc.disable()


def pytest_collection_finish():
    """What is here by now is never looked through again."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _no_width(monkeypatch):
    """No width of a terminal: the command then keeps its lines, whatever process the tests run in."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="session")
def chromium():
    """One browser for all the pages that a process looks at: to start one costs as much as to look at ten."""
    from browser import PATH, browser

    if PATH is None:
        pytest.skip("needs Chromium")
    with browser() as opened:
        yield opened


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
