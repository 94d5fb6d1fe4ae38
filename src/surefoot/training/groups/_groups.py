"""A learning rate and a schedule for each group of parameters, from measured curvature and noise."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from surefoot.checks import Count, Range, checked
from surefoot.errors import InvalidInput
from surefoot.noise.estimate import unbiased
from surefoot.records import Record, left_out
from surefoot.spectra import Bounds, spectrum
from surefoot.training.curvature import CurvatureOperator, hessian
from surefoot.training.groups._blocks import blocks, optimizer_curvature
from surefoot.training.groups._partition import EMBEDDINGS, SMALL, depths, output_module, partition
from surefoot.training.model.loss import Loss
from surefoot.training.model.sandbox import plain_module
from surefoot.training.optimizers.unwrapped import unwrap

# Rough intervals are enough: rates go with the square root of their ratios, and the factor from an error is clipped.
RTOL, FAILURE, MOST_PRODUCTS = 0.2, 1e-3, 20
# A group is flat if its curvature is below this share of the sharpest block's: by the square root it could take twice
# the rate.
FLAT = 0.25
# Largest factor on a flatter block's rate, 1/sqrt(FLAT): the one that `python -m benchmarks groups` was run with.
MOST_RAISED = 2.0
# Share of a training that warms up. By convention.
WARMUP = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEvidence(Record):
    """The measurements of a group, and the rate and schedule that follow.

    Parameters
    ----------
    name : str
    size : int
        Scalars.
    depth : int
        Depth: 0 for embeddings, blocks from 1, the head last; -1 for biases and norms, which are everywhere.
    curvature : Bounds
        The largest eigenvalue of the group's diagonal block as the optimizer sees it, P^-1/2 H P^-1/2 (per unit of the
        first group's rate).
    noise : float
        tr(Cov g)/|G|^2 over mini-batches: variance of the group's gradient over the square of its mean, both without
        bias. inf where the mean cannot be told from 0; nan with fewer than two mini-batches.
    rate : float
    schedule : "decaying" or "constant"
    reason : str
    """

    name: str
    size: int
    depth: int
    curvature: Bounds
    noise: float
    rate: float
    schedule: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupAdvice(Record):
    """Parameter groups with decoupled rates and schedules, and the evidence for each; prints itself as a table.

    Parameters
    ----------
    evidence : tuple of GroupEvidence
        Evidence of each group, in the model's order.
    param_groups : list of dict
        Groups for a torch optimizer of the same kind: "params", "name", "lr" and the options that the parameters had.
    """

    evidence: tuple[GroupEvidence, ...]
    param_groups: list[dict[str, Any]] = field(default_factory=list, repr=False, compare=False, metadata=left_out())

    @checked
    def schedules(
        self, total: Count, warmup: Annotated[float, Range("[0, 1)")] = WARMUP
    ) -> list[Callable[[int], float]]:
        """Functions from a step to the factor of each group's rate, for ``torch.optim.lr_scheduler.LambdaLR``.

        Parameters
        ----------
        total : int
            Steps of the training.
        warmup : float
            The share over which rates rise linearly; then "decaying" groups follow a cosine to zero.

        Raises
        ------
        InvalidInput
            If total is not positive or warmup not in [0, 1).
        """
        rise = round(warmup * total)
        kinds = {row.name: row.schedule for row in self.evidence}

        def factor(step: int, kind: str) -> float:
            if step < rise:
                return (step + 1) / rise
            if kind == "constant":
                return 1.0
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, total - rise))))

        return [partial(factor, kind=kinds[group["name"]]) for group in self.param_groups]

    def __str__(self) -> str:
        rates = [row.rate for row in self.evidence]
        width = max(len(row.name) for row in self.evidence)
        head = f"{'group':<{width}}  {'size':>9}  {'curvature':>9}  {'noise':>7}  {'rate':>8}  schedule"
        rows = [
            f"{row.name:<{width}}  {row.size:9,d}  {row.curvature.upper:9.3g}  {row.noise:7.2g}  {row.rate:8.3g}  "
            f"{row.schedule}: {row.reason}"
            for row in self.evidence
        ]
        return "\n".join([f"{len(rates)} groups, rates {min(rates):.3g} to {max(rates):.3g}", "", head, *rows])


@checked
def suggest_groups(
    model: nn.Module,
    loss: Loss,
    data: Any,
    optimizer: Optimizer,
    *,
    groups: Mapping[str, Iterable[Any]] | None = None,
    rng: int = 0,
) -> GroupAdvice:
    """Parameter groups with a rate and a schedule each, from the curvature and the noise of each.

    A group's curvature is the largest eigenvalue of its diagonal block as the optimizer sees it, its noise the variance
    of its gradient over mini-batches against the mean's square. With eta the rate that the optimizer has,

        embeddings, flat and noisy:  eta, constant after the warmup
        behind the sharpest block:   eta * clip(sqrt(lambda_sharpest block/lambda), 1, 2), decaying
        all else:                    eta, decaying

    flat: under a quarter of the sharpest block's curvature; noisy: above the median of the groups. *Heuristics*: the
    measurement is sound, what follows from it is not proved; ``python -m benchmarks groups`` compares it with one rate.

    Parameters
    ----------
    model, loss
        Model and loss, as in `hessian`.
    data : list of batches, DataLoader
        Mini-batches as in training: four or more say something about noise.
    optimizer : torch.optim.Optimizer
        Optimizer, as in `optimizer_limits`, with the rate that suits the whole (`range_test`).
    groups : mapping of str to names or parameters, optional
        Own groups, by the names of parameters or submodules; the rest is grouped by kind: "embeddings", each block,
        "head", "biases and norms".
    rng : int
        Seed of the Lanczos starts.

    Returns
    -------
    GroupAdvice
        For a fresh optimizer: ``type(optimizer)(advice.param_groups)``. Nothing is changed. The cost: six gradients
        over the data, and for each group at most 20 products of about two, two more for its set-up, and one where an
        adaptive optimizer has no state yet: 43 in all a group.

    Raises
    ------
    InvalidType
        If the optimizer is of no known kind.
    InvalidInput
        If it does not train a parameter of the model, its groups' rates differ, or a group is not as it should be.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.groups._groups import suggest_groups
    >>> from surefoot.training.model import supervised
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch._C.Generator object at ...>
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1), torch.nn.Flatten(0))
    >>> batches = [(x, x.sum(1)) for x in torch.randn(8, 16, 4)]
    >>> adam = torch.optim.AdamW(model.parameters(), lr=0.01)
    >>> advice = suggest_groups(model, supervised(torch.nn.functional.mse_loss), batches, adam)
    >>> [row.name for row in advice.evidence]
    ['0', 'biases and norms', 'head']
    >>> fresh = torch.optim.AdamW(advice.param_groups)
    """
    optimizer = unwrap(optimizer)
    model = plain_module(model)
    rate = _one_rate(optimizer)
    curvature = hessian(model, loss, data)
    members = partition(model, groups, output_module(model, loss, curvature.batches.items[0]))
    rows: list[GroupEvidence] = []
    noise = _noise(curvature, members)
    places = depths(members)
    settings: dict[str, Any] = {"rtol": RTOL, "failure": FAILURE, "max_products": MOST_PRODUCTS, "rng": rng}
    for name, block in blocks(curvature, members).items():
        largest = spectrum(optimizer_curvature(block, optimizer), which="largest", **settings).largest
        block.release()
        rows.append(
            GroupEvidence(
                name=name, size=block.shape[0], depth=places.get(name, -1), curvature=largest, noise=noise[name],
                rate=rate, schedule="decaying", reason="",
            )
        )  # fmt: skip
    evidence = tuple(_decide(row, rows, rate) for row in rows)
    parameters = dict(model.named_parameters())
    return GroupAdvice(
        evidence=evidence,
        param_groups=[_group(row, [parameters[name] for name in members[row.name]], optimizer) for row in evidence],
    )


def _one_rate(optimizer: Optimizer) -> float:
    rates = {float(group["lr"]) for group in optimizer.param_groups}
    if len(rates) > 1 or not 0 < min(rates) < math.inf:
        raise InvalidInput(
            f"the optimizer's groups must share one positive rate, to be divided; got {sorted(rates)}: make it from "
            "model.parameters()"
        )
    return rates.pop()


def _noise(curvature: CurvatureOperator, members: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """tr(Cov g)/|G|^2 of each group over the mini-batches, in one pass."""
    count, sums, squares = 0, [torch.zeros(())] * len(curvature.names), [torch.zeros(())] * len(curvature.names)
    for gradients in curvature.batch_gradients():
        count += 1
        for i, g in enumerate(gradients):
            if g is not None:
                # sums stay where the model is; in float64, since a variance is a small difference of them
                wide = g.detach().to_dense().to(torch.float32 if g.device.type == "mps" else torch.float64)
                sums[i], squares[i] = wide + sums[i].to(wide), wide.square().sum() + squares[i].to(wide)
    if count < 2:
        return dict.fromkeys(members, math.nan)
    totals = dict(zip(curvature.names, zip(sums, squares, strict=True), strict=True))
    ratios: dict[str, float] = {}
    for name, names in members.items():
        mean_square = sum(float((totals[n][0] / count).square().sum()) for n in names)
        scatter = sum(float(totals[n][1]) for n in names) - count * mean_square
        spread, signal = unbiased(max(scatter, 0.0), mean_square, count, count)
        ratios[name] = spread / signal if signal > 0 else math.inf
    return ratios


def _decide(row: GroupEvidence, rows: Sequence[GroupEvidence], rate: float) -> GroupEvidence:
    """The row with its rate, schedule and the reason, by comparison with the sharpest block."""
    # biases and embeddings are everywhere or before all blocks: no block to compare with
    deep = [other for other in rows if other.name not in (EMBEDDINGS, SMALL)] or [row]
    top = max(deep, key=lambda other: other.curvature.upper)
    sharpest, sharp = top.curvature.upper, row.curvature.upper
    factor, schedule, reason = 1.0, "decaying", "the common rate"
    if row.name == EMBEDDINGS:
        # the median: single groups may have infinite noise
        noisy = row.noise > float(np.median([other.noise for other in rows]))
        if noisy and 0 <= sharp < FLAT * sharpest:
            schedule = "constant"
            reason = f"noisy and flat: curvature 1/{sharpest / max(sharp, 1e-300):.3g} of the sharpest block's"
    elif row.depth > top.depth and sharp > 0:
        factor = min(max(math.sqrt(sharpest / sharp), 1.0), MOST_RAISED)
        reason = f"{factor:.2g} x: curvature 1/{sharpest / sharp:.3g} of the sharpest block's, which comes before it"
    elif row is top:
        reason = "the sharpest block: the common rate"
    return replace(row, rate=factor * rate, schedule=schedule, reason=reason)


def _group(row: GroupEvidence, parameters: list[nn.Parameter], optimizer: Optimizer) -> dict[str, Any]:
    owners = [group for group in optimizer.param_groups if any(p is parameters[0] for p in group["params"])]
    # initial_lr is a scheduler's, of the rate that is replaced here
    options = {key: value for key, value in owners[0].items() if key not in ("params", "lr", "name", "initial_lr")}
    return {"params": parameters, "name": row.name, "lr": row.rate, **options}
