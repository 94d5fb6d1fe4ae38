"""The verbs that run rules: `race` and `run`."""

import csv
import json
import sys

import numpy as np
import pytest

SMALL = ("quadratic", "--size", "30", "--condition", "100", "--spectrum", "log")


def test_a_race_is_a_table(command):
    code, out, err = command("race", *SMALL, "--rules", "auto,constant:safe,heavy-ball", "--steps", "200")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "reached a gap of 1e-06 first" in lines[0]
    assert lines[1] == "  for quadratic, 30 unknowns, condition 100, log spectrum: a race of 5"
    assert "gradients to 0.001  gradients to 1e-06  final gap" in lines[4]
    assert [line.split()[0] for line in lines[5:10]] == ["auto", "constant:safe", "heavy-ball", "CG", "L-BFGS-B"]


def test_a_race_as_json_with_csv_and_report(command, here):
    code, out, err = command(
        "race", *SMALL, "--rules", "bb", "--json", "--csv", "curves.csv", "--report", "race.html"
    )  # fmt: skip
    record = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert code == 0
    assert record["kind"] == "race"
    assert [entry["name"] for entry in record["entries"]] == ["bb", "CG", "L-BFGS-B"]
    assert err == f"table: {here / 'curves.csv'}\nreport: {here / 'race.html'}\n"
    with (here / "curves.csv").open(newline="") as file:
        heading, *rows = csv.reader(file)
    assert heading == ["rule", "gradients", "seconds", "gap"]
    assert len(rows) == sum(entry["gradients"] for entry in record["entries"])
    assert "Which rule gets there first?" in (here / "race.html").read_text(encoding="utf-8")


def test_two_problems_of_one_name_race_one_after_the_other(command, here):
    pytest.importorskip("sklearn")
    code, out, _ = command("race", "breast-cancer", "--rules", "auto", "--steps", "30", "--json", "--csv", "c.csv")
    record = json.loads(out)
    assert code == 0
    assert record["kind"] == "races"
    raw, standardised = record["races"]
    assert raw["problem"].startswith("breast-cancer, raw")
    assert raw["entries"][0]["final"] > standardised["entries"][0]["final"]
    with (here / "c.csv").open(newline="") as file:
        heading, *rows = csv.reader(file)
    assert heading[0] == "problem"
    assert {row[0] for row in rows} == {raw["problem"], standardised["problem"]}


def test_a_file_can_be_raced(command, here):
    np.save(here / "matrix.npy", np.diag([1.0, 2.0, 4.0]))
    code, out, _ = command("race", "matrix.npy", "--rules", "auto")
    assert code == 0
    assert "CG (SciPy)" in out


def test_a_run_that_converges(command):
    code, out, err = command("run", *SMALL)
    assert (code, err) == (0, "")
    assert out.startswith("good: converged, loss ")
    assert out.splitlines()[1] == "  for quadratic, 30 unknowns, condition 100, log spectrum: auto"
    assert "stable below 0.02 (2/L, L <= 100)" in out


def test_a_run_that_diverges_says_why_and_is_exit_code_1(command, here):
    code, out, err = command("run", *SMALL, "--rule", "constant:2.2/L", "--steps", "100", "--report", "run.html")
    assert (code, err) == (1, "")
    assert out.startswith("diverged: all steps used, loss ")
    assert "exceed the limit 0.02 (2/L, L <= 100), at up to 1.1 times it" in out
    assert "Diverged." in (here / "run.html").read_text(encoding="utf-8")


def test_a_run_as_json(command):
    code, out, err = command("run", *SMALL, "--rule", "constant", "--step", "0.01", "--steps", "20", "--json")
    record = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (code, err) == (0, "")
    assert record["kind"] == "run"
    assert record["rule"] == "constant, step 0.01"
    assert record["descent"]["trace"]["step"][1:] == [0.01] * 20


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["race", "quadratic", "--rules", "auot"], "error: unknown rule 'auot'", "hint: did you mean auto?"),
        (["race", "quadratic", "--rules", ","], "error: --rules is empty", "hint: name some"),
        (["race", "quadratic", "--tol", "2"], "error: tol must lie strictly between 0 and 1", ""),
        (["race", "quadratic", "--steps", "0"], "error: invalid value for '--steps'", "hint: surefoot race --help"),
        (["race", "quadratic", "--spectrum", "flat"], "error: unknown spectrum 'flat'", "hint: choose one of linear"),
        (["race", "quadratic", "--csv", "no/c.csv"], "error: there is no folder", "hint: create it"),
        (["race", "quadratic", "--report", "no/r.html"], "error: there is no folder", "hint: create it"),
        (["race", "digits-softmax", "--size", "3"], "error: --size is an option of quadratic", "hint: leave it"),
        (["race", "zzz"], "error: unknown target 'zzz'", "hint: give a built-in name"),
        (["run", "quadratic", "--rule", "constant"], "error: constant needs a step", "hint: write constant:0.1"),
        (["run", "quadratic", "--rule", "cosine:x"], "error: cosine takes a positive number", ""),
        (["run", "quadratic", "--step", "-1"], "error: step must be positive", ""),
        (["run", "quadratic", "--tol", "-1"], "error: tol must be finite and >= 0", ""),
        (["run"], "error: missing argument 'TARGET'", "hint: surefoot run --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_exit_code_2_and_a_line(command, here, arguments, error, hint):
    code, out, err = command(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith(error)
    assert len(err.splitlines()) <= 2
    assert not hint or err.splitlines()[-1].startswith(hint)


def test_a_problem_without_a_minimum_cannot_be_raced(command, here):
    np.save(here / "saddle.npy", np.diag([1.0, -1.0]))
    code, _, err = command("race", "saddle.npy")
    assert code == 2
    assert "no minimum to race to" in err


def test_a_table_that_cannot_be_written(command, here):
    (here / "folder").mkdir()
    code, _, err = command("race", *SMALL, "--rules", "auto", "--csv", "folder")
    assert code == 2
    assert "hint: give the name of a file in it" in err


OWN = """
import surefoot as sf

def rule():
    return sf.rules.Constant(step=0.01)

def method():
    return sf.methods.from_update(lambda state, f: (state[0] + 0.5 * f(state[0]),), memory=1)

def both():
    return rule(), method()

def neither():
    return 3
"""


@pytest.fixture
def own(here, monkeypatch):
    """A module of the user's in the current folder."""
    (here / "own_rules.py").write_text(OWN)
    monkeypatch.delitem(sys.modules, "own_rules", raising=False)


def test_rules_and_methods_of_ones_own(command, own):
    code, out, _ = command("region", "own_rules:method")
    assert code == 0
    assert "from 0 to -4 on the real axis" in out
    rules = "own_rules:rule,own_rules:both,constant:optimal,own_rules:method"
    code, out, _ = command("race", *SMALL, "--rules", rules, "--json")
    plain, halved, optimal, own = [entry["reached"]["0.001"] for entry in json.loads(out)["entries"][:4]]
    # half the step takes nearly twice the gradients; a method by itself is taken at its best step
    assert 1.9 * plain < halved < 2.1 * plain
    assert own == optimal


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        ("run quadratic --rule own_rules:neither", "own_rules:neither() returned a int", "return a rule, a method"),
        ("run quadratic --rule own_rules:rul", "own_rules has no rul", "did you mean rule?"),
        ("run quadratic --rule own_rules:rule --step 0.1", "own_rules:rule says its own steps", "leave it out"),
        ("run breast-cancer --rule constnat:safe", "unknown rule 'constnat:safe'", "did you mean constant?"),
        ("run quadratic --rule nowhere:rule", "there is no module nowhere", "run the command from the folder"),
        ("region own_rules:rule", "own_rules:rule() returned a Constant", "return a surefoot.methods.Method"),
    ],
)
def test_what_a_factory_of_rules_may_not_be(command, own, line, error, hint):
    code, out, err = command(*line.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {error}")
    assert err.splitlines()[-1].startswith(f"hint: {hint}")
