"""The edge of stability, seen: full-batch training of a small network, its sharpness against the optimizer's limit."""

import csv
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer

from surefoot.errors import InvalidInput
from surefoot.progress import Progress
from surefoot.records import Record
from surefoot.training.model import supervised
from surefoot.training.model.sandbox import random_state_kept, threads_for
from surefoot.training.optimizers import method_of
from surefoot.training.sharpness import SharpnessTracker
from surefoot.training.tasks._digits import digits

__all__ = ["Edge", "EdgeRun", "edge_of_stability"]

# So few images that a full-batch step is cheap, and rates at which sharpness meets the limit within the run.
SAMPLES = 300
GRADIENT_DESCENT = (0.45, 0.6, 0.9)
ADAM = (0.002, 0.003, 0.005)
# Measurements per run.
LOOKS = 40
# Runs done before the time left is guessed: the first steps load what later ones have.
FIRST_ESTIMATE = 0.2
# The part of a run that is called its end.
END = 1 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRun(Record):
    """Sharpness along one run at a constant rate.

    Parameters
    ----------
    optimizer : str
    rate : float
    threshold : float
        The sharpness at which the rate becomes linearly unstable: R/rate, R = 2 for gradient descent and
        (2 + 2 b1)/(1 - b1) for Adam, whose sharpness is that of the preconditioned Hessian.
    steps : tuple of int
        Steps at which it was measured.
    sharpness, loss : tuple of float
        Values there; sharpness is an estimate from below.
    """

    optimizer: str
    rate: float
    threshold: float
    steps: tuple[int, ...]
    sharpness: tuple[float, ...] = field(repr=False)
    loss: tuple[float, ...] = field(repr=False)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Sharpness over threshold."""
        return tuple(value / self.threshold for value in self.sharpness)

    @property
    def end(self) -> tuple[float, float, float]:
        """Least, median and largest ratio in the last third."""
        late = np.asarray(self.ratios[-max(1, round(len(self.ratios) * END)) :])
        return float(late.min()), float(np.median(late)), float(late.max())


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge(Record):
    """Runs at several rates, of gradient descent and of Adam: an observation, not a law.

    Parameters
    ----------
    problem : str
    runs : tuple of EdgeRun
    seconds : float
    """

    problem: str
    runs: tuple[EdgeRun, ...]
    seconds: float

    def __str__(self) -> str:
        lines = [
            self.problem,
            "",
            "  optimizer         rate    limit     sharpness / limit: first  end (median; range)",
        ]
        for run in self.runs:
            low, middle, high = run.end
            lines.append(
                f"  {run.optimizer:<16}  {run.rate:<6g}  {run.threshold:<8.5g}  {run.ratios[0]:<24.2f}  "
                f"{middle:.2f}; {low:.2f} to {high:.2f}"
            )
        return "\n".join([*lines, "", f"  {self.finding}"])

    @property
    def finding(self) -> str:
        """What was seen, in a sentence."""
        arrived = sum(0.9 <= run.end[1] <= 1.1 and run.ratios[0] < 0.9 for run in self.runs)
        return (
            f"in {arrived} of {len(self.runs)} runs the sharpness rose from below 0.9 of the limit and ended within "
            "10% of it: seen here, not a law"
        )

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write one row per measurement: optimizer, rate, step, sharpness, limit, loss.

        Returns
        -------
        Path
        """
        target = Path(path)
        with target.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["optimizer", "rate", "step", "sharpness", "limit", "loss"])
            for run in self.runs:
                for step, sharpness, loss in zip(run.steps, run.sharpness, run.loss, strict=True):
                    writer.writerow([run.optimizer, run.rate, step, sharpness, run.threshold, loss])
        return target

    def _derived(self) -> Mapping[str, Any]:
        return {"finding": self.finding}


def edge_of_stability(
    rates: Sequence[float] = GRADIENT_DESCENT,
    adam_rates: Sequence[float] = ADAM,
    *,
    steps: int = 1600,
    rng: int = 0,
    progress: Progress | None = None,
) -> Edge:
    """Train an MLP 64-32-32-10 (tanh) on 300 images of digits by full-batch steps, and watch its sharpness.

    With a constant rate the sharpness of many networks rises until it meets the limit 2/rate and then stays there, the
    loss still falling though not at every step (Cohen et al. 2021). For Adam the curvature that does so is the
    preconditioned one, P^-1/2 H P^-1/2, and the limit (2 + 2 b1)/((1 - b1) rate), 38/rate at b1 = 0.9 (Cohen et al.
    2022). Mean squared error against one-hot labels, for which the effect is clearest; with cross-entropy the curvature
    falls again once all samples are fitted.

    Parameters
    ----------
    rates, adam_rates : sequence of float
        Rates of gradient descent and of Adam.
    steps : int
        Steps of each run, at least 40.
    rng : int
        Seed of the initialisation.
    progress : callable, optional
        Called with (runs and parts of runs done, all, what is being done, seconds left).

    Returns
    -------
    Edge

    Raises
    ------
    InvalidInput
        If a rate is not positive, there are none, or there are too few steps.
    NotFinite
        If a run diverges: a rate far above the limit at the start.
    MissingExtra
        If scikit-learn, which has the images, is not installed.

    References
    ----------
    J. Cohen et al., Gradient descent on neural networks typically occurs at the edge of stability, ICLR 2021;
    Adaptive gradient methods at the edge of stability, 2022.
    """
    for value in (*rates, *adam_rates):
        if not 0 < value < float("inf"):
            raise InvalidInput(f"rates must be positive and finite; got {value!r}")
    if steps < LOOKS or not (*rates, *adam_rates):
        raise InvalidInput(
            f"needs a rate and at least {LOOKS} steps; got {len(rates)}, {len(adam_rates)} and {steps!r}"
        )
    images, labels = digits()
    batch = images[:SAMPLES], nn.functional.one_hot(labels[:SAMPLES], 10).float()
    plan: list[tuple[str, float, Callable[..., Optimizer]]] = []
    plan += [("gradient descent", rate, SGD) for rate in rates]
    plan += [("Adam", rate, Adam) for rate in adam_rates]
    began = time.perf_counter()
    runs: list[EdgeRun] = []
    for i, (name, rate, make) in enumerate(plan):

        def tell(part: float, i: int = i, label: str = f"{name}, rate {rate:g}") -> None:
            if progress is not None:
                done = i + part
                spent = time.perf_counter() - began
                left = spent / done * (len(plan) - done) if done > FIRST_ESTIMATE else None
                progress(round(LOOKS * done), LOOKS * len(plan), label, left)

        runs.append(_run(name, rate, make, batch, steps, rng, tell))
    problem = f"MLP 64-32-32-10 (tanh) on {SAMPLES} digits, mean squared error, full batch, {steps} steps"
    return Edge(problem=problem, runs=tuple(runs), seconds=time.perf_counter() - began)


def _run(
    name: str,
    rate: float,
    make: Callable[..., Optimizer],
    batch: Any,
    steps: int,
    rng: int,
    tell: Callable[[float], None],
) -> EdgeRun:
    loss = supervised(nn.functional.mse_loss)
    with random_state_kept(), threads_for(0, 0):
        torch.manual_seed(rng)
        model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 10))
        optimizer = make(model.parameters(), lr=rate)
        tracker = SharpnessTracker(model, loss, batch, optimizer)
        every = steps // LOOKS
        looks: list[tuple[int, float, float]] = []
        for step in range(steps + 1):
            optimizer.zero_grad()
            value = loss(model, batch)
            # Adam's preconditioner is not known before its first step
            if step % every == 0 and step > 0:
                looks.append((step, tracker.update().value, value.item()))
                tell(step / steps)
            value.backward()
            optimizer.step()
        threshold = method_of(optimizer).real_limit / rate
    at, sharpness, losses = zip(*looks, strict=True)
    return EdgeRun(optimizer=name, rate=rate, threshold=threshold, steps=at, sharpness=sharpness, loss=losses)
