"""The command: results on stdout, the rest on stderr, exit codes, and never a traceback."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import surefoot as sf
from surefoot.cli import _advise, _console, run
from surefoot.cli._failures import of_any
from surefoot.cli._verbs import VERBS
from surefoot.targets import registry

MATRIX = np.diag([1.0, 2.0, 4.0])


@pytest.fixture
def matrix(here):
    """The name of a file with a small matrix."""
    np.save(here / "matrix.npy", MATRIX)
    return "matrix.npy"


def without_seconds(text):
    return [line for line in text.splitlines() if "cost:" not in line]


def test_advice_on_a_matrix_is_printed(command, matrix):
    code, out, err = command("advise", matrix)
    assert code == 0
    assert without_seconds(out) == without_seconds(str(sf.advise(MATRIX)))
    assert err == ""


def test_json_is_the_record_and_nothing_else(command, matrix):
    code, out, err = command("advise", matrix, "--json")
    assert code == 0
    record = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    expected = sf.advise(MATRIX).to_dict()
    assert record["recommendations"] == json.loads(json.dumps(expected["recommendations"]))
    assert record["kind"] == "advice"
    assert err == ""


def test_a_report_is_written_and_announced(command, matrix, here):
    code, out, _ = command("advise", matrix, "--report", "report.html")
    assert code == 0
    assert out.splitlines()[-1] == f"report: {here / 'report.html'}"
    assert (here / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_json_stays_pure_beside_a_report(command, matrix, here):
    _, out, err = command("advise", matrix, "--json", "--report", "report.html")
    json.loads(out)
    assert err == f"report: {here / 'report.html'}\n"


def test_a_file_with_a_loss(command, here):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 2))
    rows = np.column_stack([x, x @ [1.0, -2.0]])
    np.savetxt(here / "data.csv", rows, delimiter=",", header="a,b,target", comments="")
    code, out, _ = command("advise", "data.csv", "--loss", "least-squares", "--label", "target")
    assert code == 0
    assert re.match(r"take .* for least squares, 40 x 2\n  TRIED: ", out)


def test_two_targets_of_one_name(command):
    code, out, _ = command("advise", "breast-cancer", "--json")
    record = json.loads(out)
    assert code == 0
    assert record["kind"] == "advices"
    raw, standardised = (advice["recommendations"][0]["limits"]["stable"] for advice in record["advices"])
    assert standardised > 1e4 * raw


def test_the_seed_is_passed_on(command, matrix):
    first, again, other = (json.loads(command("advise", matrix, "--json", "--rng", n)[1]) for n in "112")
    assert first["recommendations"] == again["recommendations"]
    assert first["recommendations"] != other["recommendations"]


def test_an_abstention_is_exit_code_1(command, here):
    np.save(here / "flat.npy", np.zeros((3, 3)))
    code, out, err = command("advise", "flat.npy")
    assert code == 1
    assert out.startswith("no advice for quadratic, 3 unknowns\n  the loss is flat")
    assert err == ""


def test_what_is_there_is_listed(command):
    code, out, _ = command("list")
    assert code == 0
    rows = [line.split()[:2] for line in out.splitlines()[1:]]
    assert rows == [[entry.name, entry.kind or "yours"] for entry in registry()]
    assert {"digits", "ode:lorenz", "rnn", "FILE"} <= {name for name, _ in rows}


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        ("race digits", "race takes problems, and digits is a network", "surefoot advise digits (also run, sweep"),
        ("race ode:robertson", "and ode:robertson is a differential equation", "surefoot advise ode:robertson"),
        ("run ode:kepler", "run takes problems and networks, and ode:kepler", "surefoot advise ode:kepler"),
        ("advise rnn", "and rnn is a map", "surefoot orbit rnn"),
        ("orbit quadratic", "orbit takes maps, and quadratic is a problem", "surefoot advise quadratic (also run"),
        ("orbit own:equation", "and own:equation is a differential equation", "surefoot advise own:equation"),
    ],
)
def test_a_target_of_the_wrong_kind_is_told_what_it_is_and_which_verb_takes_it(command, here, arguments, error, hint):
    (here / "own.py").write_text(
        "import surefoot as sf\n\ndef equation():\n"
        "    return sf.targets.ODE('decay', lambda t, y: -y, [1.0], (0.0, 1.0))\n"
    )
    code, out, err = command(*arguments.split())
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith("error: ")
    assert error in first
    assert second.startswith(f"hint: {hint}")


def test_every_kind_has_a_verb_and_every_verb_two_examples():
    taken = {kind for verb in VERBS for kind in verb.takes}
    assert {entry.kind for entry in registry() if entry.kind} <= taken
    for verb in VERBS:
        assert len(verb.examples) >= 2
        assert all(line.split()[0] == verb.name for line in verb.examples)


def test_a_factory_that_prints_does_not_spoil_the_json(command, here):
    (here / "loud.py").write_text("def make():\n    print('loading')\n    return [[2.0, 0.0], [0.0, 1.0]]\n")
    code, out, err = command("advise", "loud:make", "--json")
    assert (code, json.loads(out)["kind"]) == (0, "advice")
    assert err == "loading\n"


def test_standard_output_that_is_a_pipe_is_no_report(matrix, here):
    # in a process of its own: only there is /dev/stdout a pipe whatever runs the tests
    arguments = [sys.executable, "-m", "surefoot", "advise", matrix, "--report", "/dev/stdout"]
    done = subprocess.run(arguments, cwd=here, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "/dev/stdout is a device or a pipe" in done.stderr


@pytest.mark.parametrize("name", ["/dev/null", "pipe", "link-to-pipe"])
def test_a_report_replaces_files_only(command, matrix, here, name):
    os.mkfifo(here / "pipe")
    (here / "link-to-pipe").symlink_to("pipe")
    code, _, err = command("advise", matrix, "--report", name)
    assert code == 2
    assert "is a device or a pipe" in err
    assert not os.path.isfile(name)


def test_a_report_through_a_link_is_where_the_link_points(command, matrix, here):
    (here / "elsewhere").mkdir()
    (here / "latest.html").symlink_to("elsewhere/report.html")
    assert command("advise", matrix, "--report", "latest.html")[0] == 0
    assert (here / "latest.html").is_symlink()
    assert (here / "elsewhere" / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_version(command):
    assert command("--version") == (0, f"surefoot {sf.__version__}\n", "")


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_names_the_verbs(command, arguments):
    code, out, _ = command(*arguments)
    assert code == 0
    for verb in ("advise", "run", "race", "list"):
        assert verb in out


def test_help_of_a_verb_names_its_options(command):
    code, out, _ = command("advise", "--help")
    assert code == 0
    for option in ("TARGET", "--loss", "--label", "--json", "--report", "--rng", "--quiet"):
        assert option in out


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["advise"], "error: missing argument 'TARGET'", "hint: surefoot advise --help"),
        (["advice"], "error: no such command 'advice'", "hint: surefoot --help"),
        (["advise", "x", "--nonsense"], "error: no such option: --nonsense", "hint: surefoot advise --help"),
        (["advise", "x", "--rng", "-1"], "error: invalid value for '--rng'", "hint: surefoot advise --help"),
        (["advise", "x", "--rng", "one"], "error: invalid value for '--rng'", "hint: surefoot advise --help"),
        (["advise", "digit"], "error: unknown target 'digit'", "hint: did you mean digits?"),
        (["advise", "zzz"], "error: unknown target 'zzz'", "hint: give a built-in name"),
        (["advise", "ode:lorentz"], "error: unknown target 'ode:lorentz'", "hint: did you mean ode:lorenz?"),
        (["advise", "nope.npy"], "error: nope.npy: ", "hint: "),
        (["advise", "matrix.npy", "--loss", "hinge"], "error: unknown loss 'hinge'", "hint: choose one of"),
        (["advise", "matrix.npy", "--report", "nowhere/r.html"], "error: there is no folder", "hint: create it"),
        (["advise", "matrix.npy", "--report", "."], "error: ", "hint: give the name of a file in it"),
        (["advise", "digits", "--loss", "logistic"], "error: --loss is an option of a file", "hint: leave it out"),
        (["advise", "nomodule:f"], "error: there is no module nomodule", "hint: run the command from the folder"),
        (["advise", "json:nope"], "error: json has no nope", "hint: "),
        (["advise", "json:"], "error: 'json:' is not of the form module:factory", "hint: "),
        (["advise", "os:getcwd"], "error: os:getcwd() returned a str", "hint: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_and_bad_input_are_exit_code_2(command, matrix, arguments, error, hint):
    code, out, err = command(*arguments)
    lines = err.splitlines()
    assert code == 2
    assert out == ""
    assert lines[0].startswith(error)
    assert len(lines) == 2
    assert lines[-1].startswith(hint)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bad.npy", b"not an array"),
        ("bad.csv", b"a,b\n1,x\n"),
        ("bad.mtx", b"%%MatrixMarket nonsense"),
        ("nan.npy", np.full((2, 2), np.nan)),
        ("wide.npy", np.ones((2, 3))),
        ("skew.npy", np.array([[0.0, 1.0], [-1.0, 0.0]])),
    ],
)
def test_a_bad_file_is_exit_code_2(command, here, name, content):
    if isinstance(content, bytes):
        (here / name).write_bytes(content)
    else:
        np.save(here / name, content)
    code, out, err = command("advise", name)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert name in err
    assert len(err.splitlines()) <= 2


def fail_with(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(_advise, "compute_advice", fail)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (sf.errors.NotRepeatable("two answers differ; call model.eval()"), 1, "error: two answers differ\nhint: call"),
        (sf.errors.NotSymmetric("not symmetric; got 3"), 1, "error: not symmetric; got 3\n"),
        (
            sf.errors.MissingExtra("no torch; pip install '.[training]' in a checkout of Surefoot"),
            1,
            "hint: pip install '.[",
        ),
        (ModuleNotFoundError("No module named 'pylops'", name="pylops"), 1, "hint: pip install pylops"),
        (RuntimeError("shapes (3,)\nand (4,)"), 1, "error: RuntimeError: shapes (3,) and (4,)\nhint: "),
        (ZeroDivisionError(), 1, "error: ZeroDivisionError\n"),
        (MemoryError(), 1, "error: out of memory\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_failed_computation_is_one_line(command, matrix, monkeypatch, error, code, said):
    fail_with(monkeypatch, error)
    got, out, err = command("advise", matrix)
    assert got == code
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 2


def test_a_traceback_can_be_asked_for(matrix, monkeypatch):
    monkeypatch.setenv("SUREFOOT_TRACEBACK", "1")
    fail_with(monkeypatch, ZeroDivisionError("seen"))
    with pytest.raises(ZeroDivisionError, match="seen"):
        run(["advise", matrix])


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_its_packages_it_says_what_to_install(package):
    code = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = ['surefoot', 'list']; "
        "from surefoot.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert (
        done.stderr
        == "error: the surefoot command needs Typer and Rich\nhint: pip install '.[cli]' in a checkout of Surefoot\n"
    )


def test_a_reader_that_leaves_is_no_error(matrix):
    code = (
        "import os, sys; os.close(1); r, w = os.pipe(); os.close(r); os.dup2(w, 1); sys.argv = ['surefoot', 'list']; "
    )
    code += "sys.stdout = os.fdopen(1, 'w'); from surefoot.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == ""


def test_usage_errors_are_known_by_what_they_can_do():
    class Usage(Exception):
        exit_code = 2

        def format_message(self):
            return "No such\nthing."

    stop = of_any(Usage())
    assert (stop.message, stop.hint, stop.code) == ("no such thing", "surefoot --help", 2)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    ticking = Clock()
    monkeypatch.setattr(_console, "time", ticking)
    return ticking


def test_a_long_wait_is_announced_once(capsys, clock):
    with _console.Meter() as meter:
        meter(0, 10, "SGD", None)
        clock.now = 1.0
        meter(1, 10, "SGD", 20.0)
        assert capsys.readouterr().err == ""
        meter(2, 10, "SGD", 59.0)
        meter(3, 10, "SGD", 300.0)
    assert capsys.readouterr().err == "this may take 60 s; Ctrl-C stops it\n"


def test_quiet_is_quiet(capsys, clock):
    with _console.Meter(quiet=True) as meter:
        clock.now = 10.0
        meter(1, 10, "SGD", 600.0)
    assert capsys.readouterr() == ("", "")


def test_a_bar_appears_after_two_seconds_in_a_terminal(monkeypatch, capsys, clock):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with _console.Meter() as meter:
        meter(1, 10, "SGD", 5.0)
        assert capsys.readouterr().err == ""
        clock.now = 3.0
        meter(2, 10, "[bold]AdamW", 5.0)
    assert "[bold]AdamW" in capsys.readouterr().err


def test_a_terminal_sees_the_same_words(monkeypatch, capsys):
    advice = sf.advise(MATRIX)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    _console.show(advice, sys.stdout)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    shown = [line.strip() for line in plain.splitlines()]
    assert shown == [line.strip() for line in str(advice).splitlines()]
