"""Certified sharpness of networks against what people use: time, products, errors, memory.

Run: python -m benchmarks curvature digits. Needs scikit-learn. Times are those of the processor, which other programs
disturb less than the clock, in units of one gradient.
"""

import ctypes
import re
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from bench import Counted, Table, in_turn, optional, ratio
from hessians import PROBLEMS, train
from scipy.sparse.linalg import eigsh

import surefoot as sf
from surefoot.spectra.measured.lanczos import Lanczos, random_unit
from surefoot.training import hessian, supervised

# Rounds of which a median is taken, and gradients in each: one gradient alone is too short to be timed.
ROUNDS, GRADIENTS = 3, 15
# Column titles and the steps of training before.
NETWORKS = {f"{name.upper()}{', trained' * bool(steps)}": (name, steps) for steps in (0, 200) for name in PROBLEMS}
OURS, SETUP, BARE = "Surefoot, interval", "its set-up, in that", "bare Lanczos, stops changing"


def by_surefoot(model, criterion, batch):
    """An interval of 1% that misses the eigenvalue with probability 0.001."""
    found = sf.spectrum(hessian(model, supervised(criterion), batch), which="largest", rtol=0.01, failure=1e-3)
    return found.largest.upper, found.products


def by_curvlinops(options, model, _, batch):
    """ARPACK on a curvlinops operator: by default to rounding and with a basis of 20 vectors."""
    from curvlinops import HessianLinearOperator

    H = Counted(HessianLinearOperator(model, torch.nn.CrossEntropyLoss(), list(model.parameters()), [batch]).to_scipy())
    start = np.random.default_rng(1).standard_normal(H.shape[0])
    return float(eigsh(H, k=1, which="LA", return_eigenvectors=False, v0=start, **options)[0]), H.count


def by_eigenthings(model, criterion, batch):
    """Twenty steps: as many as its default, which is for ten eigenvalues, takes. For one it would take two."""
    from hessian_eigenthings import HessianOperator, lanczos, supervised_loss

    found = lanczos(HessianOperator(model, [batch], supervised_loss(criterion)), k=1, max_iter=20, which="LA", seed=0)
    return float(found.eigenvalues[0]), found.iterations


def by_pyhessian(model, criterion, batch):
    """Its power iteration, for the eigenvalue of the largest modulus."""
    import pyhessian

    product = pyhessian.hessian_vector_product
    with mock.patch("pyhessian.hessian.hessian_vector_product", wraps=product) as counted:
        found = pyhessian.hessian(model, criterion, data=batch, cuda=False).eigenvalues(top_n=1)
    return found[0][0], counted.call_count


# Name -> (module that it needs, function of a model, a criterion and a batch: the eigenvalue and the products).
CONTENDERS = {
    OURS: ("surefoot", by_surefoot),
    "curvlinops + eigsh": ("curvlinops", partial(by_curvlinops, {})),
    # the accuracy that Surefoot is asked for, and the basis with which ARPACK takes the fewest products to it: the best
    # of 6, 8, 10, 12 and 20 vectors
    "curvlinops + eigsh, tol 0.01, ncv 6": ("curvlinops", partial(by_curvlinops, {"tol": 0.01, "ncv": 6})),
    "eigenthings": ("hessian_eigenthings", by_eigenthings),
    "PyHessian": ("pyhessian", by_pyhessian),
}


def available():
    """The contenders whose module is there."""
    return {name: function for name, (module, function) in CONTENDERS.items() if optional(module) is not None}


def gradient(model, criterion, batch):
    """One gradient, the unit of everything here."""
    return torch.autograd.grad(criterion(model(batch[0]), batch[1]), list(model.parameters()))


def bare_lanczos(operator, truth):
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
    """Name of a contender -> (time in gradients, products, error in percent), of one network."""
    case = train(name, steps)
    model, criterion, batch = case
    H = hessian(model, supervised(criterion), batch, check=False)
    truth = sf.spectrum(H, which="both", rtol=1e-4, failure=1e-9).largest.midpoint
    results = {}

    def call(by, function):
        results[by] = function(*case)

    calls = {by: partial(call, by, function) for by, function in available().items()}
    calls[SETUP] = lambda: hessian(model, supervised(criterion), batch)
    unit = "gradients"
    spent = in_turn({unit: lambda: [gradient(*case) for _ in range(GRADIENTS)], **calls}, ROUNDS)
    time = {by: GRADIENTS * ratio(spent, by, unit) for by in calls}
    found = {by: (time[by], products, 100 * (top / truth - 1)) for by, (top, products) in results.items()}
    return found | {SETUP: (time[SETUP], None, None), BARE: (None, bare_lanczos(H, truth), None)}


def curvature(quick):
    """Time, products, error and peak memory of the largest eigenvalue of six Hessians."""
    torch.set_num_threads(1)
    found = {}
    for network, case in list(NETWORKS.items())[: 1 if quick else None]:
        found[network] = measure(*case)
        print("  ", network, flush=True)
    shown = (
        ("time in gradients", f"Medians of {ROUNDS} rounds. Ours has its self-check in it, and so has curvlinops."),
        ("products", "A product costs about two gradients."),
        ("error %", "Of an estimate, and of the upper end of our interval, which is above the truth by design."),
    )
    rows = list(next(iter(found.values())))
    tables = [
        Table(title.split()[0], (title, *found), [(by, *(of[by][i] for of in found.values())) for by in rows], note)
        for i, (title, note) in enumerate(shown)
    ]
    return [summary({by: [of[by][0] for of in found.values()] for by in available()}), *tables, memory(quick)]


def summary(times):
    """Surefoot's times over the others', network by network."""
    rows = []
    for peer in [by for by in times if by != OURS]:
        ratios = [a / b for a, b in zip(times[OURS], times[peer], strict=True)]
        wins = f"{sum(one < 1 for one in ratios)} of {len(ratios)}"
        rows.append((peer, statistics.geometric_mean(ratios), min(ratios), max(ratios), wins))
    titles = ("Surefoot's time over that of", "geometric mean", "least", "largest", "Surefoot is faster on")
    note = "Ours is an interval of 1% at failure 0.001. PyHessian takes the largest modulus for the top."
    return Table("summary", titles, rows, note)


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
    columns = {}
    for network, case in list(NETWORKS.items())[: 1 if quick else None]:
        model, criterion, batch = train(*case)
        H = hessian(model, supervised(criterion), batch, check=False)
        columns[network] = [sf.spectrum(H, **asked).products for asked in ASKED.values()]
    rows = [(asked, *counts) for asked, *counts in zip(ASKED, *columns.values(), strict=True)]
    return [Table("digits", ("largest end to", *columns), rows)]


def memory(quick):
    """MB that each takes at most, on the transformer at its start, in a process of its own."""
    rows = []
    for by in ["a gradient", *available()][: 1 if quick else None]:
        command = [sys.executable, "-W", "ignore", str(Path(__file__)), by]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        rows.append((by, float(done.stdout.split()[-1]) if done.returncode == 0 else None))
    note = "Peak resident memory over what was there before the call, on GPT (112,000 parameters, 1,024 characters)."
    return Table("memory", ("by", "MB"), rows, note)


def peak(by):
    """MB beyond what was there before a call, all modules loaded. Linux forgets the peak so far on request."""
    torch.set_num_threads(1)
    case = train("gpt", 0)
    gradient(*case)
    calls = {"a gradient": gradient, **available()}
    sf.spectrum(np.diag([2.0, 1.0]))
    # what the heap had freed is given back, so that it does not serve the call unseen
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before = resident("VmRSS")
    calls[by](*case)
    return resident("VmHWM") - before


def resident(key):
    """MB of this process by one of the lines of proc(5)."""
    return int(re.search(rf"{key}:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))[1]) / 1024


if __name__ == "__main__":
    print(peak(sys.argv[1]))
