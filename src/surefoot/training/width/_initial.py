"""A test whether a layer's weights are independent with mean zero, as at initialisation."""

import math

import numpy as np
from torch import Tensor, nn

from surefoot.spectra import MarchenkoPastur, norm_squared
from surefoot.training.width._layers import abstention

# Distance from the values of independent entries that refuses a layer, in standard deviations: of the mean, and of the
# largest singular value, whose law (Tracy-Widom) has a heavier tail. By chance five of the first are exceeded once in
# 2e6, six of the second once in 1e5.
MEAN_APART, EDGE_APART = 5.0, 6.0
# Relative width of the interval of the largest singular value: below its own fluctuation at the widths that count.
NORM_RTOL = 0.01


def bias_of(layer: nn.Linear) -> Tensor | None:
    """The biases, if there are any; torch's own annotation says that there always are."""
    return dict(layer.named_parameters(recurse=False)).get("bias")


def variance_of(values: Tensor, layer: nn.Linear) -> float:
    """The mean square times the number of the layer's inputs."""
    return float(values.detach().double().square().mean()) * layer.in_features


def check_initial(name: str, layer: nn.Linear) -> None:
    """Refuse a layer whose weights or biases are visibly not independent with mean zero.

    By their mean against its standard deviation, and by the largest singular value of the weights against the law of
    that of a random matrix of the same variance (Marchenko, Pastur 1967; its fluctuation: Johnstone 2001).
    """
    for key, values in (("weights", layer.weight), ("biases", bias_of(layer))):
        if values is None:
            continue
        v = values.detach().double()
        mean, size = float(v.mean()), float(v.square().mean().sqrt())
        if size == 0 and key == "weights":
            raise abstention(name, layer, "has weights that are all zero: no gradient passes it")
        if abs(mean) * math.sqrt(v.numel()) > MEAN_APART * size:
            raise abstention(name, layer, f"is not at initialisation: its {key} have mean {mean:.3g}, not 0")
    w = layer.weight.detach().double().cpu().numpy()
    w = w if w.shape[0] >= w.shape[1] else w.T
    n, p = w.shape
    top = norm_squared(w, rtol=NORM_RTOL)
    mean, deviation = MarchenkoPastur(p / n, float(np.square(w).mean())).largest(n)
    mean, apart = n * mean, EDGE_APART * n * deviation
    if top.lower > mean + apart or top.upper < mean - apart:
        where = "beyond" if top.lower > mean else "inside"
        why = "as training makes it" if top.lower > mean else "as an orthogonal matrix has it"
        raise abstention(
            name,
            layer,
            f"is not at initialisation: the largest singular value of its weights, {math.sqrt(top.lower):.3g}, is "
            f"{where} the edge of a random matrix of its variance, {math.sqrt(mean):.3g}, {why}",
        )
