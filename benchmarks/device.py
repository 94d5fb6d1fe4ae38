"""Curvature where the model is: right on the device, and what it costs there in gradients.

Run: python benchmarks/device.py [small]. On a CUDA machine first intervals of small LSTM, attention and convolutional
networks in float32 and bfloat16 against all eigenvalues of a float64 Hessian on the CPU, then a language model of 124
million parameters; under six minutes. Without CUDA, or with `small`, the language model is a small one.
"""

import sys
import time

import numpy as np
import torch
from models import Transformer, gradient_of, language_batch, language_loss
from torch import nn
from torch.nn import functional

import surefoot as sf
from surefoot.spectra.measured.lanczos import Lanczos, random_unit
from surefoot.training import gradient_noise, hessian, optimizer_limits, suggest_groups, supervised

LARGE = {"vocabulary": 50257, "width": 768, "layers": 12, "heads": 12, "length": 256}
SMALL = {"vocabulary": 64, "width": 32, "layers": 2, "heads": 2, "length": 16}
cross_entropy = supervised(functional.cross_entropy)


class Recurrent(nn.Module):
    """An LSTM and a linear layer on its last state."""

    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.LSTM(4, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x):
        """Logits."""
        return self.out(self.rnn(x)[0][:, -1])


class Attending(nn.Module):
    """One layer of attention."""

    def __init__(self):
        super().__init__()
        self.attention, self.out = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        """Logits."""
        return self.out(self.attention(x, x, x, need_weights=False)[0].mean(1))


def networks():
    """Name, model and inputs."""
    convolution = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )
    return (
        ("LSTM", Recurrent(), torch.randn(64, 5, 4)),
        ("attention", Attending(), torch.randn(64, 6, 8)),
        ("convolution, batch norm", convolution, torch.randn(64, 2, 4, 4)),
    )


def check(device):
    """Whether intervals on the device hold the eigenvalues of a float64 Hessian on the CPU; the number of misses."""
    import copy

    misses = 0
    for name, model, x in networks():
        y = torch.randint(3, (len(x),))
        exact = hessian(copy.deepcopy(model).double(), cross_entropy, (x.double(), y))
        matrix = np.stack([exact @ e for e in np.eye(exact.shape[0])])
        truth = np.linalg.eigvalsh(matrix)
        there = copy.deepcopy(model).to(device)
        for autocast in (None, torch.bfloat16):
            H = hessian(there, cross_entropy, (x.to(device), y.to(device)), autocast=autocast)
            found = sf.spectrum(H)
            held = found.largest.contains(truth[-1]) and found.smallest.contains(truth[0])
            misses += not held
            kind = "float32" if autocast is None else "bfloat16"
            print(f"{name:<26}{kind:<10}{found.largest!s:<24} holds {truth[-1]:.6g}: {held}; {found.products} products")
    return misses


def costs(device, shape, sequences):
    """What each instrument costs on a language model, in its gradients."""
    model = Transformer(**shape).to(device)
    batch = language_batch(shape["vocabulary"], sequences, shape["length"], device)
    gradient_of(model, language_loss, batch)
    unit = min(seconds(lambda: gradient_of(model, language_loss, batch)) for _ in range(3))
    n = sum(p.numel() for p in model.parameters())
    print(f"{n} parameters, {batch[0].numel()} tokens: a gradient takes {1e3 * unit:.3g} ms on {device}")

    def timed(name, function):
        try:
            start = time.perf_counter()
            found = function()
            synchronize()
            spent = time.perf_counter() - start
            print(f"  {name:<34}{spent / unit:>8.1f} gradients  {found}")
        except Exception as error:
            print(f"  {name:<34}{type(error).__name__}: {error}")

    made = []
    timed("set-up", lambda: made.append(hessian(model, language_loss, batch)) or made[0].checked)
    H = made[0]
    print(f"  expected: {H.cost(which='largest')}")
    v = H.space.normal(n, np.random.default_rng(0))
    H.matvec(v)
    timed("product", lambda: tuple(H.matvec(v).shape))
    timed("retained double backward by hand", lambda: by_hand(model, batch, H.block.split(v)))
    found = []
    timed("spectrum, largest, 1% at 1e-6", lambda: found.append(sf.spectrum(H, which="largest")) or found[0].largest)
    products = found[0].products if found else 0
    timed(f"Lanczos of {products} steps, uncertified", lambda: uncertified(H, products))
    timed("spectrum, largest, 5% at 1e-3", lambda: sf.spectrum(H, which="largest", rtol=0.05, failure=1e-3).largest)
    adam = torch.optim.AdamW(model.parameters(), lr=1e-3)
    timed("optimizer_limits of AdamW", lambda: f"stable {optimizer_limits(H, adam).curvature_limit:.3g}")
    H.release()
    timed("gradient_noise", lambda: str(gradient_noise(model, language_loss, batch)).splitlines()[2].strip())
    timed("suggest_groups", lambda: f"{len(suggest_groups(model, language_loss, batch, adam).param_groups)} groups")


def by_hand(model, batch, vectors):
    """Graph of the gradient, then one product, the graph kept."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    parameters = list(model.parameters())
    with sdpa_kernel(SDPBackend.MATH):
        gradients = torch.autograd.grad(language_loss(model, batch), parameters, create_graph=True)
        synchronize()
        start = time.perf_counter()
        torch.autograd.grad(gradients, parameters, vectors, retain_graph=True)
        synchronize()
    return f"the product alone {1e3 * (time.perf_counter() - start):.3g} ms"


def uncertified(H, steps):
    """The largest Ritz value of as many steps, without a bound above it."""
    run = Lanczos(H, random_unit(H.space, H.shape[0], np.random.default_rng(0)))
    for _ in range(steps):
        run.advance()
    return f"{run.ritz[-1]:.6g}"


def synchronize():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(function):
    synchronize()
    start = time.perf_counter()
    function()
    synchronize()
    return time.perf_counter() - start


def main(scale=""):
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    misses = check(device)
    small = scale == "small" or device == "cpu"
    costs(device, SMALL if small else LARGE, 4)
    return misses


if __name__ == "__main__":
    sys.exit(bool(main(*sys.argv[1:])))
