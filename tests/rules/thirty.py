"""Thirty problems for the rule that knows nothing: what it costs beside the best rule in hindsight."""

import math

import numpy as np
from scipy.optimize import minimize
from solvers.functions import Diagonal, Smooth

from surefoot import rules
from surefoot.problems import LeastSquares, Logistic, Problem, Quadratic, Softmax


def thirty() -> dict[str, Problem]:
    """By name; spectra, scales, models, robust and non-convex functions."""
    rng = np.random.default_rng(0)
    return {**spectra(rng), **quadratics(rng), **models(rng), **others(rng)}


def spectra(rng):
    def random(curvatures, scale=1.0):
        return Diagonal(curvatures, scale * rng.standard_normal(len(curvatures)))

    found = {f"linear 1e{k}": Diagonal(np.linspace(10.0**-k, 1, 400), np.ones(400)) for k in (2, 4, 5)}
    found |= {f"logarithmic 1e{k}": random(np.geomspace(10.0**-k, 1, 400)) for k in (2, 4, 5)}
    return found | {
        "one spike": random(np.r_[1e6, np.linspace(1, 2, 400)]),
        "ten outliers": random(np.r_[np.geomspace(1e2, 1e5, 10), np.linspace(1, 5, 400)]),
        "two clusters": random(np.r_[rng.uniform(1, 1.2, 200), rng.uniform(1e3, 1.2e3, 200)]),
        "scale 1e8": random(1e8 * np.geomspace(1e-3, 1, 400), 1e-8),
        "scale 1e-8": random(1e-8 * np.geomspace(1e-3, 1, 400), 1e8),
    }


def quadratics(rng):
    def laplacian(m):
        return 2 * np.eye(m) - np.eye(m, k=1) - np.eye(m, k=-1)

    plane = np.kron(laplacian(20), np.eye(20)) + np.kron(np.eye(20), laplacian(20))
    tall = rng.standard_normal((200, 120))
    correlated = rng.standard_normal((200, 10)) @ (np.eye(10) + 0.9)
    vander = np.vander(np.linspace(0, 1, 60), 6)
    return {
        "Laplacian, line": Quadratic(laplacian(100), np.ones(100)),
        "Laplacian, plane": Quadratic(plane, rng.standard_normal(400)),
        "random rows": LeastSquares(tall, rng.standard_normal(200)),
        "correlated columns": LeastSquares(correlated, rng.standard_normal(200)),
        "correlated columns, 1e-3": LeastSquares(1e-3 * correlated, rng.standard_normal(200)),
        "polynomial fit": LeastSquares(vander, np.sin(6 * np.linspace(0, 1, 60)), ridge=1e-5),
    }


def models(rng):
    X = rng.standard_normal((300, 20)) @ np.diag(np.geomspace(0.2, 2, 20)) @ (np.eye(20) + 0.3)
    y = (X @ rng.standard_normal(20) + 2 * rng.standard_normal(300) > 0).astype(int)
    positive = np.abs(X)
    classes = np.argmax(X[:, :4] + 0.3 * rng.standard_normal((300, 4)), axis=1)
    return {
        "logistic": Logistic(X, y, ridge=1e-3),
        "logistic, weak ridge": Logistic(X, y, ridge=1e-5),
        "logistic, 1e4": Logistic(1e4 * X, y, ridge=1e5),
        "logistic, positive": Logistic(positive, y, ridge=1e-3),
        "logistic, spread": Logistic(X * np.geomspace(0.1, 10, 20), y, ridge=1e-2),
        "softmax": Softmax(X, classes, ridge=1e-3),
        "softmax, narrow": Softmax(0.1 * X, classes, ridge=1e-3),
    }


def others(rng):
    A = rng.standard_normal((150, 60)) * np.geomspace(0.3, 3, 60)
    b = A @ rng.standard_normal(60) + rng.standard_t(2, 150)
    C, counts = 0.3 * rng.standard_normal((100, 30)), rng.poisson(1.0, 100)
    weights = np.geomspace(1, 100, 40)

    def huber(x):
        r = A @ x - b
        return float(np.where(np.abs(r) < 1, r * r / 2, np.abs(r) - 0.5).mean()), A.T @ np.clip(r, -1, 1) / 150

    def log_cosh(x):
        r = A @ x - b
        value = (np.abs(r) + np.log1p(np.exp(-2 * np.abs(r))) - math.log(2)).mean()
        return float(value + 5e-4 * x @ x), A.T @ np.tanh(r) / 150 + 1e-3 * x

    def poisson(x):
        z = C @ x
        return float((np.exp(z) - counts * z).mean() + 5e-4 * x @ x), C.T @ (np.exp(z) - counts) / 100 + 1e-3 * x

    def quartic(x):
        return float((weights * x**4).sum() / 4 + 0.05 * x @ x), weights * x**3 + 0.1 * x

    def rosenbrock(x):
        a, c = x[1] - x[0] ** 2, 1 - x[0]
        return 100 * a * a + c * c, np.array([-400 * x[0] * a - 2 * c, 200 * a])

    def soft_maximum(x):
        z = A[:80] @ x + 0.05 * np.arange(80)
        e = np.exp(z - z.max())
        return float(z.max() + math.log(e.sum()) + 0.005 * x @ x), A[:80].T @ (e / e.sum()) + 0.01 * x

    return {
        "Huber regression": Smooth(huber, np.zeros(60)),
        "log-cosh regression": Smooth(log_cosh, np.zeros(60)),
        "Poisson regression": Smooth(poisson, np.zeros(30)),
        "quartic": Smooth(quartic, np.full(40, 2.0)),
        "Rosenbrock": Smooth(rosenbrock, [-1.2, 1.0]),
        "soft maximum": Smooth(soft_maximum, np.ones(60)),
    }


def least_value(problem: Problem) -> float:
    """f*, by L-BFGS-B restarted until it has nothing to add."""
    if isinstance(problem, Diagonal):
        return 0.0
    if isinstance(problem, Quadratic):
        x = np.linalg.solve(np.array([problem.hessian_product(problem.start(), e) for e in np.eye(problem.size)]),
                            -problem.gradient(problem.start()))  # fmt: skip
        return problem.value(x)
    x = problem.start()
    for _ in range(6):
        options = {"maxiter": 20000, "maxfun": 50000, "ftol": 1e-16, "gtol": 1e-14, "maxcor": 30}
        x = minimize(problem.value_and_gradient, x, jac=True, method="L-BFGS-B", options=options).x
    return problem.value(x)


def rivals(problem: Problem, least: float) -> dict[str, rules.Rule]:
    """Every rule worth its while here, those included that are told mu, L or f*."""
    found = {
        "long": rules.BarzilaiBorwein(kind="long"),
        "short": rules.BarzilaiBorwein(kind="short"),
        "alternating": rules.BarzilaiBorwein(),
        "AdGD": rules.AdGD(),
        "Armijo": rules.Armijo(),
        "Polyak": rules.Polyak(optimum=least),
    }
    try:
        spectrum = problem.curvature()
    except NotImplementedError:
        return found
    L, mu = spectrum.largest.upper, spectrum.smallest.lower
    found["silver"] = rules.Silver(smoothness=L)
    found["1/L"] = rules.Constant(step=1 / L)
    if mu > 0:
        # Chebyshev told the ends, and the length that a gap of 1e-6 takes in the worst case: half of it suffices often
        length = math.ceil(math.acosh(1e3) / (2 * math.atanh(math.sqrt(mu / L))))
        for steps in (32, 128, 512, min(length, 2000)):
            found[f"Chebyshev {steps}"] = rules.Chebyshev(smallest=mu, largest=L, steps=steps)
        found["2/(L + mu)"] = rules.Constant(step=2 / (L + mu))
    return found
