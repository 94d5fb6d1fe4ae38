"""The edge of stability, seen: the sharpness of a network trained on all its data, beside the limit of its rate.

    python examples/edge_of_stability.py

A small MLP learns 300 images of digits by full-batch steps at a constant rate. Its sharpness rises until it meets the
linear limit, 2/rate for gradient descent, and then stays there, the loss still falling though not at every step (Cohen
et al. 2021). For Adam the curvature that does so is the preconditioned one, P^-1/2 H P^-1/2, and the limit is
(2 + 2 b1)/((1 - b1) rate), 38/rate at b1 = 0.9 (Cohen et al. 2022). An observation on one network, not a law.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

from surefoot.training import SharpnessTracker, method_of, supervised
from surefoot.training.loop import Loop

# So few images that a full-batch step is cheap, and rates whose limit the sharpness meets within the run.
SAMPLES, STEPS = 300, 1600
RUNS = [(torch.optim.SGD, rate) for rate in (0.45, 0.6, 0.9)] + [(torch.optim.Adam, rate) for rate in (0.002, 0.005)]


def train(make, rate, steps=STEPS, looks=40):
    """Sharpness over the limit of the rate, and the loss, at so many moments of a run."""
    torch.manual_seed(0)
    digits = load_digits()
    x = torch.tensor(digits.data[:SAMPLES] / 16, dtype=torch.float32)
    # mean squares, for which the effect is clearest: with cross-entropy the curvature falls once all samples are fitted
    y = nn.functional.one_hot(torch.tensor(digits.target[:SAMPLES]), 10).float()
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 10))
    loss, optimizer = supervised(nn.functional.mse_loss), make(model.parameters(), lr=rate)
    limit = method_of(optimizer).real_limit / rate
    tracker = SharpnessTracker(model, loss, (x, y), optimizer)
    loop = Loop(model, optimizer)
    ratios, losses = [], []
    for step in range(steps + 1):
        # Adam's preconditioner is not known before its first step
        look = step and step % (steps // looks) == 0
        if look:
            ratios.append(tracker.update().value / limit)
        value = loop.step(lambda: loss(model, (x, y)))
        if look:
            losses.append(value.item())
    return limit, ratios, losses


if __name__ == "__main__":
    print("optimizer  rate   limit    sharpness/limit: first  predicted at the end  observed (median; range)  loss")
    for make, rate in RUNS:
        limit, ratios, losses = train(make, rate)
        late = sorted(ratios[-len(ratios) // 3 :])
        print(
            f"{make.__name__:<9}  {rate:<5g}  {limit:<7.5g}  {ratios[0]:<22.2f}  {'1':<20}  "
            f"{late[len(late) // 2]:.2f}; {late[0]:.2f} to {late[-1]:.2f}        {losses[0]:.3g} -> {losses[-1]:.3g}"
        )
