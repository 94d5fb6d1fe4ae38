"""Certified sharpness of networks against what people use: products, cost in gradients, errors, memory.

Run: python -m benchmarks curvature. Needs scikit-learn. Times are those of the processor, which other programs disturb
less than the clock, in units of one gradient.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from bench import Counted, Table, optional
from hessians import PROBLEMS, trained
from scipy.sparse.linalg import eigsh

import surefoot as sf
from surefoot.spectra.measured.lanczos import Lanczos, random_unit
from surefoot.training import hessian, supervised

# Calls of which a median is taken: of a gradient, the unit of everything else, and of a whole measurement.
REPEATS, ROUNDS = 15, 3


def seconds(function, repeats=REPEATS):
    """Median time of a call, after two that do not count."""
    function(), function()
    return statistics.median(once(function)[1] for _ in range(repeats))


def once(function):
    began = time.process_time()
    result = function()
    return result, time.process_time() - began


def contenders(model, criterion, batch):
    """Name -> a call that returns the largest eigenvalue and the products, where they can be counted.

    Peers have their defaults, but for the steps of eigenthings, which are two for one eigenvalue; eigsh also with the
    accuracy that Surefoot is asked for.
    """
    parameters = list(model.parameters())

    def surefoot():
        H = hessian(model, supervised(criterion), batch)
        found = sf.spectrum(H, which="largest", rtol=0.01, failure=1e-3)
        return found.largest, found.products

    found = {"Surefoot, interval": surefoot}
    if optional("curvlinops"):
        from curvlinops import HessianLinearOperator

        def ritz(tolerance):
            made = HessianLinearOperator(model, torch.nn.CrossEntropyLoss(), parameters, [batch]).to_scipy()
            counted = Counted(made)
            start = np.random.default_rng(1).standard_normal(made.shape[0])
            top = eigsh(counted, k=1, which="LA", return_eigenvectors=False, v0=start, tol=tolerance)[0]
            return float(top), counted.count

        found |= {"curvlinops + eigsh": lambda: ritz(0), "curvlinops + eigsh, tol 0.01": lambda: ritz(0.01)}
    if optional("hessian_eigenthings"):
        from hessian_eigenthings import HessianOperator, lanczos, supervised_loss

        def eigenthings():
            operator = HessianOperator(model, [batch], supervised_loss(criterion))
            return float(lanczos(operator, k=1, max_iter=20, which="LA", seed=0).eigenvalues[0]), None

        found["eigenthings"] = eigenthings
    if optional("pyhessian"):
        from pyhessian import hessian as of_pyhessian

        def pyhessian():
            return of_pyhessian(model, criterion, data=batch, cuda=False).eigenvalues(top_n=1)[0][0], None

        found["PyHessian"] = pyhessian
    return found


def uncertified(operator, truth):
    """Products of bare Lanczos until its largest Ritz value stops to change, once it is within 1% of the truth.

    To change by 0.1% in two steps is what people use, and proves nothing.
    """
    run = Lanczos(operator, random_unit(operator.space, operator.shape[0], np.random.default_rng(0)))
    tops, near = [], False
    while run.steps < 200:
        run.advance()
        tops.append(float(run.ritz[-1]))
        near = near or abs(tops[-1] - truth) <= 0.01 * abs(truth)
        if near and len(tops) > 2 and tops[-1] - tops[-3] <= 1e-3 * abs(tops[-1]):
            break
    return run.steps


def measure(name, steps):
    """Rows of one network: by, products, time in gradients, error in percent, certified."""
    model, criterion, batch = trained(name, steps)
    x, y = batch
    parameters = list(model.parameters())
    gradient = seconds(lambda: torch.autograd.grad(criterion(model(x), y), parameters))
    loss = supervised(criterion)
    H = hessian(model, loss, batch, check=False)
    truth = sf.spectrum(H, which="both", rtol=1e-4, failure=1e-9).largest
    rows = []
    for by, call in contenders(model, criterion, batch).items():
        results, times = zip(*(once(call) for _ in range(ROUNDS)), strict=True)
        top, products = results[0]
        cost = statistics.median(times) / gradient
        if by.startswith("Surefoot"):
            holds = top.lower <= truth.upper and top.upper >= truth.lower
            setup = seconds(lambda: hessian(model, loss, batch), ROUNDS) / gradient
            rows += [
                (by, products, cost, None, "yes" if holds else "NO"),
                ("  its set-up, in that", None, setup, None, None),
                ("bare Lanczos, stops changing", uncertified(H, truth.midpoint), None, None, "no"),
            ]
        else:
            rows.append((by, products, cost, f"{100 * (top / truth.midpoint - 1):.2g}", "no"))
    return rows


def curvature(quick):
    """Products, gradients' worth of time, error and peak memory of the largest eigenvalue of six Hessians."""
    torch.set_num_threads(1)
    rows, costs = [], {}
    cases = [(name, after) for after in (0, 200) for name in PROBLEMS]
    for name, after in cases[: 1 if quick else None]:
        for by, products, cost, error, certified in measure(name, after):
            rows.append((f"{name}{after}", by, products, cost, error, certified))
            if cost is not None and certified is not None:
                costs.setdefault(by, []).append(cost)
        print("  ", name, after, flush=True)
    mine, over = costs.pop("Surefoot, interval"), []
    for peer, theirs in costs.items():
        ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
        wins = sum(ratio < 1 for ratio in ratios)
        over.append((peer, statistics.geometric_mean(ratios), min(ratios), max(ratios), f"{wins} of {len(ratios)}"))
    columns = ("network", "by", "products", "time in gradients", "error %", "certified")
    note = (
        "Ours: an interval of 1% at failure 1e-3, its self-check in the cost. mlp, cnn, gpt at their start (0) and "
        f"after 200 steps of gradient descent; medians of {ROUNDS}. eigsh goes on to rounding unless told otherwise; "
        "PyHessian takes the largest modulus for the top."
    )
    titles = ("Surefoot's time over that of", "geometric mean", "least", "largest", "Surefoot is faster on")
    return [Table("summary", titles, over), Table("curvature", columns, rows, note), digits(quick), memory(quick)]


# What an interval of the largest end is asked for, and what of the spectrum.
ASKED = {
    "1% at 1e-6": {"which": "largest"},
    "1% at 1e-3": {"which": "largest", "failure": 1e-3},
    "5% at 1e-3": {"which": "largest", "rtol": 0.05, "failure": 1e-3},
    "both ends, 1% at 1e-6": {"which": "both"},
    "the smallest alone": {"which": "smallest"},
}


def digits(quick):
    """What the digits of an interval cost, in products."""
    cases = [(name, after) for after in (0, 200) for name in PROBLEMS][: 1 if quick else None]
    columns = {}
    for name, after in cases:
        model, criterion, batch = trained(name, after)
        H = hessian(model, supervised(criterion), batch, check=False)
        columns[f"{name}{after}"] = [sf.spectrum(H, **asked).products for asked in ASKED.values()]
    rows = [(asked, *counts) for asked, *counts in zip(ASKED, *columns.values(), strict=True)]
    return Table("digits", ("largest end to", *columns), rows)


# Peak memory of each, in a process of its own. Linux forgets the peak so far on request ("5", proc(5)); what the heap
# had freed before is given back first, so that it does not serve the call unseen.
MEMORY = """
import ctypes, gc, re, sys
sys.path.insert(0, {folder!r})
import torch
from hessians import trained
torch.set_num_threads(1)
model, criterion, batch = trained("gpt", 0)
torch.autograd.grad(criterion(model(batch[0]), batch[1]), list(model.parameters()))
{imports}
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
open("/proc/self/clear_refs", "w").write("5")
memory = lambda key: int(re.search(key + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
before = memory("VmRSS")
{call}
print(memory("VmHWM") - before)
"""
WAYS = {
    "Surefoot": (
        "surefoot",
        "import surefoot as sf; from surefoot.training import hessian, supervised; sf.spectrum([[2.0, 1], [1, 2]])",
        "sf.spectrum(hessian(model, supervised(criterion), batch), which='largest', rtol=0.01, failure=1e-3)",
    ),
    "curvlinops + eigsh": (
        "curvlinops",
        "from scipy.sparse.linalg import eigsh; from curvlinops import HessianLinearOperator",
        "eigsh(HessianLinearOperator(model, torch.nn.CrossEntropyLoss(), list(model.parameters()), [batch]).to_scipy(),"
        " k=1, which='LA')",
    ),
    "eigenthings": (
        "hessian_eigenthings",
        "from hessian_eigenthings import HessianOperator, lanczos, supervised_loss",
        "lanczos(HessianOperator(model, [batch], supervised_loss(criterion)), k=1, max_iter=20, which='LA', seed=0)",
    ),
    "PyHessian": (
        "pyhessian",
        "from pyhessian import hessian as of",
        "of(model, criterion, data=batch, cuda=False).eigenvalues(top_n=1)",
    ),
}


def memory(quick):
    """MB that each takes at most, on the transformer at initialisation."""
    gradient = "torch.autograd.grad(criterion(model(batch[0]), batch[1]), list(model.parameters()))"
    rows = []
    for name, (module, imports, call) in {"a gradient": ("torch", "", gradient), **WAYS}.items():
        if quick and rows:
            break
        if optional(module) is None:
            continue
        code = MEMORY.format(folder=str(Path(__file__).parent), imports=imports, call=call)
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
        rows.append((name, float(done.stdout.split()[-1]) if done.returncode == 0 else None))
    note = "Peak resident memory over what was there before the call, on gpt0 (112,000 parameters, 1,024 characters)."
    return Table("memory", ("by", "MB"), rows, note)
