"""predict_wide against random networks: error against width and depth, and how far above the limit runs come back.

Run: python -m benchmarks wide-networks. The first table is the error of the prediction against the mean of some
networks, with the scatter of single ones; the second trains two-layer networks by gradient descent at multiples of
1/sharpness and says which come back.
"""

import math

import numpy as np
from bench import Table
from scipy.linalg import eigh

from surefoot.spectra import predict_wide

SAMPLES, INPUTS = 200, 32
FAMILIES = {
    "relu, He": ("relu", 2.0, None),
    "relu, PyTorch": ("relu", 1 / 3, 1 / 3),
    "tanh, 1/fan_in": ("tanh", 1.0, None),
    "tanh, PyTorch": ("tanh", 1 / 3, 1 / 3),
}
WIDTHS, DEPTHS = (64, 128, 256, 512), (1, 2, 4)
PRODUCTS = (1.0, 1.9, 2.5, 3.5, 5.0, 8.0, 11.0, 14.0)
STEPS, BIG = 300, 1e6


def sharpness(x, sizes, activation, weight, bias, rng):
    """The largest eigenvalue of J J'/n of one random network with one output."""
    act, slope = {
        "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
        "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    }[activation]
    fans, hidden, slopes, weights = [x.shape[1], *sizes], [x], [], []
    for k, (inward, outward) in enumerate(zip(fans, [*sizes, 1], strict=True)):
        weights.append(math.sqrt(weight / inward) * rng.standard_normal((outward, inward)))
        shift = 0.0 if bias is None else math.sqrt(bias / inward) * rng.standard_normal(outward)
        if k < len(sizes):
            z = hidden[-1] @ weights[-1].T + shift
            hidden.append(act(z))
            slopes.append(slope(z))
    back, gram = np.ones((len(x), 1)), np.zeros((len(x), len(x)))
    for k in range(len(sizes), -1, -1):
        gram += (hidden[k] @ hidden[k].T + (bias is not None)) * (back @ back.T)
        if k:
            back = (back @ weights[k]) * slopes[k - 1]
    top = len(x) - 1
    return float(eigh(gram, eigvals_only=True, subset_by_index=(top, top))[0]) / len(x)


def wide(quick):
    """Both tables."""
    return [errors(2, WIDTHS[:1], DEPTHS[:1]), comes_back(64, 1)] if quick else [errors(4), comes_back(512, 3)]


def errors(networks, widths=WIDTHS, depths=DEPTHS):
    """Of the prediction, less 1."""
    x, rows, worst = np.random.default_rng(1).standard_normal((SAMPLES, INPUTS)), [], {}
    for name, (activation, weight, bias) in FAMILIES.items():
        for depth in depths:
            cells = []
            for m in widths:
                sizes = [m] * depth
                predicted = predict_wide(sizes, x, activation=activation, weight_variance=weight, bias_variance=bias)
                rng = np.random.default_rng(2)
                seen = np.array([sharpness(x, sizes, activation, weight, bias, rng) for _ in range(networks)])
                error, scatter = predicted.largest.upper / seen.mean() - 1, seen.std() / seen.mean()
                worst[depth] = max(worst.get(depth, 0.0), abs(error))
                cells.append(f"{100 * error:+.1f}% ({100 * scatter:.0f}%)")
            rows.append((f"{name}, depth {depth}", *cells))
            print("  ", *rows[-1], flush=True)
    rows += [
        (f"largest, depth {depth}", f"{100 * error:.1f}%", *[None] * (len(widths) - 1))
        for depth, error in worst.items()
    ]
    note = f"Against the mean of {networks} networks; in brackets how single ones scatter."
    return Table("errors", ("error", *(f"width {m}" for m in widths)), rows, note)


def comes_back(width, seeds):
    """Which runs come back at rate x sharpness, for f = a' phi(W x)/sqrt(m) and squared loss on 20 samples."""
    acts = {
        "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
        "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
        "linear": (lambda z: z, np.ones_like),
    }
    rows = [
        (name, *(sum(_comes_back(*pair, width, c, seed) for seed in range(seeds)) for c in PRODUCTS))
        for name, pair in acts.items()
    ]
    note = f"Gradient descent on (f - y)^2/2, one hidden layer of {width}: runs that come back, of {seeds}."
    return Table("above-the-limit", ("rate x sharpness", *(f"{c:g}" for c in PRODUCTS)), rows, note)


def _comes_back(act, slope, m, product, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((20, 10))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = rng.standard_normal(20)
    w, a = rng.standard_normal((m, 10)), rng.standard_normal(m)

    def parts():
        z = x @ w.T
        h, d = act(z), slope(z) * a
        return h @ a / math.sqrt(m) - y, h, d

    residual, h, d = parts()
    kernel = (h @ h.T + (d @ d.T) * (x @ x.T)) / m / len(x)
    step, first = product / np.linalg.norm(kernel, 2), residual @ residual
    for _ in range(STEPS):
        residual, h, d = parts()
        if not residual @ residual < BIG * first:
            return False
        g = residual / len(x) / math.sqrt(m)
        a, w = a - step * (h.T @ g), w - step * ((d * g[:, None]).T @ x)
    residual = parts()[0]
    return bool(residual @ residual < first)
