"""Record what the playground cannot compute in a browser: runs that need exp, tanh, log or a network.

    python tools/record_playground.py        # writes src/surefoot/playground/records.json, about two minutes

The records carry the version they were made with; tests/playground compares samples of them with fresh runs.
"""

import json
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import surefoot as sf
from surefoot.dynamics import Cubic, TwoMinima, diagram, lyapunov, orbit
from surefoot.training import hessian, supervised
from surefoot.training.tasks.rnn import two_unit_rnn

TARGET = Path(sf.__file__).parent / "playground" / "records.json"
# Enough points that neighbours differ by less than a pixel on a wide screen.
EXPONENTS = 401
DENT_RATES, DENT_STEPS, SWITCH = 48, 120, 60
# From far too small to diverging; long enough that sharpness meets 2/rate (as in Cohen et al. 2021).
NETWORK_RATES, NETWORK_RUNS, SAMPLES = (0.02, 0.7), 24, 300
NETWORK_STEPS, LOSS_EVERY, SHARPNESS_EVERY = 800, 8, 40
# A loss that is a million times the first one does not come back.
DIVERGED = 1e6
RNN_RATES, RNN_KEEP = 240, 40
LOW_RATE = 0.02


def exponents():
    """The exponent of the cubic's orbit for steps from 1 to 3."""
    steps = np.linspace(1.0, 3.0, EXPONENTS)
    return {"low": 1.0, "high": 3.0, "values": rounded(lyapunov(Cubic(1.0), steps, 0.3, 4000))}


def dents():
    """Runs in the dent at constant rates, and high then low; the curvature of the dent."""
    rates = np.array(rounded(np.geomspace(0.02, 1.99, DENT_RATES)))
    constant = orbit(TwoMinima(), rates, 0.97, steps=DENT_STEPS)
    high = orbit(TwoMinima(), rates, 0.97, steps=SWITCH)
    low = orbit(TwoMinima(), np.full(DENT_RATES, LOW_RATE), high[-1:], steps=DENT_STEPS - SWITCH)[:, 0, :]
    grid = np.linspace(-1.6, 1.6, 401)
    return {
        "rates": rates.tolist(),
        "curvature": float(TwoMinima().curvature(TwoMinima().minimum(0.97))),
        "constant": rounded(constant.T),
        "high_then_low": rounded(np.concatenate([high, low]).T),
        "grid": [-1.6, 1.6],
        "loss": rounded(TwoMinima().value(grid)),
    }


def network():
    """Full-batch runs on digits from one initialisation: loss and sharpness."""
    digits = load_digits()
    inputs = torch.tensor(digits.data[:SAMPLES] / 16)
    targets = nn.functional.one_hot(torch.tensor(digits.target[:SAMPLES])).double()
    rates = rounded(np.geomspace(*NETWORK_RATES, NETWORK_RUNS))
    return {
        "rates": rates,
        "steps": NETWORK_STEPS,
        "loss_every": LOSS_EVERY,
        "sharpness_every": SHARPNESS_EVERY,
        "runs": [network_run(inputs, targets, rate) for rate in rates],
    }


def half_squares(outputs, targets):
    """The mean over samples of half the squared error, summed over outputs."""
    return ((outputs - targets) ** 2).sum(-1).mean() / 2


def network_run(inputs, targets, rate):
    """One run: the loss and the middle of the sharpness interval, as far as they are finite."""
    torch.manual_seed(0)
    layers = (nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 10))
    model = nn.Sequential(*layers).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    losses, sharpness = [], []
    for step in range(NETWORK_STEPS + 1):
        value = half_squares(model(inputs), targets)
        alive = value.item() < DIVERGED
        if step % LOSS_EVERY == 0:
            losses.append(value.item() if alive else np.nan)
        if step % SHARPNESS_EVERY == 0:
            sharpness.append(measured(model, inputs, targets) if alive else np.nan)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return {"loss": rounded(losses), "sharpness": rounded(sharpness)}


def measured(model, inputs, targets):
    """The middle of an interval for the largest curvature."""
    curvature = hessian(model, supervised(half_squares), (inputs, targets))
    largest = sf.spectrum(curvature, which="largest", rtol=0.02, failure=1e-3).largest
    return (largest.lower + largest.upper) / 2


def recurrent():
    """The recurrent network's first weight after many steps, for rates from convergence to chaos."""
    descent, minimum = two_unit_rnn()
    rates = np.array(rounded(np.linspace(2.5, 6.5, RNN_RATES)))
    seen = diagram(descent, rates, minimum + 1e-3, steps=1500, keep=RNN_KEEP)
    return {"rates": rates.tolist(), "weights": rounded(seen.points[:, 0, :].T), "period": seen.period.tolist()}


def rounded(values):
    """Six digits: a picture needs no more, and the page stays small. What is not finite becomes None.

    Rates are rounded before they are run: "the same in Python" starts from the rate that the page shows.
    """
    array = np.asarray(values, dtype=np.float64)
    flat = [float(f"{value:.6g}") if np.isfinite(value) else None for value in array.ravel()]
    return np.asarray(flat, dtype=object).reshape(array.shape).tolist()


def main():
    """Write the file."""
    torch.set_num_threads(1)
    records = {
        "version": sf.__version__,
        "switch": SWITCH,
        "low_rate": LOW_RATE,
        "exponents": exponents(),
        "dents": dents(),
        "network": network(),
        "recurrent": recurrent(),
    }
    TARGET.write_text(json.dumps(records, allow_nan=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
