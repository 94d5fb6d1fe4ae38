"""|A|^2, what a step needs: applications, error and time beside PyLops' and SciPy's; deblurring runs that stop.

Run: python -m benchmarks norms deblurring. Needs scikit-image. An application is a product with A or A'; a run is
stopped by the discrepancy principle, and its PSNR compared with the best of 100 steps.
"""

import itertools
import statistics

import numpy as np
from bench import Counted, Table, in_turn, optional, power_iteration, ratio
from scipy.sparse.linalg import LinearOperator, svds

import surefoot as sf
from surefoot import rules
from surefoot.operators import convolution
from surefoot.problems import Deblurring, discrepancy
from surefoot.solvers import FISTA, Box
from surefoot.targets.deblur import deblur_target, gaussian_kernel


def counted_blur(side, boundary="zero"):
    """A blur whose own products are counted, of the class that has a closed form."""
    operator = convolution(gaussian_kernel(3.0), (side, side), boundary)
    counter = itertools.count()
    for name in ("matvec", "rmatvec"):
        product = getattr(operator, name)
        setattr(operator, name, lambda x, product=product: (next(counter), product(x))[1])
    return operator, counter


def hard(size):
    """Singular values of three kinds that are hard on power iteration; the largest is 1."""
    rng = np.random.default_rng(0)
    spike = np.full(size, 0.7**0.5)
    spike[0] = 1.0
    outliers = np.r_[np.linspace(0.9, 1, 20), 0.1 * rng.uniform(size=size - 20)]
    line = 2 - 2 * np.cos(np.pi * np.arange(1, size + 1) / (size + 1))
    return {"one spike over a bulk of 0.7": spike, "20 close ones": outliers, "1-D Laplacian": line / line.max()}


def rivals(tolerances=(None, 1e-3)):
    """Name -> |A|^2 of a SciPy operator."""
    found = {
        "svds, default": lambda A: svds(A, k=1, return_singular_vectors=False, rng=0)[0] ** 2,
        "svds, tol 0.001": lambda A: svds(A, k=1, tol=1e-3, return_singular_vectors=False, rng=0)[0] ** 2,
    }
    if (pylops := optional("pylops")) is None:
        return found

    class Wrapped(pylops.LinearOperator):
        def __init__(self, A):
            super().__init__(dtype=A.dtype, shape=A.shape)
            self.A = A

        def _matvec(self, x):
            return self.A.matvec(x)

        def _rmatvec(self, x):
            return self.A.rmatvec(x)

    def eigs(tolerance):
        options = {} if tolerance is None else {"tol": tolerance}

        def norm(A):
            wrapped = Wrapped(A)
            start = np.random.default_rng(0).standard_normal(A.shape[1])
            gram = wrapped.H @ wrapped
            return float(np.real(gram.eigs(neigs=1, symmetric=True, v0=start, **options)[0]))

        return norm

    def power(A):
        return power_iteration(lambda x: A.rmatvec(A.matvec(x)), A.shape[1], 10, np.random.default_rng(0))

    names = {None: "PyLops eigs, default", 1e-3: "PyLops eigs, tol 0.001"}
    return found | {names[t]: eigs(t) for t in tolerances} | {"10 steps of power iteration": power}


def norms(quick):
    """A blur, whose norm has a closed form, and operators of which only products are known."""
    side, size, repeats = (64, 500, 1) if quick else (256, 4000, 3)
    operator, counter = counted_blur(side)
    began = next(counter)
    truth = sf.spectra.norm_squared(operator).upper
    applications = next(counter) - began - 1
    plain = convolution(gaussian_kernel(3.0), (side, side), "zero")
    # without the knowledge that it is a blur
    bare = LinearOperator(plain.shape, matvec=plain.matvec, rmatvec=plain.rmatvec, dtype=float)
    ways = {"Surefoot, closed form": None, "Surefoot, products only": lambda A: sf.spectra.norm_squared(A).upper}
    ways |= rivals()
    spent = in_turn(
        {
            name: (lambda w=way: w(bare)) if way else lambda: sf.spectra.norm_squared(plain)
            for name, way in ways.items()
        },
        repeats,
    )
    rows = []
    for name, way in ways.items():
        if way is None:
            rows.append((name, applications, 0.0, 1.0))
            continue
        counted = Counted(bare)
        value = way(counted)
        rows.append((name, counted.count, 100 * (value / truth - 1), ratio(spent, name, "Surefoot, closed form")))
    ours = statistics.median(spent["Surefoot, closed form"])
    blur = Table(
        "blur",
        ("|A|² by", "applications", "error %", "times as long"),
        rows,
        f"A Gaussian blur, sigma 3, zero boundary, {side} x {side}; the closed form takes {1e3 * ours:.2g} ms. "
        "Below the truth (error < 0) is the dangerous side.",
    )
    return [blur, of_products(size)]


def of_products(size):
    """Estimates over the truth and applications, where nothing but products is known."""
    rows = []
    for name, values in hard(size).items():
        truth = float(values.max()) ** 2
        for way, norm in {"Surefoot, upper end": lambda A: sf.spectra.norm_squared(A).upper, **rivals((1e-3,))}.items():
            operator = Counted(LinearOperator((size, size), matvec=lambda x, v=values: v * x,
                                              rmatvec=lambda x, v=values: v * x, dtype=float))  # fmt: skip
            value = norm(operator) / truth
            # rounded down: an estimate below the truth must not show as 1
            rows.append((name, way, operator.count, f"{np.floor(1e5 * value) / 1e5:.5f}"))
    return Table(
        "products-only", ("singular values", "|A|² by", "applications", "over the truth"), rows, f"n = {size}."
    )


def deblurring(quick):
    """Gradients until the discrepancy principle stops, the PSNR there, and the best of 100 steps without it."""
    target = deblur_target()
    observed, kernel = target.deblurring.as_image(target.deblurring.data), gaussian_kernel(3.0)
    rows = []
    for noise in (0.01,) if quick else (0.01, None):
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
            rows.append((name, known, run.evaluations, *(f"{x:.2f}" for x in (target.psnr(run.x), max(seen)))))
    rows += [(name, "no stop", 100, *shown) for name, shown in without_stop(target, kernel).items()]
    columns = ("method", "noise level", "gradients", "PSNR, dB", "best of 100")
    return [Table("deblurring", columns, rows, f"{target.name}; input {target.psnr(target.start):.2f} dB.")]


def without_stop(target, kernel):
    """PyProximal's FISTA for 100 steps: its PSNR at the end, and the best on the way."""
    pyproximal, pylops = optional("pyproximal"), optional("pylops")
    if pyproximal is None or pylops is None:
        return {}
    data = np.asarray(target.deblurring.data)
    side = target.deblurring.as_image(data).shape
    operator = convolution(kernel, side, "zero")

    class Blur(pylops.LinearOperator):
        def __init__(self):
            super().__init__(dtype=np.dtype(float), shape=operator.shape)

        def _matvec(self, x):
            return operator.matvec(x)

        def _rmatvec(self, x):
            return operator.rmatvec(x)

    seen = []
    pyproximal.optimization.primal.ProximalGradient(
        pyproximal.L2(Op=Blur(), b=data.ravel()), pyproximal.Box(-np.inf, np.inf), x0=np.zeros(data.size),
        tau=1 / sf.spectra.norm_squared(operator).upper, niter=100, acceleration="fista",
        callback=lambda x: seen.append(target.psnr(x)),
    )  # fmt: skip
    return {"PyProximal FISTA 1/L": (f"{seen[-1]:.2f}", f"{max(seen):.2f}")}
