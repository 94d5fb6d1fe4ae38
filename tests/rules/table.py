"""The table of rules and problems: every rule sits the same exam on every problem of its class."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from surefoot import rules
from surefoot.problems import Logistic, Problem, Quadratic, Softmax
from surefoot.rules import Decision, Rule

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


@dataclass
class Shown:
    """An observation of a run of training or of an integrator; what a rule does not declare it cannot read."""

    iteration: int = 0
    step: float = 0.1
    loss: float = 1.0
    gradient_norm: float = 2.0
    direction_norm: float = 2.0
    slope: float = -4.0
    curvature: float = 4.0
    arrival_slope: float = -4.0
    arrival_curvature: float = 16.0
    error: float = 0.5
    limit: float = 0.5
    reach: float = 0.1
    losses: tuple[float, ...] = (1.0,)
    remaining: float = 1.0
    until_cooldown: float = 100.0
    rescues: int = 0
    sound: bool = True
    factor: float = 1.0
    output_variation: float = 1.0
    buffer_change: float = 0.0
    kept_loss: float = 1.0
    kept_gradient_norm: float = 2.0
    kept_limit: float = 0.5
    outside: bool = False


class Run:
    """A hundred updates: a loss that falls and wavers, a loss that is not finite, a rescue, a cool-down from 80 on."""

    def __init__(self) -> None:
        self.copies = 1

    def __call__(self, k: int, decision: Decision | None) -> Shown:
        """The k-th observation; a batch that was left out leaves the copies of the run as they were."""
        if decision is None or decision.accept:
            self.copies = len(decision.copies) if decision is not None and decision.copies else 1
        loss = math.nan if k == 37 else 2 / (1 + 0.1 * k) + 0.1 * math.sin(1.7 * k)
        return Shown(
            iteration=k,
            step=math.nan if decision is None else decision.step,
            loss=loss,
            losses=tuple(loss + 0.01 * i for i in range(self.copies)),
            limit=0.5 + 0.1 * math.sin(0.3 * k),
            error=0.5 + (k % 9 == 8),
            remaining=1.0 if k < 80 else (100 - k) / 20,
            until_cooldown=float(max(80 - k, 0)),
            rescues=int(k > 50),
        )


# Rules that read what no problem shows: they are shown a `Run`.
OBSERVED: dict[str, Rule] = {
    "PI": rules.PI(first=0.1, order=4),
    "AlongStep": rules.AlongStep(),
    "Autopilot": rules.Autopilot(),
    "Cooldown": rules.Cooldown(rule=rules.Sharpness(every=3)),
    "Sharpness": rules.Sharpness(every=3),
    "Watch": rules.Watch(patience=5),
}

# No guarantee to end near the minimum within a hundred steps: they end early, move too slowly or only come near it.
WITHOUT_SPEED = {
    "InverseTime", "InverseSqrt", "StepDecay", "Exponential", "Linear", "Cosine", "OneCycle", "HighThenLow", "WSD",
    "Subgradient, constant", "Subgradient, sqrt", "Subgradient, square summable", "Clipped", "Clipped Auto",
    "Polyak with a bound", "Silver",
}  # fmt: skip
