"""Ctrl-C: what was found until then is shown, as text or JSON, and the exit code says that it is not all."""

import json
import os
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
        os.kill(os.getpid(), signal.SIGINT)


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
def command(tmp_path):
    (tmp_path / "own.py").write_text(OWN)

    def call(line, press_at):
        code = [sys.executable, "-m", "surefoot", *line.split()]
        environment = os.environ | {"PRESS_AT": str(press_at)}
        return subprocess.run(code, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return call


@pytest.mark.parametrize(
    ("line", "press_at", "entries", "whole"),
    [
        ("advise own:problem", 1400, "recommendations", 3),
        ("race own:problem --rules constant:safe,constant:1/L,bb", 400, "entries", 3),
        ("sweep own:problem --steps 128 --count 6", 400, "outcomes", 6),
    ],
)
def test_a_part_of_the_answer_is_shown(command, line, press_at, entries, whole):
    done = command(f"{line} --json", press_at)
    assert done.returncode == 130
    assert done.stderr.endswith("error: interrupted\n")
    record = json.loads(done.stdout)
    assert record["interrupted"] is True
    assert 0 < len(record[entries]) < whole


def test_a_part_of_a_range_test_is_shown(command):
    pytest.importorskip("torch")
    done = command("range own:network --json", 60)
    assert done.returncode == 130
    assert 0 < len(json.loads(done.stdout)["rehearsals"]) < 5


def test_the_text_comes_too_and_nothing_where_there_is_nothing(command):
    done = command("sweep own:problem --steps 128 --count 6", 400)
    assert "the loss ends lowest at the rate" in done.stdout
    assert "interrupted" not in json.loads(command("sweep own:problem --steps 128 --count 2 --json", 0).stdout)
    done = command("sweep own:problem --steps 128 --count 6", 2)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "error: interrupted\n"


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
