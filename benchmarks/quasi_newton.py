"""Auto beside SciPy's methods on 32 smooth problems, none of them among those that Auto was tuned on.

Run: python -m benchmarks scipy. The gradients that each took to a gap of 1e-6, and the geometric mean of the ratios:
what docs/rules.md says of when to take which.
"""

import math
import statistics

import numpy as np
from bench import Table
from scipy.optimize import minimize

from surefoot.problems import Function, Huber, LeastSquares, Logistic, Problem, Softmax
from surefoot.targets import ShapedQuadratic
from surefoot.trials import race

GAP, BUDGET = 1e-6, 4000


def sums_of_squares() -> dict[str, Problem]:
    """Nonlinear least squares, as test collections have them (More, Garbow, Hillstrom 1981)."""

    def problem(residual, jacobian, start):
        return Function(
            lambda x: float(residual(x) @ residual(x)) / 2, lambda x: jacobian(x).T @ residual(x), start=start
        )

    def rosenbrock(n):
        def residual(x):
            return np.r_[10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]]

        def jacobian(x):
            upper = 10 * (np.eye(n - 1, n, 1) - 2 * x[:-1, None] * np.eye(n - 1, n))
            return np.vstack([upper, -np.eye(n - 1, n)])

        return problem(residual, jacobian, np.tile([-1.2, 1.0], n)[:n])

    def numeric(residual, start):
        """A Jacobian by complex steps, exact to rounding."""

        def jacobian(x):
            return np.array([residual(x + 1e-30j * e).imag / 1e-30 for e in np.eye(len(x))]).T

        return problem(lambda x: residual(x).real, jacobian, start)

    def wood(x):
        a, b, c, d = x
        return np.array(
            [10 * (b - a * a), 1 - a, 90**0.5 * (d - c * c), 1 - c, 10**0.5 * (b + d - 2), (b - d) / 10**0.5]
        )

    def powell(x):
        a, b, c, d = x
        return np.array([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2])

    def beale(x):
        a, b = x
        return np.array([1.5 - a * (1 - b), 2.25 - a * (1 - b**2), 2.625 - a * (1 - b**3)])

    def tridiagonal(x):
        before, after = np.r_[0, x[:-1]], np.r_[x[1:], 0]
        return (3 - 2 * x) * x - before - 2 * after + 1

    def banded(x):
        return x * (2 + 5 * x**2) + 1 - 0.5 * (np.roll(x, 1) * (1 + np.roll(x, 1)))

    def variably(x):
        k = np.arange(1, len(x) + 1)
        s = k @ (x - 1)
        return np.r_[x - 1, s, s**2]

    def penalty(x):
        return np.r_[1e-5**0.5 * (x - 1), x @ x - 0.25]

    def trigonometric(x):
        n = len(x)
        return n - np.cos(x).sum() + np.arange(1, n + 1) * (1 - np.cos(x)) - np.sin(x)

    def exponential(x):
        t = np.linspace(0, 3, 40)
        return x[0] * np.exp(-x[1] * t) + x[2] * np.exp(-x[3] * t) - (np.exp(-t) + 5 * np.exp(-4 * t))

    def chemical(x):
        t = np.linspace(0.1, 4, 30)
        return x[0] * (t**2 + x[1] * t) / (t**2 + x[2] * t + x[3]) - 0.2 * (t**2 + 0.2 * t) / (t**2 + 0.1 * t + 0.1)

    return {
        "Rosenbrock, chain of 10": rosenbrock(10),
        "Rosenbrock, chain of 50": rosenbrock(50),
        "Wood": numeric(wood, [-3.0, -1.0, -3.0, -1.0]),
        "Powell's singular function": numeric(powell, [3.0, -1.0, 0.0, 1.0]),
        "Beale": numeric(beale, [1.0, 1.0]),
        "Broyden tridiagonal, 60": numeric(tridiagonal, np.full(60, -1.0)),
        "Broyden banded, 60": numeric(banded, np.full(60, -1.0)),
        "variably dimensioned, 10": numeric(variably, 1 - np.arange(1, 11) / 10),
        "penalty, 20": numeric(penalty, np.arange(1.0, 21)),
        "trigonometric, 20": numeric(trigonometric, np.full(20, 0.05)),
        "two exponentials": numeric(exponential, [2.0, 2.0, 2.0, 5.0]),
        "rational fit": numeric(chemical, [0.25, 0.39, 0.415, 0.39]),
    }


def models() -> dict[str, Problem]:
    """Linear models on data of even and uneven scale."""
    rng = np.random.default_rng(11)
    X = rng.standard_normal((250, 25)) @ (np.eye(25) + 0.2 * rng.standard_normal((25, 25)))
    uneven = X * np.geomspace(0.03, 3, 25)
    b = X @ rng.standard_normal(25) + rng.standard_t(2, 250)
    y = (b > 0).astype(int)
    classes = np.argmax(X[:, :5] + 0.5 * rng.standard_normal((250, 5)), axis=1)
    return {
        "least squares": LeastSquares(X, b),
        "least squares, uneven": LeastSquares(uneven, b, ridge=1e-4),
        "polynomial, degree 8": LeastSquares(np.vander(np.linspace(-1, 1, 80), 9), np.sin(5 * np.linspace(-1, 1, 80))),
        "logistic": Logistic(X, y, ridge=1e-2),
        "logistic, weak ridge": Logistic(X, y, ridge=1e-5),
        "logistic, uneven": Logistic(uneven, y, ridge=1e-4),
        "softmax": Softmax(X, classes, ridge=1e-3),
        "softmax, uneven": Softmax(uneven, classes, ridge=1e-4),
        "Huber": Huber(X, b, 1.0, ridge=1e-3),
        "Huber, uneven": Huber(uneven, b, 0.5, ridge=1e-4),
    }


def others() -> dict[str, Problem]:
    """Quadratics, a factorisation, a small network, a log-barrier, a minimal surface."""
    rng = np.random.default_rng(12)
    M = rng.standard_normal((15, 2)) @ rng.standard_normal((2, 12))
    inputs, wanted = rng.standard_normal((60, 3)), rng.standard_normal(60)
    A, c = rng.uniform(0, 1, (40, 10)), rng.standard_normal(10)

    def factors(x):
        U, V = x[:30].reshape(15, 2), x[30:].reshape(2, 12)
        R = U @ V - M
        return float((R**2).sum()) / 2, np.r_[(R @ V.T).ravel(), (U.T @ R).ravel()]

    def network(x):
        W, v = x[:24].reshape(3, 8), x[24:]
        h = np.tanh(inputs @ W)
        r = (h @ v - wanted) / 60
        value = float((h @ v - wanted) @ r) / 2 + 5e-4 * float(x @ x)
        return value, np.r_[(inputs.T @ (r[:, None] * v * (1 - h**2))).ravel(), h.T @ r] + 1e-3 * x

    def barrier(x):
        slack = 2.0 - A @ x
        if (slack <= 0).any():
            return math.inf, np.full(10, math.nan)
        return float(c @ x - 0.1 * np.log(slack).sum() + 0.05 * x @ x), c + 0.1 * A.T @ (1 / slack) + 0.1 * x

    def surface(x):
        u = np.pad(x.reshape(8, 8), 1)
        u[0, :] = np.sin(np.linspace(0, np.pi, 10))
        dx, dy = u[1:, :-1] - u[:-1, :-1], u[:-1, 1:] - u[:-1, :-1]
        area = np.sqrt(0.01 + dx**2 + dy**2)
        g = np.zeros_like(u)
        g[1:, :-1] += dx / area
        g[:-1, :-1] -= (dx + dy) / area
        g[:-1, 1:] += dy / area
        return float(area.sum()), g[1:-1, 1:-1].ravel()

    def both(function, start):
        return Function(lambda x: function(x)[0], lambda x: function(x)[1], start=start)

    found = {
        f"quadratic, {name} 1e{k}": ShapedQuadratic(10.0**k, name, 300)
        for name, k in (("linear", 3), ("log", 4), ("clustered", 4), ("spiked", 5), ("log", 6))
    }
    return found | {
        "factorisation": both(factors, rng.standard_normal(54)),
        "network": both(network, 0.5 * rng.standard_normal(32)),
        "log-barrier": both(barrier, np.zeros(10)),
        "minimal surface": both(surface, np.zeros(64)),
        "log of a sum": both(
            lambda x: (
                float(np.log1p((x - 1) @ (x - 1)) + 0.01 * x @ x),
                2 * (x - 1) / (1 + (x - 1) @ (x - 1)) + 0.02 * x,
            ),
            np.full(12, 4.0),
        ),
    }


METHODS = ("L-BFGS-B", "CG", "BFGS", "Newton-CG")


class Reached(Exception):
    """The goal, or the budget, has been reached."""


def count(problem: Problem, method: str, goal: float) -> int | None:
    """Gradients until the loss was at most the goal; products with the Hessian are differences of two gradients."""
    spent = 0

    def both(x):
        nonlocal spent
        spent += 1
        loss, gradient = problem.value_and_gradient(x)
        if loss <= goal or spent >= BUDGET:
            raise Reached
        return loss, gradient

    try:
        minimize(both, problem.start(), jac=True, method=method, tol=0, options={"maxiter": BUDGET})
    except Reached:
        return spent if spent < BUDGET else None
    except ValueError:  # a loss that is not finite, outside the domain
        return None
    return None


def against_scipy(quick: bool) -> list[Table]:
    """Gradients on each problem, and the geometric mean of their ratios; one that fails counts as the budget."""
    rows = []
    for name, problem in list({**sums_of_squares(), **models(), **others()}.items())[: 4 if quick else None]:
        made = race(problem, ["auto"], steps=BUDGET, tol=GAP / 10)
        auto = next(e for e in made.entries if e.name == "auto").reached(GAP)
        goal = made.least.value + GAP * (made.initial - made.least.value)
        rows.append((name, auto, *(count(problem, method, goal) for method in METHODS)))
    means = []
    for k, method in enumerate(METHODS, start=2):
        ratios = [(row[1] or BUDGET) / (row[k] or BUDGET) for row in rows]
        fewer = f"{sum(ratio < 1 for ratio in ratios)} of {len(rows)}"
        failed = sum(row[k] is None for row in rows)
        means.append((method, statistics.geometric_mean(ratios), max(ratios), fewer, failed))
    columns = ("SciPy's", "Auto's gradients over its", "at most", "Auto takes fewer on", "it fails on")
    note = (
        f"Gradients to a relative gap of {GAP:g}; most {BUDGET}, and - for a method that did not get there. "
        f"Auto fails on {sum(row[1] is None for row in rows)}."
    )
    return [
        Table("scipy", columns, means, note),
        Table("scipy-by-problem", ("problem", "Auto", *METHODS), rows),
    ]
