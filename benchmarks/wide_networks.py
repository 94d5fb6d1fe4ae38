"""predict_wide against random networks: error against width and depth, and how far above the limit runs come back.

Run: python benchmarks/wide_networks.py [NETWORKS] [--svg PATH] [--catapult]. The first table is the error of the
prediction against the mean of so many networks (default 10), with the scatter of single ones; the second trains
two-layer networks by gradient descent at multiples of 1/sharpness and says which come back.
"""

import argparse
import math

import numpy as np
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


def errors(networks):
    """Prints the table and returns (family, depth) -> errors by width."""
    found = {}
    x = np.random.default_rng(1).standard_normal((SAMPLES, INPUTS))
    print(f"predicted over the mean of {networks} networks, less 1 (scatter of single ones)\n")
    print(f"{'':<16}{'depth':>6}" + "".join(f"{f'width {m}':>18}" for m in WIDTHS))
    for name, (activation, weight, bias) in FAMILIES.items():
        for depth in DEPTHS:
            cells, found[name, depth] = [], []
            for m in WIDTHS:
                sizes = [m] * depth
                told = predict_wide(sizes, x, activation=activation, weight_variance=weight, bias_variance=bias)
                rng = np.random.default_rng(2)
                seen = np.array([sharpness(x, sizes, activation, weight, bias, rng) for _ in range(networks)])
                error, scatter = told.largest.upper / seen.mean() - 1, seen.std() / seen.mean()
                found[name, depth].append(error)
                cells.append(f"{100 * error:>+9.1f}% ({100 * scatter:>3.0f}%)")
            print(f"{name:<16}{depth:>6}" + "".join(f"{cell:>18}" for cell in cells), flush=True)
    return found


def figure(found, path):
    """Error against width, one curve for each family and depth."""
    from surefoot.report._canvas import SERIES, draw, log_axis
    from surefoot.report.figures import save_svg

    def paint(axes):
        for color, (name, *_) in zip(SERIES, FAMILIES.items(), strict=False):
            for depth, style in zip(DEPTHS, ("-", "--", ":"), strict=True):
                percent = [100 * error for error in found[name, depth]]
                axes.plot(WIDTHS, percent, color=color, ls=style, marker="o", ms=3, label=f"{name}, depth {depth}")
        axes.set_xlim(WIDTHS[0] / 1.2, WIDTHS[-1] * 1.2)
        log_axis(axes, "x")
        axes.set_xlabel("width")
        axes.set_ylabel("error of the prediction, %")
        axes.legend(loc="best", fontsize=6)

    save_svg(draw(paint, width=7, height=4, measured=True), path)


def catapult(width=512, seeds=3):
    """Which runs come back at rate * sharpness, for f = a' phi(W x)/sqrt(m) and squared loss on 20 samples."""
    print(f"\ngradient descent on (f - y)^2/2, one hidden layer of {width}: runs that come back, of {seeds}\n")
    print(f"{'rate x sharpness':<18}" + "".join(f"{c:>6g}" for c in PRODUCTS))
    acts = {
        "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
        "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
        "linear": (lambda z: z, np.ones_like),
    }
    for name, pair in acts.items():
        back = [sum(_comes_back(*pair, width, c, seed) for seed in range(seeds)) for c in PRODUCTS]
        print(f"{name:<18}" + "".join(f"{n:>6}" for n in back), flush=True)


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


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="?", type=int, default=10)
    parser.add_argument("--svg", help="draw error against width into this file")
    parser.add_argument("--catapult", action="store_true", help="only the second table")
    chosen = parser.parse_args()
    if not chosen.catapult:
        table = errors(chosen.networks)
        if chosen.svg:
            figure(table, chosen.svg)
    catapult()
