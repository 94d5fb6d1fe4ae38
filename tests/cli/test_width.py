"""Every verb at the width of a phone and of three terminals: nothing sticks out, and no number breaks."""

import re

import numpy as np
import pytest

from surefoot.cli import run
from surefoot.cli._fit import fit
from surefoot.cli._verbs import VERBS

WIDTHS = (40, 80, 120, 200)
COMMANDS = {
    "advise": "advise matrix.npy",
    "run": "run quadratic --size 20 --condition 50 --steps 40",
    "race": "race quadratic --size 20 --condition 50 --rules auto,bb --steps 60",
    "region": "region rk4",
    "orbit": "orbit cubic --count 1",
    "sweep": "sweep quadratic --size 10 --condition 10 --count 4 --steps 130",
    "audit": "audit log.csv --plan cosine:0.01,total=100",
    "why": "why log.csv",
    "scale": "scale --lr 0.1 --batch 256 --to 8192 --momentum 0.9",
    "clip": "clip log.csv",
    "warmup": "warmup --lr 1e-3 --beta2 0.999 --total 5000",
    "doctor": "doctor",
    "list": "list",
    "play": "play --save page.html",
    "range": "range small:task --steps 80",
    "noise": "noise small:task",
    "groups": "groups small:task --lr 0.01",
}
TASK = """
import torch
from surefoot.training import supervised

def task():
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 64)[:, None]
    model = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    return model, supervised(torch.nn.functional.mse_loss), (x, torch.sin(3 * x))
"""
NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.])")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("matrix.npy", np.diag([1.0, 123.456, 98765.4]))
    rows = "\n".join(f"{k},{2.5 / (k + 1) + 0.1},{1 + k % 3},{0.01 * (1 - k / 100)}" for k in range(100))
    (tmp_path / "log.csv").write_text(f"step,loss,grad_norm,lr\n{rows}\n")
    (tmp_path / "small.py").write_text(TASK)
    return tmp_path


def test_every_verb_is_here():
    assert set(COMMANDS) == {verb.name for verb in VERBS}


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_verb_fits(verb, here, monkeypatch, capsys):
    if "small:task" in COMMANDS[verb]:
        pytest.importorskip("torch")
    monkeypatch.delenv("COLUMNS", raising=False)
    assert run([*COMMANDS[verb].split(), "--quiet"]) in (0, 1)
    whole = capsys.readouterr().out
    for width in WIDTHS:
        text = fit(whole.rstrip("\n"), width)
        for line in text.splitlines():
            assert len(line) <= width or len(line.split()) == 1, line
        # every number is there whole, as often as before but for headings that each row repeats
        numbers = NUMBER.findall(text)
        assert all(numbers.count(n) >= NUMBER.findall(whole).count(n) for n in set(NUMBER.findall(whole)))
    assert fit(whole, None) == whole


def test_columns_ask_for_a_width(here, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    assert run(["advise", "matrix.npy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 40
    method = next(line for line in lines if line.strip() == "Nesterov 0.9")
    assert lines[lines.index(method) + 1].strip().startswith("suggested: ")


def test_the_suggestion_is_the_second_column_and_the_first_line(here, capsys):
    assert run(["advise", "matrix.npy"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("take ")
    heading = next(line for line in out.splitlines() if line.lstrip().startswith("method"))
    assert re.split(r"\s{2,}", heading.strip())[:4] == ["method", "suggested", "label", "loss"]


@pytest.mark.parametrize(
    ("text", "width", "fitted"),
    [
        ("short", 40, "short"),
        ("  one two three four five six", 20, "  one two three four\n    five six"),
        ("  rate  0.1 -> 3.2\n  momentum  0.9", 20, "  rate  0.1 -> 3.2\n  momentum  0.9"),
        ("  usable from 9.61e-06 .. 9.61e-05", 24, "  usable from\n    9.61e-06 .. 9.61e-05"),
        ("/a/path/that/is/longer/than/a/line", 20, "/a/path/that/is/longer/than/a/line"),
        ("     a     b\n 1.234  5.678\n12.345     9", 10, "     a     b\n 1.234  5.678\n12.345     9"),
    ],
)
def test_a_text_at_a_width(text, width, fitted):
    assert fit(text, width) == fitted
