"""A training run under a pilot that checkpoints as it goes, and may be killed: started by test_pilot_resume.py.

Arguments: folder, step to be killed after (0: never). Goes on from the folder's checkpoint if there is one.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from surefoot.training import Pilot, RunLog

STEPS, EVERY = 120, 17


def main(folder, killed_after):
    torch.manual_seed(0)
    x = torch.randn(256, 6)
    y = (x @ torch.randn(6, 3)).argmax(1)
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
    groups = [{"params": model[0].parameters(), "lr": 1e-3}, {"params": model[4].parameters(), "lr": 3e-3}]
    optimizer = torch.optim.AdamW([*groups, {"params": model[1].parameters(), "lr": 1e-3, "weight_decay": 0.0}])
    pilot = Pilot(model, optimizer, total_steps=STEPS)
    saved = folder / "checkpoint.pt"
    first = 0
    if saved.exists():
        data = torch.load(saved, weights_only=True)
        model.load_state_dict(data["model"])
        optimizer.load_state_dict(data["optimizer"])
        pilot.load_state_dict(data["pilot"])
        torch.set_rng_state(data["rng"])
        first = data["step"]
    with RunLog(pilot, jsonl=folder / "log.jsonl", events=folder / "events") as log:
        for k in range(first, STEPS):
            if k % EVERY == 0 and k > first:
                checkpoint = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": k}
                checkpoint |= {"pilot": pilot.state_dict(), "rng": torch.get_rng_state()}
                torch.save(checkpoint, folder / "new.pt")
                os.replace(folder / "new.pt", saved)
            i = torch.arange(32 * k, 32 * (k + 1)) % 256
            pilot.step(lambda i=i: nn.functional.cross_entropy(model(x[i]), y[i]))
            log.write()
            if k + 1 == killed_after:
                os.kill(os.getpid(), signal.SIGKILL)
    history = [moment.to_dict() for moment in pilot.history]
    torch.save({"model": model.state_dict(), "history": history}, folder / "end.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)  # as the tests: another number of threads rounds differently
    main(Path(sys.argv[1]), int(sys.argv[2]))
