"""The verbs that draw, and `advise` on a differential equation, as a user types them."""

import csv
import json

import pytest

from surefoot.cli import run


def test_region_prints_limits_and_draws(tmp_path, capsys):
    path = tmp_path / "rk4.svg"
    assert run(["region", "rk4", "--svg", str(path)]) == 0
    out = capsys.readouterr().out
    assert "-2.78529356" in out
    assert "2.82842712" in out
    assert ["180", "2.78529"] in [line.split() for line in out.splitlines()]
    assert path.read_text().lstrip().startswith("<")


def test_region_json(capsys):
    assert run(["region", "euler", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["kind"] == "region"
    assert record["real_limit"] == 2


def test_orbit_finds_the_doublings_of_an_rnn(tmp_path, capsys):
    svg, table = tmp_path / "rnn.svg", tmp_path / "rnn.csv"
    assert run(["orbit", "rnn", "--count", "2", "--svg", str(svg), "--csv", str(table)]) == 0
    out = capsys.readouterr().out
    assert "2.11944016" in out
    assert "2.82550108" in out
    assert "chaotic" in out
    assert svg.exists()
    with table.open() as lines:
        assert len(list(csv.reader(lines))) > 1000


@pytest.mark.slow
def test_orbit_of_a_torch_network(tmp_path, capsys):
    pytest.importorskip("torch")
    png = tmp_path / "rnn.png"
    assert run(["orbit", "torch-rnn", "--count", "1", "--low", "3", "--png", str(png)]) == 0
    out = capsys.readouterr().out
    assert "3.46799580" in out
    assert "chaotic" in out
    assert png.read_bytes().startswith(b"\x89PNG")


def test_orbit_json(capsys):
    assert run(["orbit", "cubic", "--count", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cascade"]


def test_an_equation_is_diagnosed(capsys):
    assert run(["advise", "ode:fast-slow"]) == 0
    assert "recommendation confirmed" in capsys.readouterr().out
    assert run(["advise", "ode:fast-slow", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "diagnosis"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["region", "rk5"], "unknown method 'rk5'"),
        (["region", "rk4", "--svg", "/no/such/folder/x.svg"], "folder"),
        (["orbit", "lorenz"], "unknown target 'lorenz'"),
        (["orbit", "rnn", "--low", "3", "--high", "2"], "0 < low < high"),
        (["advise", "ode:nothing"], "unknown target"),
        (["advise", "ode:kepler", "--loss", "logistic"], "--loss is an option of a file"),
        (["advise", "ode:kepler", "--density"], "do not go with a differential equation"),
    ],
)
def test_bad_input_is_one_line_and_a_hint(arguments, says, capsys):
    assert run(arguments) == 2
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("option", "name", "right"), [("--svg", "a.png", "a.svg"), ("--report", "a.pdf", "a.html")])
def test_the_ending_of_another_format_is_a_slip(option, name, right, tmp_path, capsys):
    assert run(["region", "rk4", option, str(tmp_path / name)]) == 2
    assert f"give a name such as {right}" in capsys.readouterr().err
