"""Ctrl-C: what was found until then is shown, as text or JSON, and the exit code says that it is not all."""

import json
import subprocess
import sys

import pytest

import surefoot as sf
from surefoot.cli._console import Meter

# A problem, and a network, that press Ctrl-C at the gradient whose number they are told: no test waits for a clock.
OWN = """
import os
import signal

from surefoot.problems import Quadratic

# a process that was started in the background ignores the interrupt unless told otherwise
signal.signal(signal.SIGINT, signal.default_int_handler)
PRESS_AT = int(os.environ["PRESS_AT"])
counts = {"gradients": 0}


def count():
    counts["gradients"] += 1
    if counts["gradients"] == PRESS_AT:
        signal.raise_signal(signal.SIGINT)


class Watched(Quadratic):
    def value_and_gradient(self, x):
        count()
        return super().value_and_gradient(x)


def problem():
    return Watched([[2.0, 0.0], [0.0, 50.0]], [1.0, 1.0])


def network():
    import torch

    def loss(model, batch):
        count()
        return torch.nn.functional.mse_loss(model(batch[0]), batch[1])

    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 64)[:, None]
    return torch.nn.Linear(1, 1), loss, (x, 2 * x)
"""


@pytest.fixture
def interrupted(command, tmp_path, monkeypatch):
    """The command in the folder of own.py, stopped at a gradient: line and number to exit code, output and errors."""
    (tmp_path / "own.py").write_text(OWN)

    def call(line, press_at):
        monkeypatch.setenv("PRESS_AT", str(press_at))
        monkeypatch.delitem(sys.modules, "own", raising=False)  # else it counts on from where it was
        try:
            return command(*line.split())
        except KeyboardInterrupt:  # which would end pytest
            pytest.fail("the command did not catch the interrupt")

    return call


@pytest.mark.parametrize(
    ("line", "press_at", "entries", "whole"),
    [
        ("advise own:problem", 1400, "recommendations", 3),
        ("race own:problem --rules constant:safe,constant:1/L,bb", 400, "entries", 3),
        ("sweep own:problem --steps 128 --count 6", 400, "outcomes", 6),
    ],
)
def test_a_part_of_the_answer_is_shown(interrupted, line, press_at, entries, whole):
    code, out, err = interrupted(f"{line} --json", press_at)
    assert code == 130
    assert err.endswith("error: interrupted\n")
    record = json.loads(out)
    assert record["interrupted"] is True
    assert 0 < len(record[entries]) < whole


def test_a_part_of_a_range_test_is_shown(interrupted):
    pytest.importorskip("torch")
    code, out, _ = interrupted("range own:network --json", 60)
    assert code == 130
    assert 0 < len(json.loads(out)["rehearsals"]) < 5


def test_the_text_comes_too_and_nothing_where_there_is_nothing(interrupted):
    assert interrupted("sweep own:problem --steps 128 --count 6", 2) == (130, "", "error: interrupted\n")
    assert "interrupted" not in json.loads(interrupted("sweep own:problem --steps 128 --count 2 --json", 0)[1])


def test_a_process_ends_as_one_that_was_interrupted(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN)
    monkeypatch.setenv("PRESS_AT", "400")
    line = "sweep own:problem --steps 128 --count 6"
    command = [sys.executable, "-m", "surefoot", *line.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "the loss ends lowest at the rate" in done.stdout


def test_a_network_has_a_first_number_before_its_curvature():
    torch = pytest.importorskip("torch")
    from surefoot.training import supervised

    x = torch.linspace(-1, 1, 64)[:, None]
    network = torch.nn.Linear(1, 1), supervised(torch.nn.functional.mse_loss), (x, 2 * x)
    told = []

    def progress(done, total, label, remaining):
        told.append(label)

    advice = sf.advise(network, announce=told.append, progress=progress)
    first = next(i for i, line in enumerate(told) if line.startswith("so far: AdamW at "))
    assert first < told.index("SGD: curvature")
    assert sf.advise(network).runs == advice.runs


def test_what_is_quick_is_not_announced(monkeypatch, capsys):
    meter = Meter()
    meter.announce("so far: one")
    meter.announce("so far: two")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("surefoot.cli._console.BAR_AFTER_SECONDS", 0.0)
    meter(0, 1, "", None)
    meter(0, 1, "", None)
    assert capsys.readouterr().err == "so far: two\n"
