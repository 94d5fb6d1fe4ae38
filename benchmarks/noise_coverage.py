"""How often the bounds of `stochastic_curvature` hold on a small network: share of 1,000 trials, nominal 95%.

Run: python -m benchmarks noise. The network has 57 parameters and 4,000 samples, so the Hessian of
every sample is formed once, and a trial is arithmetic: a direction from one mini-batch, curvatures on others.
"""

import numpy as np
import torch
from bench import Table
from torch import nn
from torch.func import functional_call, grad, hessian, vmap
from torch.nn import functional

from surefoot.rules.adaptive.moments import Moments

SAMPLES, CONFIDENCE = 4000, 0.95


def network():
    """The Hessian and the gradient of each sample, shapes (n, P, P) and (n, P)."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    x = torch.randn(SAMPLES, 5)
    y = (x[:, :3] + torch.randn(SAMPLES, 3)).argmax(1)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    sizes = {name: p.shape for name, p in model.named_parameters()}
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])

    def loss(vector, sample, label):
        pieces = vector.split([shape.numel() for shape in sizes.values()])
        values = {name: piece.view(shape) for (name, shape), piece in zip(sizes.items(), pieces, strict=True)}
        return functional.cross_entropy(functional_call(model, values, (sample[None],)), label[None])

    def each(function):
        parts = [
            vmap(function(loss), (None, 0, 0))(flat, *part) for part in zip(x.split(500), y.split(500), strict=True)
        ]
        return torch.cat(parts).numpy()

    return each(hessian), each(grad)


def coverage(quick):
    """Share of trials in which the bound holds, along a step and for the largest eigenvalue."""
    trials = 100 if quick else 1000
    hessians, gradients = network()
    whole = hessians.mean(axis=0)
    largest = np.linalg.eigvalsh(whole)[-1]
    band = 3 * (CONFIDENCE * (1 - CONFIDENCE) / trials) ** 0.5
    rows = []
    for batch in (4, 16, 64):
        for draws in (8, 16):
            rng, along, top = np.random.default_rng(0), 0, 0
            for _ in range(trials):
                taken = rng.permutation(SAMPLES)[: batch * (draws + 1)].reshape(draws + 1, batch)
                u = gradients[taken[0]].mean(axis=0)
                means = hessians[taken[1:]].mean(axis=1)
                seen = Moments.of((means @ u @ u / (u @ u)).tolist())
                along += seen.upper(CONFIDENCE) >= u @ whole @ u / (u @ u)
                top += Moments.of(np.linalg.eigvalsh(means)[:, -1].tolist()).upper(CONFIDENCE) >= largest
            rows.append((batch, draws, f"{along / trials:.1%}", f"{top / trials:.1%}"))
    rng, skewed = np.random.default_rng(0), 0
    for _ in range(trials):
        # four values with the same mean, most of it in rare large ones
        seen = Moments.of(rng.lognormal(0, 2, 4).tolist())
        skewed += seen.upper(CONFIDENCE) >= np.exp(2)
    note = (
        f"{trials} trials, nominal 95%; {100 * (CONFIDENCE - band):.1f}% and above is compatible with that. Skewed "
        f"noise breaks it: four log-normal values (sigma 2), {skewed / trials:.0%}."
    )
    return [Table("noise", ("mini-batch", "draws", "along the step", "largest"), rows, note)]
