"""Rates above the linear limit of a wide network at its start: predicted, and what becomes of the loss.

    python examples/beyond_the_limit.py

The sharpness lambda at the start gives the linear limit 2/lambda: above it the loss grows at first. It is not where
training fails. Lewkowycz et al. (2020) saw wide ReLU networks with squared loss spike, move to where the curvature is
lower, and come back, up to rates of about 12/lambda. A *heuristic* from their runs; here are some of your own.
"""

import torch
from torch import nn

import surefoot as sf
from surefoot.training import hessian, supervised

LIMIT, REPORTED = 2.0, 12.0


def start(width=256, samples=64):
    """A wide ReLU network with squared loss, and its sharpness."""
    torch.manual_seed(0)
    x = torch.randn(samples, 16)
    data = x, torch.sin(x.sum(1, keepdim=True))
    model = nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
    loss = supervised(nn.functional.mse_loss)
    return model, loss, data, sf.spectrum(hessian(model, loss, data), which="largest").largest.upper


def train(factor, steps=200):
    """The losses of gradient descent at factor/lambda, and lambda before and after."""
    model, loss, data, before = start()
    losses = []
    for _ in range(steps):
        value = loss(model, data)
        losses.append(value.item())
        if not value.isfinite() or losses[-1] > 1e6 * losses[0]:
            return losses, before, float("inf")
        gradients = torch.autograd.grad(value, list(model.parameters()))
        with torch.no_grad():
            for p, g in zip(model.parameters(), gradients, strict=True):
                p -= factor / before * g
    after = sf.spectrum(hessian(model, loss, data), which="largest").largest.upper
    return losses, before, after


def predict(factor):
    """What linear theory and the reported runs say of a rate of factor/lambda."""
    if factor < LIMIT:
        return "falls from the start"
    return "rises, then comes back" if factor < REPORTED else "reported to fail"


def observe(losses):
    """What the losses did."""
    if not losses[-1] < 1e6 * losses[0]:
        return "fails"
    rose = max(losses) > 1.05 * losses[0]
    back = losses[-1] < losses[0]
    return ("rises, then comes back" if rose else "falls from the start") if back else "stays above its start"


if __name__ == "__main__":
    print("rate x lambda  predicted               observed                loss                 lambda before, after")
    for factor in (1.0, 1.9, 2.5, 4.0, 8.0, 11.0, 16.0, 30.0):
        losses, before, after = train(factor)
        print(
            f"{factor:<13g}  {predict(factor):<22}  {observe(losses):<22}  {losses[0]:.3g} -> {losses[-1]:<12.3g}  "
            f"{before:.3g}, {after:.3g}"
        )
