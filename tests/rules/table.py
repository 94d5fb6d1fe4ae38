"""The table of rules and problems: every rule sits the same exam on every problem of its class."""

from collections.abc import Callable

import numpy as np

from surefoot import rules
from surefoot.problems import Logistic, Problem, Quadratic, Softmax
from surefoot.rules import Rule

RNG = np.random.default_rng(0)


def quadratic(curvatures, scale: float = 1.0) -> Quadratic:
    """A rotated quadratic with its minimum at distance `scale` of the start."""
    curvatures = np.asarray(curvatures, dtype=float)
    rng = np.random.default_rng(len(curvatures))
    rotation, _ = np.linalg.qr(rng.standard_normal((len(curvatures), len(curvatures))))
    Q = rotation @ np.diag(curvatures) @ rotation.T
    Q = (Q + Q.T) / 2
    return Quadratic(Q, Q @ (scale * rng.standard_normal(len(curvatures))))


def logistic() -> Logistic:
    X = RNG.standard_normal((60, 5))
    return Logistic(X, (X[:, 0] + 0.5 * RNG.standard_normal(60) > 0).astype(int), ridge=1e-2)


def softmax() -> Softmax:
    X = RNG.standard_normal((60, 4))
    return Softmax(X, RNG.integers(0, 3, 60), ridge=1e-2)


# The largest curvature of each is at most 10, the smallest at least 1e-2.
PROBLEMS: dict[str, Problem] = {
    "quadratic": quadratic(np.linspace(1, 10, 12)),
    "ill-conditioned quadratic": quadratic(np.geomspace(1e-2, 10, 12)),
    "spiked quadratic": quadratic([10.0, *np.linspace(0.1, 0.2, 11)]),
    "logistic": logistic(),
    "softmax": softmax(),
}

# rule for a loss times c: c -> Rule
RULES: dict[str, Callable[[float], Rule]] = {
    "Constant": lambda c: rules.Constant(step=0.15 / c),
    "InverseTime": lambda c: rules.InverseTime(step=0.15 / c, halving=10),
    "InverseSqrt": lambda c: rules.InverseSqrt(step=0.15 / c),
    "StepDecay": lambda c: rules.StepDecay(step=0.15 / c, every=20, factor=0.5),
    "Exponential": lambda c: rules.Exponential(step=0.15 / c, factor=0.99),
    "Linear": lambda c: rules.Linear(step=0.15 / c, steps=80),
    "Cosine": lambda c: rules.Cosine(step=0.15 / c, steps=80),
    "OneCycle": lambda c: rules.OneCycle(peak=0.15 / c, steps=80),
    "HighThenLow": lambda c: rules.HighThenLow(high=0.18 / c, low=0.01 / c, steps=80),
    "WSD": lambda c: rules.WSD(peak=0.15 / c, steps=80),
    "Warmup": lambda c: rules.Warmup(rule=rules.Constant(step=0.15 / c), steps=10),
    "Warmup of a search": lambda c: rules.Warmup(rule=rules.BarzilaiBorwein(), steps=10),
    "Chebyshev": lambda c: rules.Chebyshev(smallest=0.01 * c, largest=10.0 * c, steps=48),
    "Silver": lambda c: rules.Silver(smoothness=10.0 * c),
    "Polyak with a bound": lambda c: rules.Polyak(lower_bound=-100.0 * c),
    "Barzilai-Borwein": lambda c: rules.BarzilaiBorwein(),
    "Barzilai-Borwein, long": lambda c: rules.BarzilaiBorwein(kind="long"),
    "Barzilai-Borwein, short": lambda c: rules.BarzilaiBorwein(kind="short"),
    "Armijo": lambda c: rules.Armijo(),
    "Strong Wolfe": lambda c: rules.StrongWolfe(),
    "Backtracking": lambda c: rules.Backtracking(),
    "AdGD 2020": lambda c: rules.AdGD(version=2020),
    "AdGD 2023": lambda c: rules.AdGD(),
    "Subgradient, constant": lambda c: rules.Subgradient(length=0.01, decay="constant"),
    "Subgradient, sqrt": lambda c: rules.Subgradient(length=0.3),
    "Subgradient, square summable": lambda c: rules.Subgradient(length=0.5, decay="square summable"),
    "Brake": lambda c: rules.Brake(rule=rules.Constant(step=0.5 / c)),
    "Brake of a search": lambda c: rules.Brake(rule=rules.Armijo()),
    "Confident": lambda c: rules.Confident(first=0.01 / c),
    "Confident, bounded": lambda c: rules.Confident(first=0.01 / c, width=10.0 * c, longest=0.15 / c),
    "Clipped": lambda c: rules.Clipped(rule=rules.Constant(step=0.15 / c), cap=0.05),
    "Clipped Auto": lambda c: rules.Clipped(rule=rules.Auto(), cap=0.05),
    "Three deep": lambda c: rules.Clipped(rule=rules.Brake(rule=rules.Warmup(rule=rules.Auto(), steps=3)), cap=1.0),
    "Auto": lambda c: rules.Auto(),
}

# No guarantee to end near the minimum within a hundred steps: they end early, move too slowly or only come near it.
WITHOUT_SPEED = {
    "InverseTime", "InverseSqrt", "StepDecay", "Exponential", "Linear", "Cosine", "OneCycle", "HighThenLow", "WSD",
    "Subgradient, constant", "Subgradient, sqrt", "Subgradient, square summable", "Clipped", "Clipped Auto",
    "Polyak with a bound", "Silver",
}  # fmt: skip
