"""How the cost of an interval grows: with parameters, with data, with the size of a sparse matrix.

Run: python benchmarks/growth.py [small]. Each row is a process of its own, so that its peak memory is its own. Times
are processor times over that of one gradient (or of one product) in the same process; `small` takes a minute.
"""

import math
import resource
import subprocess
import sys
import time
from pathlib import Path

PARAMETERS = {"small": (2, 3), "full": (2, 3, 4, 5, 6)}  # powers of two of 32: the width of a transformer
DATA = {"small": (100, 1000), "full": (100, 1000, 10_000, 100_000)}
SIZES = {"small": (1000, 10_000), "full": (1000, 10_000, 100_000, 1_000_000, 10_000_000)}
LENGTH, VOCABULARY, LAYERS = 32, 256, 4


def main(scale="full"):
    for axis, values in (("parameters", PARAMETERS), ("data", DATA), ("sparse", SIZES)):
        rows = [measured_apart(axis, value) for value in values[scale]]
        print(f"{axis:<12}{'size':>12}{'unit s':>10}{'products':>10}{'in units':>10}{'peak MB':>10}")
        for row in rows:
            print(f"{'':<12}{row[0]:>12.0f}{row[1]:>10.2g}{row[2]:>10.0f}{row[3]:>10.1f}{row[4]:>10.0f}")
        names = ("unit", "products", "in units", "peak")
        slopes = [slope([row[0] for row in rows], [row[i] for row in rows]) for i in range(1, 5)]
        print(f"{'':<12}log-log slope: " + ", ".join(f"{n} {s:.2f}" for n, s in zip(names, slopes, strict=True)))


def measured_apart(axis, value):
    """A row of the table, from a process of its own."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__)), axis, str(value)], capture_output=True, text=True, check=True
    )
    return [float(number) for number in done.stdout.split()]


def slope(sizes, values):
    """Of the straight line through the logarithms."""
    x, y = [math.log(s) for s in sizes], [math.log(max(v, 1e-9)) for v in values]
    mean, level = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean) ** 2 for a in x)
    return sum((a - mean) * (b - level) for a, b in zip(x, y, strict=True)) / spread


def network(width, sequences):
    """The largest end of a transformer's Hessian: size, seconds of a gradient, products, gradients."""
    import torch
    from models import Transformer, gradient_of, language_batch, language_loss

    import surefoot as sf
    from surefoot.training import hessian

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = Transformer(VOCABULARY, width, LAYERS, 4, LENGTH)
    whole = language_batch(VOCABULARY, sequences, LENGTH)
    batches = list(zip(whole[0].split(64), whole[1].split(64), strict=True))
    gradient_of(model, language_loss, batches[0])
    unit = seconds(lambda: [gradient_of(model, language_loss, batch) for batch in batches])
    found = []
    spent = seconds(lambda: found.append(sf.spectrum(hessian(model, language_loss, batches), which="largest")))
    return sum(p.numel() for p in model.parameters()), unit, found[0].products, spent / unit


def sparse(n):
    """The largest end of a random sparse matrix: size, seconds of a product, products, products' time."""
    import numpy as np
    import scipy.sparse

    import surefoot as sf

    rng = np.random.default_rng(0)
    half = scipy.sparse.coo_array((rng.standard_normal(4 * n), rng.integers(0, n, (2, 4 * n))), shape=(n, n)).tocsr()
    matrix = half + half.T
    x = rng.standard_normal(n)
    unit = max(seconds(lambda: [matrix @ x for _ in range(5)]) / 5, 1e-7)
    operator = sf.operators.LinearMap((n, n), matrix.__matmul__, symmetric=True)
    found = []
    spent = seconds(lambda: found.append(sf.spectrum(operator, which="largest")))
    return n, unit, found[0].products, spent / unit


def seconds(function):
    """Of processor time."""
    start = time.process_time()
    function()
    return time.process_time() - start


def row(axis, value):
    """Printed by the process of a row."""
    if axis == "sparse":
        numbers = sparse(value)
    elif axis == "data":
        _, *rest = network(32, value)
        numbers = (value, *rest)
    else:
        numbers = network(32 * 2**value // 4, 16)
    # Linux counts in KiB
    print(*numbers, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        row(sys.argv[1], int(sys.argv[2]))
    else:
        main(*sys.argv[1:])
