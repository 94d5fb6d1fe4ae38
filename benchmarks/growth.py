"""How the costs of an interval, a report and a sweep grow, with what they depend on.

An interval with parameters, data and a sparse matrix's size; a report with the run's length; a sweep with workers.

Run: python -m benchmarks growth. Each row is a process of its own, so that its peak memory is its own. Times are
processor times over that of one gradient (or of one product) in the same process, on one thread; those of a sweep are
of the clock.
"""

import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path

from bench import Table

# Sizes of each axis; "parameters" are powers of two of 8, the width of a transformer of four layers.
PARAMETERS = {"small": (0, 2), "full": (0, 2, 4, 6)}
DATA = {"small": (100, 1000), "full": (100, 1000, 10_000, 100_000)}
SIZES = {"small": (1000, 10_000), "full": (1000, 10_000, 100_000, 1_000_000)}
STEPS = {"small": (100, 1000), "full": (100, 1000, 10_000, 100_000)}
# 12 layers of 256, 4 heads, 512 tokens, 4 x 64 of them: what the cost of an interval is bounded on.
LARGE = {"small": (), "full": (12,)}
# Processes that share the runs of a sweep.
WORKERS = {"small": (1, 2), "full": (1, 2)}
INTERVAL = ("unit, s", "products", "time in units", "peak MB")
AXES = {
    "parameters": (PARAMETERS, INTERVAL, "Largest end of a transformer's Hessian, 1% at 1e-6; the unit is a gradient."),
    "transformer": (LARGE, INTERVAL, "The same with 12 layers of 256: parameters in all."),
    "data": (DATA, INTERVAL, "Largest end of a perceptron's Hessian on so many samples; the unit is a gradient."),
    "sparse": (SIZES, INTERVAL, "Largest end of a random sparse matrix, 4 entries a row; the unit is a product."),
    "report": (STEPS, ("run, s", "report, s", "KB"), "A descent of so many steps, and its report."),
    "workers": (WORKERS, ("sweep, s",), "160 runs of 300 steps by so many processes, by the clock."),
}


def growth(quick):
    """A table for each axis, the slopes of its columns in the last row."""
    tables = []
    for axis, (sizes, columns, note) in AXES.items():
        rows = []
        for value in sizes["small" if quick else "full"]:
            rows.append(measured_apart(axis, value))
            print("  ", axis, *rows[-1], flush=True)
        if len(rows) > 1:
            first, *others = zip(*rows, strict=True)
            rows.append(("log-log slope", *(slope(first, column) for column in others)))
        if rows:
            tables.append(Table(axis, ("size", *columns), rows, note))
    return tables


def measured_apart(axis, value):
    """A row of the table, from a process of its own."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__)), axis, str(value)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def slope(sizes, values):
    """Of the straight line through the logarithms."""
    x, y = [math.log(s) for s in sizes], [math.log(max(v, 1e-9)) for v in values]
    mean, level = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean) ** 2 for a in x)
    return sum((a - mean) * (b - level) for a, b in zip(x, y, strict=True)) / spread


def transformer(layers, width, vocabulary, sequences, length):
    """The largest end of a transformer's Hessian."""
    import torch
    from models import Transformer, language_batch, language_loss

    torch.manual_seed(0)
    model = Transformer(vocabulary, width, layers, 4, length)
    return network(model, language_loss, language_batch(vocabulary, sequences, length))


def network(model, loss, batch):
    """The largest end of a Hessian: parameters, seconds of a gradient, products, gradients, set-up among them."""
    import torch
    from models import gradient_of

    import surefoot as sf
    from surefoot.training import hessian

    torch.set_num_threads(1)
    gradient_of(model, loss, batch)
    before = [seconds(lambda: gradient_of(model, loss, batch)) for _ in range(5)]
    found = []
    spent = seconds(lambda: found.append(sf.spectrum(hessian(model, loss, batch), which="largest")))
    # before and after: how fast the machine is may change on the way
    after = [seconds(lambda: gradient_of(model, loss, batch)) for _ in range(5)]
    unit = sorted([*before, *after])[len(before)]
    return sum(p.numel() for p in model.parameters()), unit, found[0].products, spent / unit


def perceptron(samples):
    """The largest end of the Hessian of a small perceptron on so many samples."""
    import torch
    from torch.nn import functional

    from surefoot.training import supervised

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Tanh(), torch.nn.Linear(32, 4))
    x = torch.randn(samples, 16)
    return samples, *network(model, supervised(functional.cross_entropy), (x, x[:, :4].argmax(1)))[1:]


def sparse(n):
    """The largest end of a random sparse matrix: size, seconds of a product, products, products' time."""
    import numpy as np
    import scipy.sparse

    import surefoot as sf

    rng = np.random.default_rng(0)
    half = scipy.sparse.coo_array((rng.standard_normal(2 * n), rng.integers(0, n, (2, 2 * n))), shape=(n, n)).tocsr()
    matrix = half + half.T
    del half
    x = rng.standard_normal(n)
    unit = max(seconds(lambda: [matrix @ x for _ in range(5)]) / 5, 1e-7)
    operator = sf.operators.LinearMap((n, n), matrix.__matmul__, symmetric=True)
    found = []
    spent = seconds(lambda: found.append(sf.spectrum(operator, which="largest")))
    return n, unit, found[0].products, spent / unit


def report(steps):
    """A descent and its report: steps, seconds of each, size of the file."""
    import tempfile

    import numpy as np

    from surefoot.problems import Quadratic
    from surefoot.report import write_report
    from surefoot.trials import run

    problem = Quadratic(np.diag(np.logspace(-8, 0, 20)))
    found = []
    ran = seconds(lambda: found.append(run(problem, "constant:1", x0=np.ones(20), steps=steps, tol=1e-300)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.html"
        wrote = seconds(lambda: write_report(found[0].to_dict(), path))
        return steps, ran, wrote, path.stat().st_size / 1000


def workers(number):
    """A sweep by so many processes, which are there before it begins: their number, seconds."""
    import numpy as np

    from surefoot.problems import Quadratic
    from surefoot.trials import sweep

    # flat directions on which no run comes to its end early
    problem, start = Quadratic(np.diag(np.logspace(-6, 0, 600))), np.ones(600)
    rates = np.linspace(0.1, 1.9, 160)
    sweep(problem, rates[:number], x0=start, steps=128, workers=number)
    began = time.perf_counter()
    sweep(problem, rates, x0=start, steps=300, workers=number)
    return number, time.perf_counter() - began


def seconds(function):
    """Of processor time."""
    start = time.process_time()
    function()
    return time.process_time() - start


def row(axis, value):
    """Printed by the process of a row."""
    measure = {
        "parameters": lambda: transformer(4, 8 * 2**value, 256, 4, 32),
        "transformer": lambda: transformer(value, 256, 512, 4, 64),
        "data": lambda: perceptron(value),
        "sparse": lambda: sparse(value),
        "report": lambda: report(value),
        "workers": lambda: workers(value),
    }[axis]
    # Linux counts in KiB
    numbers = measure()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([*numbers, *((peak,) if "peak MB" in AXES[axis][1] else ())]))


if __name__ == "__main__":
    row(sys.argv[1], int(sys.argv[2]))
