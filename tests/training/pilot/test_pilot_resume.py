"""A pilot that is stopped, by a checkpoint or by SIGKILL, goes on bit for bit."""

import io
import signal
import subprocess
import sys

import pytest
import torch
from torch import nn
from training.pilot import pilot_killed
from training.pilot.pilot_killed import main

import surefoot as sf
from surefoot.logs import read_log
from surefoot.training import Pilot
from surefoot.training.model.sandbox import keep_random_state


def test_a_run_killed_in_the_middle_goes_on_bit_for_bit(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    with keep_random_state():
        main(whole, 0)
    process = subprocess.run([sys.executable, pilot_killed.__file__, killed, "59"], capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert not (killed / "end.pt").exists()
    with keep_random_state():
        main(killed, 0)
    expected, found = (torch.load(f / "end.pt", weights_only=True) for f in (whole, killed))
    assert expected["history"] == found["history"]
    assert expected["model"].keys() == found["model"].keys()
    for name, value in expected["model"].items():
        assert torch.equal(value, found["model"][name]), name
    # the log of the killed run has the steps after its last checkpoint twice, with the same rates both times
    first, rest = (read_log(f / "log.jsonl").rows for f in (whole, killed))
    assert len(rest) > len(first)
    assert {repr(row) for row in rest} == {repr(row) for row in first}
    assert len(list((killed / "events").iterdir())) == 2
    assert sf.audit(killed / "events", "constant:1").rows > 0


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 3))


def batches():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(256, 6, generator=generator)
    y = (x @ torch.randn(6, 3, generator=generator)).argmax(1)
    return lambda k: (x[i := torch.arange(32 * k, 32 * (k + 1)) % 256], y[i])


OPTIMIZERS = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rule", ["auto", "along-step", "sharpness", "cosine:0.05", "wsd:0.05"])
@pytest.mark.parametrize("at", [3, 50])
def test_a_checkpoint_goes_on_bit_for_bit_under_every_rule(rule, optimizer, at):
    steps, batch = 80, batches()

    def made():
        model = network()
        return (
            model,
            (opt := OPTIMIZERS[optimizer](model.parameters())),
            Pilot(model, opt, rule=rule, total_steps=steps),
        )

    def go(model, pilot, first, last):
        for k in range(first, last):
            x, y = batch(k)
            pilot.step(lambda x=x, y=y: nn.functional.cross_entropy(model(x), y))

    model, opt, pilot = made()
    torch.manual_seed(3)
    go(model, pilot, 0, at)
    file = io.BytesIO()
    state = {"model": model.state_dict(), "optimizer": opt.state_dict(), "pilot": pilot.state_dict()}
    torch.save(state | {"rng": torch.get_rng_state()}, file)
    go(model, pilot, at, steps)
    other, opt_again, again = made()
    file.seek(0)
    data = torch.load(file, weights_only=True)
    other.load_state_dict(data["model"])
    opt_again.load_state_dict(data["optimizer"])
    again.load_state_dict(data["pilot"])
    torch.set_rng_state(data["rng"])
    go(other, again, at, steps)
    assert repr(again.history) == repr(pilot.history)
    for (name, value), same in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(value, same), name
