"""Certified largest eigenvalue against what people use: products, time and on which side each errs.

Run: python benchmarks/spectra.py [size]. Prints a table; times are ratios to ARPACK in the same run.
"""

import sys
import time

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

import surefoot as sf


class Counted(LinearOperator):
    """An operator that counts its products."""

    def __init__(self, product, size):
        self.product, self.count = product, 0
        super().__init__(dtype=np.dtype(float), shape=(size, size))

    def _matvec(self, x):
        self.count += 1
        return self.product(x.ravel())

    _rmatvec = _matvec


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


def power_iteration(operator, steps, rng):
    x = rng.standard_normal(operator.shape[0])
    for _ in range(steps):
        x /= np.linalg.norm(x)
        y = operator.matvec(x)
        estimate, x = x @ y, y
    return estimate


def main():
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(f"n = {size}; estimate over the true largest eigenvalue; 2/estimate is safe only where it is >= 1\n")
    header = ("spectrum", "surefoot upper", "products", "time", "ARPACK tol .01", "products", "power 20", "power 100")
    print("{:<26}{:>15}{:>10}{:>7}{:>16}{:>10}{:>10}{:>11}".format(*header))
    for name, product, truth in spectra(size):
        ours, peer, rival = (Counted(product, size) for _ in range(3))
        began = time.perf_counter()
        found = sf.spectrum(ours, which="largest", symmetric=True)
        middle = time.perf_counter()
        arpack = eigsh(peer, k=1, which="LA", tol=0.01, return_eigenvectors=False, v0=np.ones(size))[0]
        ended = time.perf_counter()
        rng = np.random.default_rng(1)
        short, long = (power_iteration(rival, steps, rng) for steps in (20, 100))
        ratio = (middle - began) / (ended - middle)
        print(
            f"{name:<26}{found.largest.upper / truth:>15.4f}{ours.count:>10}{ratio:>7.2f}"
            f"{arpack / truth:>16.4f}{peer.count:>10}{short / truth:>10.4f}{long / truth:>11.4f}"
        )


if __name__ == "__main__":
    main()
