"""Closed-form norms and stopped deblurring runs: applications, gradients and decibels.

Run: python benchmarks/deblurring.py. Needs scikit-image. The first table counts products with A or A'; the second
gradients until the discrepancy principle stops, with the PSNR there and the best of 100 steps without it.
"""

import time

import numpy as np

import surefoot as sf
from surefoot import rules
from surefoot.operators import convolution
from surefoot.problems import Deblurring, discrepancy
from surefoot.solvers import FISTA, Box
from surefoot.targets.deblur import deblur_target, gaussian_kernel

SHAPE = (512, 512)
REPEATS = 7


class Counting:
    """The products of an operator, counted while it is measured."""

    def __init__(self, operator):
        self.count = 0
        for name in ("matvec", "rmatvec"):
            setattr(operator, name, self._counted(getattr(operator, name)))

    def _counted(self, product):
        def counted(x):
            self.count += 1
            return product(x)

        return counted


def norms():
    print(f"|A|^2 of a Gaussian blur, sigma 3, {SHAPE[0]} x {SHAPE[1]}\n")
    print(f"{'boundary':<12}{'|A|^2':>18}{'applications':>14}{'CPU ms':>9}")
    for boundary in ("periodic", "reflect", "zero", "replicate"):
        operator = convolution(gaussian_kernel(3.0), SHAPE, boundary)
        counting, seconds = Counting(operator), []
        for _ in range(REPEATS):
            began = time.process_time()
            found = sf.spectra.norm_squared(operator)
            seconds.append(time.process_time() - began)
        print(f"{boundary:<12}{found.upper:>18.12f}{counting.count:>14}{1e3 * float(np.median(seconds)):>9.1f}")


def runs():
    target = deblur_target()
    observed, kernel = target.deblurring.as_image(target.deblurring.data), gaussian_kernel(3.0)
    print(f"\n{target.name}: input {target.psnr(target.start):.2f} dB\n")
    print(f"{'method':<16}{'noise':>10}{'gradients':>11}{'PSNR':>8}{'best of 100':>13}")
    for noise in (0.01, None):
        problem = Deblurring(observed, kernel, "zero", noise=noise)
        L = problem.curvature().largest.upper
        methods = {
            "gradient 1/L": {"rule": rules.Constant(step=1 / L)},
            "gradient 1.99/L": {"rule": rules.Constant(step=1.99 / L)},
            "FISTA 1/L": {"rule": rules.Constant(step=1 / L), "method": FISTA()},
            "BB": {"rule": rules.BarzilaiBorwein()},
            "AdGD": {"rule": rules.AdGD()},
            "auto": {"rule": rules.Auto()},
            "auto in a box": {"rule": rules.Auto(), "penalty": Box(0, 1)},
        }
        for name, options in methods.items():
            run = sf.descend(problem, steps=100, tol=0, callback=discrepancy(problem), **options)
            seen = []
            sf.descend(problem, steps=100, tol=0, callback=lambda x, _, s=seen: s.append(target.psnr(x)), **options)
            known = "given" if noise else "estimated"
            print(f"{name:<16}{known:>10}{run.evaluations:>11}{target.psnr(run.x):>8.2f}{max(seen):>13.2f}")


if __name__ == "__main__":
    norms()
    runs()
