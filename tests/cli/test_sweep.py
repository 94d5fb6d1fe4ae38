"""The verb `sweep`, and figures as files, as a user types them."""

import csv
import json

import pytest

from surefoot.cli import run

MODEL = """
import torch
from surefoot.training import supervised

def factory():
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 16)[:, None]
    return torch.nn.Linear(1, 1), supervised(torch.nn.functional.mse_loss), (x, 2 * x + 1)
"""


@pytest.fixture
def factory(tmp_path, monkeypatch):
    (tmp_path / "sweepable.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return "sweepable:factory"


def test_a_model_of_ones_own(factory, tmp_path, capsys):
    pytest.importorskip("torch")
    files = {name: tmp_path / f"sweep.{name}" for name in ("svg", "png", "csv", "html")}
    arguments = ["sweep", factory, "--low", "0.1", "--high", "2", "--count", "6", "--steps", "200"]
    options = [f"--{'report' if name == 'html' else name}={path}" for name, path in files.items()]
    assert run([*arguments, *options]) == 0
    out = capsys.readouterr().out
    assert "good" in out
    assert "diverged" in out
    assert "16 samples" in out
    assert files["svg"].read_text().startswith("<svg xmlns")
    assert "var(--" not in files["svg"].read_text()
    assert files["png"].read_bytes().startswith(b"\x89PNG")
    assert "Where does each rate lead?" in files["html"].read_text(encoding="utf-8")
    with files["csv"].open() as lines:
        rows = list(csv.DictReader(lines))
    # the loss is w'^2/3 + b'^2 around its minimum: the limit is 2/2 = 1
    assert [row["verdict"] == "diverged" for row in rows] == [float(row["rate"]) > 1 for row in rows]


def test_json_and_a_cap(factory, capsys):
    pytest.importorskip("torch")
    arguments = ["sweep", factory, "--low", "1.2", "--high", "2", "--count", "2", "--steps", "400", "--clip", "0.1"]
    assert run([*arguments, "--json", "--quiet"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["kind"] == "sweep"
    assert [o["ending"] for o in record["outcomes"]] == ["oscillating", "oscillating"]
    assert [o["period"] for o in record["outcomes"]] == [2, 2]


def test_a_classical_problem_and_two_in_one(tmp_path, capsys):
    pytest.importorskip("sklearn")
    assert run(["sweep", "quadratic", "--count", "3", "--steps", "130", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outcomes"][-1]["ending"] == "diverged"
    report = tmp_path / "two.html"
    assert run(["sweep", "breast-cancer", "--count", "2", "--steps", "130", "--report", str(report)]) == 0
    assert report.read_text(encoding="utf-8").count("<h2>") == 3
    assert run(["sweep", "breast-cancer", "--count", "2", "--svg", str(tmp_path / "x.svg")]) == 2
    assert "stands for 2 targets" in capsys.readouterr().err


def test_orbits_and_regions_as_pixels(tmp_path):
    for arguments in (["orbit", "cubic", "--count", "1"], ["region", "rk4"]):
        path = tmp_path / "picture.png"
        assert run([*arguments, "--png", str(path)]) == 0
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sweep", "quadratic", "--low", "0.1"], "go together"),
        (["sweep", "quadratic", "--low", "2", "--high", "1"], "0 < low < high"),
        (["sweep", "quadratic", "--steps", "10"], "invalid value for '--steps'"),
        (["sweep", "quadratic", "--momentum", "1"], "momentum"),
        (["sweep", "quadratic", "--clip", "-1"], "clip"),
        (["sweep", "no-such-thing"], "unknown target"),
        (["sweep", "quadratic", "--png", "/no/such/folder/x.png"], "folder"),
    ],
)
def test_bad_input_is_one_line_and_a_hint(arguments, says, capsys):
    assert run(arguments) == 2
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err
