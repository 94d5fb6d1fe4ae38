"""Paths as people type them, on the systems that they have: ~, drives, names that one takes and another does not."""

import os
import subprocess
import sys
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import numpy as np
import pytest

from surefoot.checks import as_path
from surefoot.errors import InvalidInput, UnknownTarget
from surefoot.logs import EventWriter, JsonLines, read_log
from surefoot.playground import play
from surefoot.tables import write_csv
from surefoot.targets import _own, resolve
from surefoot.targets._registry import entry_of

ROOT = Path(__file__).parents[1]
# What Windows forbids in a name, and the names it keeps for devices, whatever their suffix.
FORBIDDEN = set('<>:"|?*\\')
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


class Windows(PureWindowsPath):
    """A path of Windows on a machine that has no such file."""

    def exists(self):
        return False


@pytest.fixture
def home(tmp_path, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    return tmp_path


def test_home_is_a_tilde(home):
    assert as_path("~/a") == home / "a"
    assert as_path(Path("~")) == home
    assert as_path("a~/b") == Path("a~/b")


@pytest.mark.parametrize("path", ["~nobody-of-this-name/a", "a\0b", Path("a\0b")])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(InvalidInput, match=r"cannot be found|holds a NUL"):
        as_path(path)


WRITERS = {
    "table.csv": lambda path: write_csv([("a", "b")], path),
    "log.jsonl": lambda path: JsonLines(path).close(),
    "events": lambda path: EventWriter(path).close(),
    "page.html": lambda path: play(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_writers_know_the_home_folder(name, home):
    WRITERS[name](f"~/{name}")
    assert (home / name).exists()
    with pytest.raises(InvalidInput, match="cannot be found"):
        WRITERS[name](f"~nobody-of-this-name/{name}")


def test_figures_and_reports_know_the_home_folder(home):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    from surefoot.report import Page, Section, write_page
    from surefoot.report.figures import save_figure

    write_page(Page(title="t", subject="s", sections=[Section(title="a", text="b")], trust=[]), "~/report.html")
    save_figure("<svg></svg>", "~/figure.svg")
    assert (home / "report.html").is_file()
    assert b"\r" not in (home / "figure.svg").read_bytes()


def test_readers_know_the_home_folder(home):
    np.save(home / "matrix.npy", np.diag([1.0, 2.0]))
    (home / "log.csv").write_text("step,loss\n0,2\n1,1\n", encoding="utf-8")
    assert resolve("~/matrix.npy")[0].problem.size == 2
    assert len(read_log("~/log.csv").rows) == 2


def test_a_name_too_long_for_a_file_is_an_unknown_target():
    with pytest.raises(UnknownTarget, match="give a built-in name"):
        entry_of("a" * 5000)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        (r"C:\data\table.csv", "FILE"),
        ("C:/data/table.csv", "FILE"),
        ("c:table.csv", "FILE"),
        (r"..\matrix.MTX", "FILE"),
        (r"\\server\share\a.npz", "FILE"),
        (r"C:\data\table", "FILE"),
        ("model:make", "MODULE:FACTORY"),
        ("package.model:make", "MODULE:FACTORY"),
        (r"C:\work\model.py:make", "MODULE:FACTORY"),
        ("./model.py:make", "MODULE:FACTORY"),
        ("digits", "digits"),
        ("ode:lorenz", "ode:lorenz"),
    ],
)
@pytest.mark.parametrize("system", [Windows, Path])
def test_a_drive_is_no_module(name, row, system, monkeypatch):
    monkeypatch.setattr(_own, "as_path", system)
    try:
        taken_for = entry_of(name).name
    except UnknownTarget as error:  # none of them is here
        taken_for = "FILE" if "there is no such file" in str(error) else str(error)
    assert taken_for == row


def test_a_function_in_a_file_is_told_how_it_is_named():
    with pytest.raises(UnknownTarget, match=r"for my_model\.py write"):
        resolve("./model.py:make")


def is_portable(name):
    return not FORBIDDEN & set(name) and name.partition(".")[0].lower() not in DEVICES and name == name.rstrip(" .")


def test_names_that_surefoot_makes_are_names_on_windows(tmp_path):
    assert not is_portable("a:b")
    assert not is_portable("nul.txt")
    writer = EventWriter(tmp_path)
    writer.close()
    assert is_portable(writer.path.name)


def test_a_checkout_fits_windows_and_macos():
    """No name of a device, and no two names that differ in case alone."""
    files = [
        path.relative_to(ROOT).as_posix()
        for folder in ("src", "tests", "docs", "examples", "benchmarks", "tools")
        for path in (ROOT / folder).rglob("*")
        if "__pycache__" not in path.parts
    ]
    assert len(files) > 700
    assert [file for file in files if not all(map(is_portable, file.split("/")))] == []
    assert len({file.casefold() for file in files}) == len(files)


def test_snapshots_on_windows_open_no_folder_and_signal_no_process(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    from surefoot.training.loop import _storage as storage

    def never(*arguments):
        raise AssertionError(arguments)

    # os.kill ends a process there, whatever the signal; a folder cannot be opened
    windows = SimpleNamespace(name="nt", getpid=lambda: 7, fsync=lambda handle: None, open=never, kill=never)
    monkeypatch.setattr(storage, "os", windows)
    (tmp_path / "run.3.99.part").write_bytes(b"")
    store = storage.DirectoryStore(tmp_path, "run")
    saved = storage.write_atomically({"a": torch.ones(2)}, tmp_path, "run", 5)
    assert storage.saved_in(tmp_path) == [saved]
    assert is_portable(saved.path.name)
    assert store.steps == []


def test_snapshots_know_the_home_folder(home):
    pytest.importorskip("torch")
    from surefoot.training.loop._storage import store_for

    store_for(Path("~/kept"), "run")
    assert (home / "kept").is_dir()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_pipe_that_cannot_spell_a_name_is_no_reason_to_fail(encoding, tmp_path):
    (tmp_path / "损失.csv").write_text("step,loss\n" + "".join(f"{k},{1 / (k + 1)}\n" for k in range(40)), "utf-8")
    code = "import sys; from surefoot.cli import run; sys.exit(run(sys.argv[1:]))"
    said = subprocess.run(
        [sys.executable, "-c", code, "why", "损失.csv"], capture_output=True, cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": encoding}, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith(rb"\u635f\u5931.csv: ")
