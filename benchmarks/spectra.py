"""Certified largest eigenvalue against what people use: products, time and on which side each errs.

Run: python -m benchmarks spectra. Times are ratios to ARPACK in the same run.
"""

import numpy as np
from bench import Counted, Table, in_turn, power_iteration, ratio
from scipy.sparse.linalg import LinearOperator, eigsh

import surefoot as sf


def spectra(size):
    rng = np.random.default_rng(0)
    bulk = 0.01 * np.abs(rng.standard_normal(size - 10))
    outliers = np.concatenate([np.linspace(0.2, 1, 10), bulk])
    uniform = np.linspace(0, 1, size)
    spike = np.full(size, 0.7)
    spike[0] = 1.0

    def laplacian(x):
        y = 2 * x
        y[1:] -= x[:-1]
        y[:-1] -= x[1:]
        return y

    yield "ten outliers over a bulk", lambda x: outliers * x, 1.0
    yield "uniform", lambda x: uniform * x, 1.0
    yield "1-D Laplacian", laplacian, 2 - 2 * np.cos(np.pi * size / (size + 1))
    yield "one spike over 0.7", lambda x: spike * x, 1.0


def spectra_of_matrices(quick):
    """Estimates over the true largest eigenvalue: a step of 2/estimate is stable only where that is at least 1."""
    size, repeats = (2000, 1) if quick else (20_000, 3)
    rows = []
    for name, product, truth in spectra(size):
        matrix = LinearOperator((size, size), matvec=lambda x, product=product: product(x.ravel()), dtype=float)
        mine, theirs, start = Counted(matrix), Counted(matrix), np.random.default_rng(2).standard_normal(size)

        def ours(operator=mine):
            return sf.spectrum(operator, which="largest", symmetric=True).largest.upper

        def arpack(operator=theirs, start=start):
            return eigsh(operator, k=1, which="LA", tol=0.01, return_eigenvectors=False, v0=start)[0]

        upper, estimate = ours(), arpack()
        counts = mine.count, theirs.count
        spent = in_turn({"ours": ours, "ARPACK": arpack}, repeats)
        rng = np.random.default_rng(1)
        short, long = (power_iteration(product, size, steps, rng) for steps in (20, 100))
        # rounded down: an estimate below the truth must not show as 1
        shares = [f"{np.floor(1e4 * x / truth) / 1e4:.4f}" for x in (estimate, short, long)]
        rows.append((name, f"{upper / truth:.4f}", counts[0], ratio(spent, "ours", "ARPACK"), shares[0], counts[1],
                     *shares[1:]))  # fmt: skip
    columns = ("spectrum", "Surefoot, upper end", "products", "time over ARPACK's", "ARPACK, tol 0.01", "products",
               "power, 20", "power, 100")  # fmt: skip
    note = f"n = {size}. Estimates over the true value: 2/estimate is a stable step only where it is at least 1."
    return [Table("largest", columns, rows, note)]
