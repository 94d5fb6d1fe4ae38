"""What scaling residual branches buys: training at depth 64 and 256, and growth across depth against its prediction.

Run: python -m benchmarks residual. The residual MLP of the target resnet-mlp on the images of digits, x + V relu(U x),
width 64, no normalisation, with the branches as they are and scaled, from the same seeds, in 150 steps of 64 images.
Each is given its own best constant rate of the same grid (by the training loss of the first seed); then the median
over seeds of the loss on all training images and of the error on the fifth held out. A run that meets a loss that is
not finite counts as the loss of guessing and an error of 90%.
"""

import contextlib
import itertools
import math
import statistics

import torch
from bench import Table
from torch import nn

from surefoot.training import residual_stability, scale_residuals
from surefoot.training.tasks import ResnetMLP, digits

torch.set_num_threads(1)

BATCH, STEPS = 64, 150
SCALES = ("as it is", "1/sqrt(L)", "1/L")
GUESSING = math.log(10)
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
# Kaiming's start makes branches as large as their input, PyTorch's a quarter of that.
STARTS = ("Kaiming", "PyTorch")
# Depth, seeds and scales: a run of 256 blocks takes as long as four of 64.
DEPTHS = ((64, 3, SCALES), (256, 1, SCALES[:2]))


def split():
    x, y = digits()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    test, train = order[: len(x) // 5], order[len(x) // 5 :]
    return x[train], y[train], x[test], y[test]


def network(depth, start, seed):
    torch.manual_seed(seed)
    model = ResnetMLP(depth)
    if start == "PyTorch":
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()
    return model


def train(model, rate, seed, data):
    """Loss on all training images and error on the others after training."""
    x, y, x_test, y_test = data
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    draw = torch.Generator().manual_seed(100 + seed)
    for _ in range(STEPS):
        chosen = torch.randint(len(x), (BATCH,), generator=draw)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x[chosen]), y[chosen])
        if not math.isfinite(loss.item()):
            return GUESSING, 0.9
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        final = nn.functional.cross_entropy(model(x), y).item()
        error = 1 - (model(x_test).argmax(1) == y_test).double().mean().item()
    return (final, error) if math.isfinite(final) else (GUESSING, 0.9)


def run(depth, start, scale, rate, seed, data):
    model = network(depth, start, seed)
    with contextlib.nullcontext() if scale == SCALES[0] else scale_residuals(model, data[0][:2], scale):
        return train(model, rate, seed, data)


def residual(quick):
    """Two tables: training with the branches as they are and scaled, and growth across depth with its prediction."""
    return [training(((8, 1, SCALES[:2]),) if quick else DEPTHS), growth((8,) if quick else (16, 64, 256))]


def training(depths):
    rows, data = [], split()
    for (depth, seeds, scales), start in itertools.product(depths, STARTS):
        for scale in scales:
            losses = {rate: run(depth, start, scale, rate, 0, data) for rate in RATES}
            best = min(RATES, key=lambda rate: losses[rate][0])
            again = [run(depth, start, scale, best, seed, data) for seed in range(1, seeds)]
            loss, error = (statistics.median(values) for values in zip(losses[best], *again, strict=True))
            trains = any(values[0] < GUESSING for values in losses.values())
            rows.append((depth, start, scale, seeds, best if trains else "none trains", loss, f"{error:.1%}"))
            print("  ", *rows[-1], flush=True)
    columns = ("depth", "start", "branches", "seeds", "best rate", "loss", "error")
    return Table("training", columns, rows, "AdamW. Medians over seeds; the best of five constant rates.")


def growth(depths):
    x, y, *_ = split()
    loss = lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1])  # noqa: E731
    rows = []
    for depth in depths:
        model = network(depth, "Kaiming", 0).double()
        found = residual_stability(model, (x[:256].double(), y[:256]), loss=loss)
        rows += [
            (depth, s.label, s.forward[-1], s.predicted_forward[-1], s.backward[0], s.predicted_backward[0])
            for s in found.scalings
            if s.label in SCALES
        ]
    columns = ("depth", "branches", "signal", "predicted", "gradient", "predicted")
    return Table("growth", columns, rows, "How often over each grows from end to end, with Kaiming's start.")
