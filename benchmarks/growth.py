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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import Table

INTERVAL = ("unit, s", "products", "time in units", "peak MB")


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


@dataclass(frozen=True)
class Axis:
    """Something that grows: what is measured at each size, the columns after the size, and how many sizes are quick."""

    measure: Callable[[int], tuple[float, ...]]
    sizes: tuple[int, ...]
    columns: tuple[str, ...]
    note: str
    quick: int = 2


AXES = {
    # four layers of 8 times these powers of two
    "parameters": Axis(
        lambda k: transformer(4, 8 * 2**k, 256, 4, 32), (0, 2, 4, 6), INTERVAL,
        "Largest end of a transformer's Hessian, 1% at 1e-6; the unit is a gradient.",
    ),
    # 4 heads, 4 x 64 of 512 tokens: what the cost of an interval is bounded on
    "transformer": Axis(
        lambda layers: transformer(layers, 256, 512, 4, 64), (12,), INTERVAL,
        "The same with 12 layers of 256: parameters in all.", quick=0,
    ),
    "data": Axis(
        perceptron, (100, 1000, 10_000, 100_000), INTERVAL,
        "Largest end of a perceptron's Hessian on so many samples; the unit is a gradient.",
    ),
    "sparse": Axis(
        sparse, (1000, 10_000, 100_000, 1_000_000), INTERVAL,
        "Largest end of a random sparse matrix, 4 entries a row; the unit is a product.",
    ),
    "report": Axis(
        report, (100, 1000, 10_000, 100_000), ("run, s", "report, s", "KB"),
        "A descent of so many steps, and its report.",
    ),
    "workers": Axis(workers, (1, 2), ("sweep, s",), "160 runs of 300 steps by so many processes, by the clock."),
}  # fmt: skip


def growth(quick):
    """A table for each axis, the slopes of its columns in the last row."""
    tables = []
    for name, axis in AXES.items():
        rows = []
        for size in axis.sizes[: axis.quick if quick else None]:
            rows.append(measure_apart(name, size))
            print("  ", name, *rows[-1], flush=True)
        if len(rows) > 1:
            first, *others = zip(*rows, strict=True)
            rows.append(("log-log slope", *(slope(first, column) for column in others)))
        if rows:
            tables.append(Table(name, ("size", *axis.columns), rows, axis.note))
    return tables


def measure_apart(name, size):
    """A row of the table, from a process of its own."""
    command = [sys.executable, str(Path(__file__)), name, str(size)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def row(name, size):
    """Printed by the process of a row."""
    numbers = AXES[name].measure(size)
    # Linux counts in KiB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([*numbers, *((peak,) if "peak MB" in AXES[name].columns else ())]))


if __name__ == "__main__":
    row(sys.argv[1], int(sys.argv[2]))
