"""What scaling residual branches buys: training at depth 64 and 256, and growth across depth against its prediction.

    python benchmarks/residual.py train  [--depths 64 256] [--steps 150] [--seeds 3]
    python benchmarks/residual.py growth [--depths 16 64 256]

`train`: the residual MLP of the target resnet-mlp on the images of digits, x + V relu(U x), width 64, no normalisation,
with the branches as they are and scaled, from the same seeds, in the same number of steps of 64 images. Each is given
its own best constant rate of the same grid (by the training loss of the first seed); then the median over seeds of the
loss on all training images and of the error on the fifth held out. A run that meets a loss that is not finite counts as
the loss of guessing and an error of 90%.

`growth`: the signal and the gradient across depth, measured and predicted, at each scale.

Single-threaded. Needs scikit-learn.
"""

import argparse
import contextlib
import itertools
import math
import statistics
import time

import torch
from torch import nn

from surefoot.training import residual_stability, scale_residuals
from surefoot.training.tasks import ResnetMLP, digits

torch.set_num_threads(1)

BATCH = 64
SCALES = ("as it is", "1/sqrt(L)", "1/L")
GUESSING = math.log(10)
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
OPTIMIZERS = {
    "AdamW": lambda parameters, rate: torch.optim.AdamW(parameters, lr=rate),
    # clipped to norm 1, without which no rate of any grid survives an unscaled start
    "SGD 0.9, clipped": lambda parameters, rate: torch.optim.SGD(parameters, lr=30 * rate, momentum=0.9),
}


def split():
    x, y = digits()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    test, train = order[: len(x) // 5], order[len(x) // 5 :]
    return x[train], y[train], x[test], y[test]


def made(depth, start, seed):
    torch.manual_seed(seed)
    model = ResnetMLP(depth)
    if start == "PyTorch":
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()
    return model


def trained(model, optimizer, steps, seed, data, *, clip):
    """Loss on all training images and error on the others after training."""
    x, y, x_test, y_test = data
    draw = torch.Generator().manual_seed(100 + seed)
    for _ in range(steps):
        chosen = torch.randint(len(x), (BATCH,), generator=draw)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x[chosen]), y[chosen])
        if not math.isfinite(loss.item()):
            return GUESSING, 0.9
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        final = nn.functional.cross_entropy(model(x), y).item()
        error = 1 - (model(x_test).argmax(1) == y_test).double().mean().item()
    return (final, error) if math.isfinite(final) else (GUESSING, 0.9)


def run(depth, start, scale, name, rate, steps, seed, data):
    model = made(depth, start, seed)
    scales = contextlib.nullcontext() if scale == "as it is" else scale_residuals(model, data[0][:2], scale)
    with scales:
        optimizer = OPTIMIZERS[name](model.parameters(), rate)
        return trained(model, optimizer, steps, seed, data, clip="clipped" in name)


def compare(depths, steps, seeds, starts, names):
    data = split()
    print(f"{'depth':>5}  {'start':<8} {'optimizer':<17} {'branches':<10} {'best rate':>9}  {'loss':>8}  {'error':>6}")
    for depth, start, name in itertools.product(depths, starts, names):
        for scale in SCALES:
            began = time.perf_counter()
            losses = {rate: run(depth, start, scale, name, rate, steps, 0, data) for rate in RATES}
            best = min(RATES, key=lambda rate: losses[rate][0])
            again = [run(depth, start, scale, name, best, steps, seed, data) for seed in range(1, seeds)]
            loss, error = (statistics.median(values) for values in zip(losses[best], *again, strict=True))
            stuck = "  no rate trains" if all(values[0] >= GUESSING for values in losses.values()) else ""
            rate = best * (30 if "SGD" in name else 1)
            print(
                f"{depth:>5}  {start:<8} {name:<17} {scale:<10} {rate:>9.1g}  {loss:>8.4f}  {error:>6.1%}{stuck}"
                f"  ({time.perf_counter() - began:.0f} s)",
                flush=True,
            )


def growth(depths):
    x, y, *_ = split()
    loss = lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1])  # noqa: E731
    print(f"{'depth':>5}  {'branches':<10} {'h':>8}  {'signal':>9} {'predicted':>9}  {'gradient':>9} {'predicted':>9}")
    for depth in depths:
        model = made(depth, "Kaiming", 0).double()
        began = time.perf_counter()
        found = residual_stability(model, (x[:256].double(), y[:256]), loss=loss)
        for s in found.scalings:
            print(
                f"{depth:>5}  {s.label:<10} {s.scale:>8.4f}  {s.forward[-1]:>9.4g} {s.predicted_forward[-1]:>9.4g}  "
                f"{s.backward[0]:>9.4g} {s.predicted_backward[0]:>9.4g}",
                flush=True,
            )
        print(f"       {time.perf_counter() - began:.1f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "growth"))
    parser.add_argument("--depths", type=int, nargs="+")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--starts", nargs="+", default=["Kaiming", "PyTorch"])
    parser.add_argument("--optimizers", nargs="+", default=list(OPTIMIZERS))
    given = parser.parse_args()
    if given.what == "growth":
        growth(given.depths or (16, 64, 256))
    else:
        compare(given.depths or (64, 256), given.steps, given.seeds, given.starts, given.optimizers)


if __name__ == "__main__":
    main()
