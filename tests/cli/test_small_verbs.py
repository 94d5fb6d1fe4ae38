"""The verbs that say one thing (doctor, range, noise, groups, clip, warmup), and ways to start the command."""

import errno
import json
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import surefoot as sf
from surefoot.cli import run
from surefoot.cli._doctor import EXTRAS
from surefoot.cli._failures import of_any
from surefoot.cli._verbs import VERBS


def test_the_doctor_names_what_is_missing_and_how_to_get_it(command, monkeypatch):
    monkeypatch.setattr("surefoot.cli._doctor.find_spec", lambda name: None if name == "torch" else find_spec(name))
    code, out, _ = command("doctor")
    assert code == 0
    assert out.startswith(f"surefoot {sf.__version__}, Python ")
    assert "torch             missing      pip install '.[training]' in a checkout" in out
    assert "no PyTorch" in out
    record = json.loads(command("doctor", "--json")[1])
    packages = {row["package"]: row["version"] for row in record["packages"]}
    assert packages["torch"] is None
    assert packages["numpy"]


def test_the_doctor_knows_every_extra():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    brought = {"": project["dependencies"], **project["optional-dependencies"]}
    for extra, packages in EXTRAS.items():
        assert {line.partition(">")[0] for line in brought[extra]} == set(packages.values())
    assert set(brought) - {"all", "bench", "dev", "docs", "mutate"} <= set(EXTRAS)


def test_a_range_test_by_name(command, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    code, out, err = command("range", "digits", "--steps", "80", "--png", "range.png", "--report", "range.html")
    assert (code, err) == (0, "")
    assert out.startswith("AdamW: peak rate 0.0")
    assert out.splitlines()[1] == "  for digits, adamw"
    assert (tmp_path / "range.png").read_bytes().startswith(b"\x89PNG")
    assert "peak rate" in (tmp_path / "range.html").read_text(encoding="utf-8")
    assert command("range", "digits", "--optimizer", "lion")[0] == 2


def test_noise_and_groups_by_name(command):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    code, out, _ = command("noise", "digits", "--json")
    assert code == 0
    assert json.loads(out)["samples"] == 1797
    code, out, _ = command("groups", "digits", "--lr", "0.01")
    assert code == 0
    assert out.startswith("4 groups, rates 0.01 to 0.01")
    assert out.splitlines()[1] == "  for digits, adamw at 0.01"
    assert "head" in out


def test_clip_from_a_log(command, tmp_path):
    rows = "\n".join(f"{k},{4 + k % 4}" for k in range(100))
    (tmp_path / "log.csv").write_text(f"step,grad_norm\n{rows}\n")
    code, out, _ = command("clip", "log.csv", "--clip", "1")
    assert code == 0
    assert out.startswith("clip at 7: the 95th percentile of 100 norms")
    assert "clip=1 would cut 100% of steps" in out
    assert command("clip", "log.csv", "--column", "nothing")[0] == 2


def test_the_norms_of_a_divergence_set_no_cap(command, tmp_path):
    calm = [(k, 2 - k / 100, 4 + k % 4) for k in range(100)]
    rows = [*calm, *((100 + k, 1.01 * 1.3**k, 8 * 1.3**k) for k in range(40))]
    (tmp_path / "log.csv").write_text("step,loss,grad_norm\n" + "\n".join(f"{k},{x},{n}" for k, x, n in rows))
    code, out, _ = command("clip", "log.csv", "--json")
    record = json.loads(out)
    assert code == 0
    # the largest norm of the run is above 200,000
    assert record["value"] == 7
    assert record["largest"] <= 8 * 1.3
    assert record["reasons"][0].startswith("the loss diverged from step ")
    assert record["reasons"][0].endswith("of 140; surefoot why log.csv says more")


@pytest.mark.parametrize("verb", ["advise", "run", "race", "sweep", "range", "noise", "groups", "orbit", "clip", "why"])
def test_a_file_that_is_not_there_is_said_first(command, verb):
    code, _, err = command(verb, "nowhere.csv")
    assert code == 2
    assert err.startswith("error: nowhere.csv: there is no such file")


def test_warmup_from_a_log_and_without(command, tmp_path):
    (tmp_path / "log.csv").write_text("step,limit\n0,0.02\n50,0.05\n100,0.3\n")
    code, out, _ = command("warmup", "--lr", "0.1", "--limits", "log.csv")
    assert (code, out.splitlines()[0]) == (0, "warm up to rate 0.1 over 250 steps")
    assert command("warmup", "--lr", "1e-3", "--beta2", "0.999")[1].startswith("warm up to rate 0.001 over 2000")
    code, out, _ = command("warmup", "--lr", "0.1")
    assert code == 1
    (tmp_path / "other.csv").write_text("step,loss\n0,1\n")
    assert command("warmup", "--lr", "0.1", "--limits", "other.csv")[0] == 2


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_help_shows_the_examples(command, verb):
    code, out, _ = command(verb.name, "--help")
    assert code == 0
    assert out.count(f"surefoot {verb.name} ") + out.count(f"surefoot {verb.name}\n") >= 2
    assert "--json" in out
    assert "--quiet" in out


def test_a_full_disk_is_named():
    stop = of_any(OSError(errno.ENOSPC, "No space left on device"))
    assert (stop.message, stop.code) == ("no space left where the output goes", 1)


def test_the_package_is_the_command():
    done = subprocess.run([sys.executable, "-m", "surefoot", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"surefoot {sf.__version__}\n"


def test_an_interrupt_while_it_loads_is_a_line():
    # typer asks for the interrupt itself, so that it comes while the verbs are being loaded
    code = (
        "import os, signal, sys\n"
        # a process that was started in the background ignores the interrupt unless told otherwise
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.argv = ['surefoot', 'list']\n"
        "from surefoot.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr == "error: interrupted\n"


def test_names_of_targets_are_completed(monkeypatch, capfd):
    monkeypatch.setenv("_SUREFOOT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "surefoot advise digits-")
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit):
        run([])
    assert set(capfd.readouterr().out.split()) == {"digits-rnn", "digits-softmax"}
