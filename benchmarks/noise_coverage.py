"""How often the bounds of `stochastic_curvature` hold on a small network: share of 1,000 trials, nominal 95%.

Run: python benchmarks/noise_coverage.py [trials]. The network has 57 parameters and 4,000 samples, so the Hessian of
every sample is formed once, and a trial is arithmetic: a direction from one mini-batch, curvatures on others.
"""

import sys

import numpy as np
import torch
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


def main():
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    hessians, gradients = network()
    whole = hessians.mean(axis=0)
    largest = np.linalg.eigvalsh(whole)[-1]
    band = 3 * (CONFIDENCE * (1 - CONFIDENCE) / trials) ** 0.5
    print(f"{trials} trials; binomial band: {100 * (CONFIDENCE - band):.1f}% and above")
    print("batch  draws  along the step  largest")
    for batch in (4, 16, 64):
        for draws in (8, 16):
            rng, along, top = np.random.default_rng(0), 0, 0
            for _ in range(trials):
                rows = rng.permutation(SAMPLES)[: batch * (draws + 1)].reshape(draws + 1, batch)
                u = gradients[rows[0]].mean(axis=0)
                means = hessians[rows[1:]].mean(axis=1)
                seen = Moments.of((means @ u @ u / (u @ u)).tolist())
                along += seen.upper(CONFIDENCE) >= u @ whole @ u / (u @ u)
                top += Moments.of(np.linalg.eigvalsh(means)[:, -1].tolist()).upper(CONFIDENCE) >= largest
            print(f"{batch:5}  {draws:5}  {along / trials:14.1%}  {top / trials:7.1%}")


if __name__ == "__main__":
    main()
