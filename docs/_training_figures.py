"""The figures of the pages on PyTorch: small models, seconds each."""

import json
from importlib.resources import files

import numpy as np
import torch
from _figures import AMBER, BLUE, GREEN, GREY, RED, shows
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
def sharpness(axes):
    axes.set(xlabel="step", ylabel="largest curvature")
    recorded = json.loads(files("surefoot.playground").joinpath("records.json").read_text())["network"]
    for index, colour in ((9, BLUE), (16, RED), (19, GREEN)):
        rate, run = recorded["rates"][index], recorded["runs"][index]["sharpness"]
        axes.plot(
            np.arange(len(run)) * recorded["sharpness_every"], run, "o-", ms=3, color=colour, label=f"rate {rate:.3g}"
        )
        axes.axhline(2 / rate, color=colour, ls=":", lw=1)
    axes.set_ylim(0, 25)


@shows("guard.md", "One batch a thousand times too large in the middle of a run: without Guard and with it.")
def rescued(axes):
    axes.set(xlabel="step", ylabel="loss", yscale="log")
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


@shows("pilot.md", "The rates of a run: four copies rehearse it side by side, one goes on, holds and cools down.")
def piloted(axes):
    axes.set(xlabel="step", ylabel="rate", yscale="log")
    x, y = blobs()
    model = network()
    pilot = training.Pilot(model, torch.optim.AdamW(model.parameters()), total_steps=200)
    # the rule's state has the peak rates of all copies; the history has the rate of the run
    plans = []
    for _ in range(200):
        pilot.step(lambda: nn.functional.cross_entropy(model(x), y))
        plans.append(pilot.rule_state.rates)
    rates = [moment.rate for moment in pilot.history]
    last = max(k for k, plan in enumerate(plans) if len(plan) > 1)
    shape = [rate / plan[0] for rate, plan in zip(rates, plans, strict=True)]
    for i in range(1, 4):
        steps = [k for k in range(last + 1) if len(plans[k]) > i]
        axes.plot(steps, [plans[k][i] * shape[k] for k in steps], ".", color=GREY, markersize=3)
    axes.plot([], [], ".", color=GREY, label="other copies")
    axes.plot(rates[:-1], color=BLUE, label="the run")


@shows("range-test.md", "A range test: what the rehearsals at each rate reached, and the rate to take.")
def rehearsed():
    from surefoot.report.figures import range_figure

    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    x, y = blobs()
    batches = [(x[i : i + 64], y[i : i + 64]) for i in range(0, 256, 64)]
    return range_figure(training.range_test(model, loss, batches, optimizer, steps=100).to_dict())


@shows(
    "groups.md",
    "Update over weight of each layer along a run: the layer that learns least, and the one that learns most.",
)
def layer_updates(axes):
    axes.set(xlabel="step", ylabel="|update| / |weight|", yscale="log")
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
    axes.legend(fontsize=9)


@shows(
    "own-model.md",
    "A model of your own: the interval of its largest curvature, and the limits that follow for three optimizers.",
)
def own_limits(axes):
    axes.set(xlabel="linear stability limit of the rate", xscale="log")
    H = training.hessian(network(), loss, blobs())
    L = sf.spectrum(H, which="largest").largest.upper
    for name, method in (
        ("SGD", sf.methods.GradientDescent()),
        ("momentum 0.9", sf.methods.HeavyBall(0.9)),
        ("Nesterov 0.9", sf.methods.Nesterov(0.9)),
    ):
        axes.barh(name, method.real_limit / L, color=BLUE)


@shows("edge.md", "Recorded runs on digits: sharpness moves until it meets 2/rate, and hovers there.")
def recorded_edge(axes):
    record = json.loads(files("surefoot.playground").joinpath("records.json").read_text(encoding="utf-8"))["network"]
    axes.set(xlabel="step", ylabel="sharpness, in units of 2/rate")
    for number, colour, dash in ((9, GREY, ":"), (14, BLUE, "-"), (18, GREEN, "--")):
        rate, values = record["rates"][number], record["runs"][number]["sharpness"]
        steps = record["sharpness_every"] * np.arange(len(values))
        axes.plot(steps, np.array(values, float) * rate / 2, dash, color=colour, label=f"rate {rate:.2g}")
    axes.axhline(1, color=RED, lw=1)


@shows("accelerate.md", "One row of the data is NaN: the loss of the same run without the guard and with it.")
@shows("trainer.md", "One row of the data is NaN: the loss of the same run without the guard and with it.")
def one_bad_row(axes):
    axes.set(xlabel="step", ylabel="loss")
    x, y = blobs()
    x[7] = float("nan")
    for guarded, colour, dash in ((False, RED, "--"), (True, GREEN, "-")):
        model, seen = network(), []
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        guard = training.Guard(model, optimizer)
        for k in range(120):
            rows = torch.arange(16) + 16 * ((k + 8) % 16)
            if guarded:
                value = guard.step(lambda rows=rows, model=model: nn.functional.cross_entropy(model(x[rows]), y[rows]))
            else:
                optimizer.zero_grad()
                value = nn.functional.cross_entropy(model(x[rows]), y[rows])
                value.backward()
                optimizer.step()
                value = value.item()
            seen.append(value)
        finite = [(k, value) for k, value in enumerate(seen) if value == value]  # the bad batch's own loss is NaN
        name = "with the guard" if guarded else "without: NaN from there on"
        axes.plot(*zip(*finite, strict=True), dash, color=colour, lw=1.5 if guarded else 3, label=name)
        if not guarded:
            axes.plot(*finite[-1], "X", color=colour, ms=9)
    axes.set_ylim(bottom=0)


@shows("lightning.md", "The rate of a run under PilotCallback, in units of the one that the rehearsals chose.")
def rehearsed_rates(axes):
    from surefoot.integrations._rehearsed import rehearsed, warmed_up
    from surefoot.training.loop import Loop

    axes.set(xlabel="update", ylabel="rate / chosen rate")
    x, y = blobs()
    model, total, rates = network(), 120, []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    batches = list(zip(x.split(16), y.split(16), strict=True))
    rate, warmup, _ = rehearsed(model, loss, batches, optimizer, total)
    loop = Loop(model, optimizer, rule=warmed_up(rate, warmup), total_steps=total)
    for k in range(total):
        loop.step(lambda k=k: loss(model, batches[k % 16]))
        rates.append(optimizer.param_groups[0]["lr"])
    axes.plot(np.asarray(rates) / max(rates), color=BLUE)


@shows("models.md", "The largest curvature of the Hessian and of Gauss-Newton along a training.")
def two_curvatures(axes):
    axes.set(xlabel="step", ylabel="largest eigenvalue")
    model, (x, y) = network(), blobs()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    seen = []
    for k in range(60):
        if k % 10 == 0:
            operators = (training.hessian(model, loss, (x, y)), training.gauss_newton(model, loss, (x, y)))
            seen.append((k, *(sf.spectrum(A, which="largest", rtol=0.02).largest.upper for A in operators)))
        optimizer.zero_grad()
        loss(model, (x, y)).backward()
        optimizer.step()
    steps, hessian, gauss_newton = zip(*seen, strict=True)
    axes.plot(steps, hessian, "o-", ms=3, color=BLUE, label="Hessian")
    axes.plot(steps, gauss_newton, "s--", ms=3, color=AMBER, label="Gauss-Newton")


@shows("jax.md", "The width of an interval against products: what single precision can still tell, and double.")
def precisions(axes):
    axes.set(xlabel="products with the matrix", ylabel="width / largest eigenvalue", yscale="log")
    values, products = torch.logspace(-3, 0, 300, dtype=torch.float64), np.arange(6, 80, 12)
    for kind, colour, dash in ((torch.float32, AMBER, "--"), (torch.float64, BLUE, "-")):
        held = values.to(kind)
        operator = sf.operators.as_operator(lambda v, held=held: held * v, 300, like=held)
        ends = [
            sf.spectrum(operator, symmetric=True, which="largest", rtol=1e-15, max_products=int(k)).largest
            for k in products
        ]
        axes.plot(
            products,
            [end.upper - end.lower for end in ends],
            dash,
            color=colour,
            label=str(kind).removeprefix("torch."),
        )
