"""The figures of the pages on PyTorch: small models, seconds each."""

import json
from importlib.resources import files

import numpy as np
import torch
from _figures import AMBER, BLUE, GREEN, GREY, RED, canvas, shows
from torch import nn

import surefoot as sf
from surefoot import spectra, training

torch.set_num_threads(1)


def blobs(rows: int = 256):
    """A small classification problem."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 4, generator=generator)
    return x, (x[:, 0] > x[:, 1]).long()


def network(seed: int = 0):
    """A small model."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))


loss = training.supervised(nn.functional.cross_entropy)


@shows(
    "curvature.md",
    "The spectral density of a small network's Hessian: a bulk near 0, a few large values, some negative ones.",
)
def hessian_density():
    from surefoot.report.figures import density_figure

    return density_figure(spectra.density(training.hessian(network(), loss, blobs())).to_dict())


@shows(
    "sharpness.md",
    "Sharpness of a network on digits along full-batch training meets 2/rate and hovers there (Cohen et al. 2021).",
)
def sharpness():
    figure, axes = canvas("step", "largest curvature")
    recorded = json.loads(files("surefoot.playground").joinpath("records.json").read_text())["network"]
    for index, colour in ((9, BLUE), (16, RED), (19, GREEN)):
        rate, run = recorded["rates"][index], recorded["runs"][index]["sharpness"]
        axes.plot(
            np.arange(len(run)) * recorded["sharpness_every"], run, "o-", ms=3, color=colour, label=f"rate {rate:.3g}"
        )
        axes.axhline(2 / rate, color=colour, ls=":", lw=1)
    axes.set_ylim(0, 25)
    axes.legend(frameon=False)
    return figure


@shows("guard.md", "One batch a thousand times too large in the middle of a run: without Guard and with it.")
def rescued():
    figure, axes = canvas("step", "loss", logy=True)
    x, y = blobs()
    for name, guarded, colour, dash in (("plain", False, RED, "--"), ("with Guard", True, BLUE, "-")):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        guard = training.Guard(model, optimizer) if guarded else None
        losses = []
        for step in range(200):
            scale = 1e4 if step == 100 else 1.0

            def closure(scale=scale, model=model):
                return nn.functional.cross_entropy(model(x * scale), y)

            if guard is not None:
                guard.step(closure)
            else:
                optimizer.zero_grad()
                closure().backward()
                optimizer.step()
            with torch.no_grad():
                losses.append(nn.functional.cross_entropy(model(x), y).item())
        axes.plot(losses, dash, color=colour, label=name)
    axes.legend(frameon=False)
    return figure


@shows("pilot.md", "A run without a learning rate: the loss of each update, and of two fixed rates for comparison.")
def piloted():
    figure, axes = canvas("step", "loss", logy=True)
    x, y = blobs()
    model = network()
    pilot = training.Pilot(model, torch.optim.AdamW(model.parameters()), total_steps=200)
    losses = [float(pilot.step(lambda: nn.functional.cross_entropy(model(x), y))) for _ in range(200)]
    axes.plot(losses, color=BLUE, label="Pilot")
    for rate, colour, dash in ((1e-3, GREY, "--"), (3.0, RED, ":")):
        other = network()
        optimizer = torch.optim.AdamW(other.parameters(), lr=rate)
        losses = []
        for _ in range(200):
            value = nn.functional.cross_entropy(other(x), y)
            losses.append(value.item())
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        axes.plot(losses, dash, color=colour, label=f"AdamW {rate:g}")
    axes.legend(frameon=False)
    return figure


@shows("range-test.md", "A range test: what the rehearsals at each rate reached, and the rate to take.")
def rehearsed():
    from surefoot.report.figures import range_figure

    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    x, y = blobs()
    batches = [(x[i : i + 64], y[i : i + 64]) for i in range(0, 256, 64)]
    return range_figure(training.range_test(model, loss, batches, optimizer, steps=60).to_dict())


@shows(
    "groups.md",
    "Update over weight of each layer along a run: the layer that learns least, and the one that learns most.",
)
def layer_updates():
    figure, axes = canvas("step", "|update| / |weight|", logy=True)
    model, (x, y) = network(), blobs()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    named = dict(model.named_parameters())
    seen = {name: [] for name in named}
    for _ in range(100):
        before = {name: p.detach().clone() for name, p in named.items()}
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        for name, p in named.items():
            seen[name].append(float((p.detach() - before[name]).norm() / before[name].norm()))
    for (name, ratios), colour, dash in zip(
        seen.items(), (BLUE, RED, GREEN, AMBER), ("-", "--", "-.", ":"), strict=True
    ):
        axes.plot(ratios, dash, color=colour, label=name)
    axes.legend(frameon=False, fontsize=9)
    return figure


@shows(
    "own-model.md",
    "A model of your own: the interval of its largest curvature, and the limits that follow for three optimizers.",
)
def own_limits():
    figure, axes = canvas("linear stability limit of the rate", "", logx=True)
    H = training.hessian(network(), loss, blobs())
    L = sf.spectrum(H, which="largest").largest.upper
    for name, method in (
        ("SGD", sf.methods.GradientDescent()),
        ("momentum 0.9", sf.methods.HeavyBall(0.9)),
        ("Nesterov 0.9", sf.methods.Nesterov(0.9)),
    ):
        axes.barh(name, method.real_limit / L, color=BLUE)
    return figure
