"""How the learning rate must scale with width: predicted, measured at the start, and chosen by short runs."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD

from surefoot.checks import Count, checked
from surefoot.errors import InvalidInput
from surefoot.progress import Progress
from surefoot.records import Record
from surefoot.spectra import predict_wide
from surefoot.training.curvature import gauss_newton
from surefoot.training.loop.run import run
from surefoot.training.model import supervised
from surefoot.training.model.batches import gather
from surefoot.training.model.minibatches import MiniBatches
from surefoot.training.optimizers import optimizer_limits

__all__ = ["WideMLP", "WidthPoint", "WidthStudy", "width_study"]

Parametrization = Literal["standard", "ntk", "mup"]
PARAMETRIZATIONS: tuple[Parametrization, ...] = get_args(Parametrization)
# He's: a ReLU layer keeps the size of its input.
VARIANCE = 2.0
# Hidden layers: with two there is one whose input and output are both wide. Classes: the digits'.
DEPTH, CLASSES = 2, 10
# Sizes that take seconds on a laptop. By convention.
WIDTHS = (64, 128, 256)
SAMPLES, BATCH = 200, 32
# Rates tried are the predicted limit times powers of 2: at first these exponents, then more, up to this number, while
# the best is at an end.
FIRST, MOST = range(-2, 3), 12
# Width of the measured limit's interval: networks of one width differ by more.
RTOL = 0.05


class WideMLP(nn.Module):
    """A fully connected ReLU network without biases, its width's role made explicit.

    standard: weights N(0, 2/fan_in). ntk: weights N(0, 1), layers times sqrt(2/fan_in) (Jacot et al. 2018). mup: as
    standard, but the output weights N(0, 2/fan_in^2), and a learning rate for each layer (Yang et al. 2022, table 3).

    Parameters
    ----------
    inputs, width : int
        Size of the data, and of each of two hidden layers.
    parametrization : "standard", "ntk" or "mup"
    """

    def __init__(self, inputs: int, width: int, parametrization: Parametrization = "standard") -> None:
        super().__init__()
        fans = [inputs, *[width] * DEPTH, CLASSES]
        self.factors, self.rates, weights = list[float](), list[float](), list[Tensor]()
        for k, (fan_in, fan_out) in enumerate(pairwise(fans)):
            deviation = math.sqrt(VARIANCE / fan_in)
            rate = 1.0
            if parametrization == "mup" and k == 0:
                rate = float(fan_out)
            elif parametrization == "mup" and k == DEPTH:
                rate, deviation = 1 / fan_in, deviation / math.sqrt(fan_in)
            outside = parametrization == "ntk"
            self.factors.append(deviation if outside else 1.0)
            self.rates.append(rate)
            weights.append((1.0 if outside else deviation) * torch.randn(fan_out, fan_in))
        self.weights = nn.ParameterList(nn.Parameter(w) for w in weights)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (batch, 10)."""
        for k, (weight, factor) in enumerate(zip(self.weights, self.factors, strict=True)):
            x = factor * nn.functional.linear(x if k == 0 else torch.relu(x), weight)
        return x

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """The layers' weights with their learning rates."""
        return [{"params": [w], "lr": rate * r} for w, r in zip(self.weights, self.rates, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class WidthPoint(Record):
    """One parametrisation at one width; rates are those of a layer whose own factor is 1.

    Parameters
    ----------
    parametrization : str
    width : int
    predicted : float
        Linear limit of plain SGD from random-matrix theory, no network built; an estimate.
    measured : float
        Largest stable rate from the mean of the largest Gauss-Newton eigenvalues of random networks.
    best : float
        The rate of the least loss after a short run; a parabola through the neighbours of the best one tried.
    tried : tuple of (float, float)
        Rates with the loss on all the data in the end, the geometric mean over the networks; nan where it was not
        finite for one.
    """

    parametrization: str
    width: int
    predicted: float
    measured: float
    best: float
    tried: tuple[tuple[float, float], ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WidthStudy(Record):
    """Limits and best rates against width.

    Parameters
    ----------
    points : tuple of WidthPoint
    steps : int
        Length of a short run.
    networks : int
        Number of random networks measured and trained at each width.
    """

    points: tuple[WidthPoint, ...]
    steps: int
    networks: int

    def of(self, parametrization: str) -> tuple[WidthPoint, ...]:
        """The points of a parametrisation, by width."""
        return tuple(sorted((p for p in self.points if p.parametrization == parametrization), key=lambda p: p.width))

    def slope(self, parametrization: str, what: Literal["predicted", "measured", "best"]) -> float:
        """The power p in rate ~ width^p, fitted over the widths."""
        points = self.of(parametrization)
        widths, rates = [p.width for p in points], [getattr(p, what) for p in points]
        return float(np.polyfit(np.log(widths), np.log(rates), 1)[0])

    def __str__(self) -> str:
        rows = [
            f"rate against width, {self.networks} networks, short runs of {self.steps} steps: "
            "predicted limit, measured limit, best rate"
        ]
        for name, slopes in self._slopes().items():
            powers = ", ".join(f"{slope:+.2f}" for slope in slopes.values())
            cells = "  ".join(f"{p.width}: {p.predicted:.3g} {p.measured:.3g} {p.best:.3g}" for p in self.of(name))
            rows.append(f"  {name:<9} {cells}  as width to the power {powers}")
        return "\n".join(rows)

    def derived(self) -> Mapping[str, Any]:
        """The powers of the width, by parametrization."""
        return {"slopes": self._slopes()}

    def _slopes(self) -> dict[str, dict[str, float]]:
        names = dict.fromkeys(p.parametrization for p in self.points)
        return {n: {what: self.slope(n, what) for what in ("predicted", "measured", "best")} for n in names}


@checked
def width_study(
    data: tuple[Tensor, Tensor],
    *,
    widths: Sequence[int] = WIDTHS,
    steps: Count = 30,
    networks: Count = 2,
    rng: int = 0,
    progress: Progress | None = None,
) -> WidthStudy:
    """Learning rates of ReLU networks of several widths and two hidden layers: predicted, measured, best of short runs.

    Each width is studied in three parametrisations, "standard", "ntk" and "mup" (see `WideMLP`).

    The loss is the mean square over samples and outputs, as `torch.nn.MSELoss`. Not cross-entropy: its gradient is
    bounded, so that runs far above the linear limit come back at every width, and the best rate need not follow it.

    Parameters
    ----------
    data : (Tensor, Tensor)
        Inputs of shape (n, d), targets of shape (n, 10); the first 200 samples after a seeded shuffle are used.
    widths : sequence of int
        Widths, at least two.
    steps : int
        Length of a short run of SGD on mini-batches of 32.
    networks : int
        Number of random networks to measure and train at each width.
    rng : int
        Seed of the samples, the initialisation and the mini-batches.
    progress : callable, optional
        Called with (done, total, label, remaining seconds or None).
    """
    if len(set(widths)) < 2 or min(widths) < 2:
        raise InvalidInput(f"widths must hold two different numbers >= 2 at least; got {widths!r}")
    # the same samples at every width
    order = torch.randperm(len(data[0]), generator=torch.Generator().manual_seed(rng))[:SAMPLES]
    chosen = data[0][order], data[1][order]
    cases: list[tuple[Parametrization, int]] = [(name, width) for name in PARAMETRIZATIONS for width in widths]
    points: list[WidthPoint] = []
    for name, width in cases:
        if progress is not None:
            progress(len(points), len(cases), f"{name}, width {width}", None)
        points.append(_point(chosen, name, width, steps, range(rng, rng + networks)))
    return WidthStudy(points=tuple(points), steps=steps, networks=networks)


def _point(
    data: tuple[Tensor, Tensor], name: Parametrization, width: int, steps: int, seeds: Sequence[int]
) -> WidthPoint:
    x = data[0].double().numpy()
    spec = predict_wide(
        [width] * DEPTH, x, weight_variance=VARIANCE, outputs=CLASSES, loss="squared", parametrization=name
    )
    predicted = 2 / spec.largest.upper
    loss = supervised(nn.functional.mse_loss)

    def network(seed: int) -> WideMLP:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return WideMLP(x.shape[1], width, name)

    def limit(seed: int) -> float:
        model = network(seed)
        allowed = optimizer_limits(gauss_newton(model, loss, data), SGD(model.groups(1.0)), rtol=RTOL)
        # optimizer_limits speaks of the first group's rate
        return allowed.curvature_limit / model.rates[0]

    batches = gather(data, loss)

    def final(rate: float) -> float:
        logs: list[float] = []
        for seed in seeds:
            model = network(seed)
            visits = MiniBatches(batches, BATCH, seed)
            # geometric mean: one network that barely learns must not decide
            logs.append(math.log(run(model, loss, SGD(model.groups(rate)), visits.endless(), steps, batches, seed)[-1]))
        return math.exp(sum(logs) / len(logs))

    best, tried = _best(final, predicted)
    return WidthPoint(
        parametrization=name,
        width=width,
        predicted=predicted,
        # of the mean eigenvalue, which is what theory predicts: the harmonic mean of the limits
        measured=len(seeds) / sum(1 / limit(seed) for seed in seeds),
        best=best,
        tried=tried,
    )


def _best(final: Callable[[float], float], about: float) -> tuple[float, tuple[tuple[float, float], ...]]:
    """The rate of the least loss among powers of 2 times `about`, and every rate tried with its loss."""
    losses = {k: final(about * 2.0**k) for k in FIRST}

    def least() -> int:
        return min(losses, key=lambda k: losses[k] if math.isfinite(losses[k]) else math.inf)

    while (k := least()) in (min(losses), max(losses)) and len(losses) < MOST:
        beyond = k - 1 if k == min(losses) else k + 1
        losses[beyond] = final(about * 2.0**beyond)
    tried = tuple((about * 2.0**k, losses[k]) for k in sorted(losses))
    return about * 2.0 ** (k + _vertex(*(losses.get(j, math.nan) for j in (k - 1, k, k + 1)))), tried


def _vertex(left: float, middle: float, right: float) -> float:
    """The minimum of a parabola through the logarithms of three losses, at most half a step from the middle."""
    if not (math.isfinite(left) and math.isfinite(right)) or min(left, middle, right) <= 0:
        return 0.0
    a, b, c = math.log(left), math.log(middle), math.log(right)
    curvature = a - 2 * b + c
    return max(-0.5, min(0.5, (a - c) / (2 * curvature))) if curvature > 0 else 0.0
