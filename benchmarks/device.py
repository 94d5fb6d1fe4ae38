"""Curvature where the model is: right on the device, and what it costs there in gradients and in memory.

Run: python -m benchmarks device. On a CUDA machine first intervals of small LSTM, attention and convolutional networks
in float32 and bfloat16 against all eigenvalues of a float64 Hessian on the CPU, then a language model of 124 million
parameters; under six minutes. Without CUDA the language model is a small one.
"""

import copy
import time

import numpy as np
import torch
from bench import Table
from models import Transformer, gradient_of, language_batch, language_loss
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

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


def device(quick):
    """Whether intervals hold on the device, and what each instrument costs there."""
    torch.manual_seed(0)
    chosen = "cuda" if torch.cuda.is_available() else "cpu"
    return [check(chosen), costs(chosen, SMALL if quick or chosen == "cpu" else LARGE, 4)]


def check(device):
    """Whether intervals on the device hold the eigenvalues of a float64 Hessian on the CPU."""
    rows = []
    for name, model, x in networks():
        y = torch.randint(3, (len(x),))
        exact = hessian(copy.deepcopy(model).double(), cross_entropy, (x.double(), y))
        matrix = np.stack([exact @ e for e in np.eye(exact.shape[0])])
        truth = np.linalg.eigvalsh(matrix)
        there = copy.deepcopy(model).to(device)
        for kind, autocast in (("float32", None), ("bfloat16", torch.bfloat16)):
            H = hessian(there, cross_entropy, (x.to(device), y.to(device)), autocast=autocast)
            found = sf.spectrum(H)
            held = found.largest.contains(truth[-1]) and found.smallest.contains(truth[0])
            rows.append((f"{name}, {kind}", str(found.largest), truth[-1], held, found.products))
    return Table("holds", (f"on {device}", "largest", "in float64", "held", "products"), rows)


def costs(device, shape, sequences):
    """What each instrument costs on a language model, in its gradients, and the most memory that it takes."""
    model = Transformer(**shape).to(device)
    batch = language_batch(shape["vocabulary"], sequences, shape["length"], device)
    gradient_of(model, language_loss, batch)
    unit = min(seconds(lambda: gradient_of(model, language_loss, batch)) for _ in range(3))
    n = sum(p.numel() for p in model.parameters())
    rows = []

    def timed(name, function):
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        results = []
        spent = seconds(lambda: results.append(function()))
        peak = torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else None
        rows.append((name, spent / unit, peak, getattr(results[0], "products", None)))
        print("  ", *rows[-1], flush=True)
        return results[0]

    timed("a gradient", lambda: gradient_of(model, language_loss, batch))
    H = timed("set-up", lambda: hessian(model, language_loss, batch))
    v = H.space.normal(n, np.random.default_rng(0))
    # the first of each loads what it needs
    H.matvec(v)
    by_hand(model, batch, H.block.split(v))
    timed("a product", lambda: H.matvec(v))
    timed("the same by hand, graph included", lambda: by_hand(model, batch, H.block.split(v)))
    found = timed("largest end, 1% at 1e-6", lambda: sf.spectrum(H, which="largest"))
    timed("as many steps of Lanczos alone", lambda: bare_lanczos(H, found.products))
    timed("largest end, 5% at 1e-3", lambda: sf.spectrum(H, which="largest", rtol=0.05, failure=1e-3))
    adam = torch.optim.AdamW(model.parameters(), lr=1e-3)
    timed("optimizer_limits of AdamW", lambda: optimizer_limits(H, adam))
    H.release()
    timed("gradient_noise", lambda: gradient_noise(model, language_loss, batch))
    timed("suggest_groups", lambda: suggest_groups(model, language_loss, batch, adam))
    note = f"{n} parameters, {batch[0].numel()} tokens; a gradient takes {1e3 * unit:.3g} ms."
    return Table("costs", (f"on {device}", "gradients", "peak MB", "products"), rows, note)


def by_hand(model, batch, vectors):
    """The graph of the gradient, then one product."""
    parameters = list(model.parameters())
    with sdpa_kernel(SDPBackend.MATH):
        gradients = torch.autograd.grad(language_loss(model, batch), parameters, create_graph=True)
        torch.autograd.grad(gradients, parameters, vectors)


def bare_lanczos(H, steps):
    """The largest Ritz value of as many steps, without a bound above it."""
    run = Lanczos(H, random_unit(H.space, H.shape[0], np.random.default_rng(0)))
    for _ in range(steps):
        run.advance()
    return run.ritz[-1]


def seconds(function):
    """By the clock on a GPU, which works beside the processor; of processor time without one."""
    if not torch.cuda.is_available():
        start = time.process_time()
        function()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - start
