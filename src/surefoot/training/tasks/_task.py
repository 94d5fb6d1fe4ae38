"""A training problem: a model, a loss, data and the optimizers to try; what `surefoot.advise` asks of one."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from surefoot.checks import Count, checked
from surefoot.errors import InvalidInput, InvalidType, SurefootError
from surefoot.methods import GradientDescent, Method
from surefoot.operators import Operator
from surefoot.spectra import Spectrum
from surefoot.training.curvature import CurvatureOperator, hessian
from surefoot.training.loop.run import mean_loss, run
from surefoot.training.model.batches import gather
from surefoot.training.model.loss import Loss, refuse_criterion
from surefoot.training.model.minibatches import MiniBatches
from surefoot.training.model.output_variation import COLLAPSED, OutputVariation
from surefoot.training.model.sandbox import copy_without_dropout, plain_module, random_modules, threads_for
from surefoot.training.noise import gradient_noise
from surefoot.training.noise.measure import GROUPS
from surefoot.training.optimizers.frozen import freeze

OptimizerFactory = Callable[[Any, float], Optimizer]

# Any rate: the curvature that a candidate sees does not depend on it.
SOME_RATE = 1e-3
# Adam's second moment is averaged over one pass through the data, or over this many mini-batches of a long one: enough
# to reach every coordinate, and a fifth of the 1000 that its own average remembers. By convention.
PROBING_BATCHES = 200
# A feature with this many times the spread of the others makes one direction sharper by the square of it, 900 here, and
# the largest stable step smaller by as much. By convention.
UNEVEN = 30.0
# The optimizers of a task that names none: the four that torch's users take first. By convention.
OPTIMIZERS: dict[str, OptimizerFactory] = {
    "SGD": lambda parameters, rate: SGD(parameters, lr=rate),
    "SGD momentum 0.9": lambda parameters, rate: SGD(parameters, lr=rate, momentum=0.9),
    "SGD Nesterov 0.9": lambda parameters, rate: SGD(parameters, lr=rate, momentum=0.9, nesterov=True),
    "AdamW": lambda parameters, rate: AdamW(parameters, lr=rate),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """An optimizer to give advice for.

    Parameters
    ----------
    label : str
        Name of the candidate.
    method : Method
        The linear iteration that it is on its preconditioned curvature.
    note : str
        Remark: where its preconditioner is from, and how weight decay enters.
    make : callable
        (parameters, rate) -> a fresh torch optimizer.
    """

    label: str
    method: Method
    note: str
    make: OptimizerFactory = field(repr=False, compare=False)


@checked
class Task:
    """A training problem, frozen at its start: the model is copied, the data is read once.

    Parameters
    ----------
    model : Module or callable
        The model at its start, or a function of no arguments that makes it, called under the seed.
    loss : callable
        loss(model, batch) -> the mean over the batch; see `supervised`.
    data : batch, list of batches, DataLoader
        One batch is all the data: its leading dimension is sampled into mini-batches. A list or a loader holds the
        mini-batches themselves, visited in a seeded order.
    name : str
        Name of the task; default the model's class.
    optimizers : mapping of str to callable, optional
        Label to factory (parameters, rate) -> optimizer. Default: SGD, SGD with momentum 0.9, Nesterov 0.9, AdamW.
    batch_size : int
        Size of the mini-batches sampled from one batch.
    curvature_samples : int, optional
        Number of samples on which curvature is measured (of one batch, the first after a seeded shuffle; else
        whole batches until there are enough). Default: all.
    rng : int
        Seed of the model's factory, the order of the samples and whatever the model draws while training.

    Raises
    ------
    InvalidType
        If the model or the loss is of the wrong kind.
    InvalidInput
        If the data is empty or a number is out of range.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.tasks._task import Task
    >>> from surefoot.training.model import supervised
    >>> x = torch.linspace(-1, 1, 40)[:, None]
    >>> task = Task(lambda: torch.nn.Linear(1, 1), supervised(torch.nn.functional.mse_loss), (x, 2 * x), name="line")
    >>> sgd = task.candidates()[0]
    >>> losses = task.trial(sgd, 0.5, 20)
    >>> len(losses), losses[-1] < task.initial_loss()
    (21, True)
    """

    # its kind for the command: see surefoot.targets.KINDS
    kind = "network"
    # a network's curvature changes along the way
    constant_curvature = False

    def __init__(
        self,
        model: nn.Module | Callable[[], nn.Module],
        loss: Loss,
        data: Any,
        *,
        name: str = "",
        optimizers: Mapping[str, OptimizerFactory] | None = None,
        batch_size: Count = 64,
        curvature_samples: Count | None = None,
        rng: int = 0,
    ) -> None:
        refuse_criterion(loss)
        self.model = _make(model, rng)
        self.loss = loss
        self.batches = gather(data, loss)
        self.name = name or type(self.model).__name__
        self.optimizers = dict(OPTIMIZERS if optimizers is None else optimizers)
        self.seed = rng
        self.visits = MiniBatches(self.batches, batch_size, rng)
        self._curvature_data = self.visits.subset(curvature_samples)
        self._curvature: CurvatureOperator | None = None
        self._candidates: tuple[Candidate, ...] | None = None
        self._operators: dict[str, Operator] = {}
        self._initial: float | None = None
        self._collapsed_loss = math.inf

    def global_curvature(self) -> Spectrum | None:
        """None: nothing is known of a network's curvature everywhere."""
        return None

    def gradient_norms(self, candidate: Candidate, step: float, steps: int) -> list[float] | None:  # noqa: ARG002
        """None: the runs are stochastic."""
        return None

    def describe(self) -> dict[str, str]:
        """Facts about the task, for a report."""
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        frozen = sum(p.numel() for p in self.model.parameters()) - sum(p.numel() for p in trainable)
        facts = {
            "model": type(self.model).__name__,
            "parameters": f"{sum(p.numel() for p in trainable):,}" + (f" ({frozen:,} frozen)" if frozen else ""),
            "precision": ", ".join(sorted({str(p.dtype).removeprefix("torch.") for p in trainable})),
            "loss": repr(self.loss) if hasattr(self.loss, "criterion") else getattr(self.loss, "__name__", "own"),
            "samples": f"{sum(self.batches.counts):,.0f}",
            "batch size": f"{self.visits.size:,.0f}",
            "loss at start": f"{self.initial_loss():.6g}",
        }
        measured = sum(self._curvature_data.counts)
        if measured < sum(self.batches.counts):
            facts["curvature measured on"] = f"{measured:,.0f} samples"
        spread = _uneven(self.batches.items[0])
        if spread:
            facts["scale the features"] = spread
        noise = self._noise_scale()
        if noise:
            facts["gradient noise scale"] = noise
        if random_modules(self.model):
            facts["dropout"] = "off while curvature is measured, on in the short runs"
        return facts

    def candidates(self) -> tuple[Candidate, ...]:
        """The optimizers, in the order in which they were given."""
        if self._candidates is None:
            self._candidates = tuple(self._candidate(label, make) for label, make in self.optimizers.items())
        return self._candidates

    def first_candidate(self) -> Candidate:
        """The optimizer to try before any curvature is measured: AdamW, or the first of the task's own."""
        label = "AdamW" if "AdamW" in self.optimizers else next(iter(self.optimizers))
        # the method is a placeholder: a trial reads `make` alone
        return Candidate(label, GradientDescent(), "not measured yet", self.optimizers[label])

    def operator(self, candidate: Candidate) -> Operator:
        """P^-1/2 (H + w) P^-1/2 at the start, as the candidate sees it; one object for all that see the same.

        Decoupled weight decay w enters as the curvature w R/2 (R the method's limit of step * curvature), which is
        exact for the largest step; directions of negative curvature smaller than that are not told apart from flat.
        """
        self.candidates()
        return self._operators[candidate.label]

    @checked
    def trial(self, candidate: Candidate, step: float, steps: Count) -> list[float]:
        """A short real run from the start: mini-batches in a seeded order, the same for every candidate and step.

        Parameters
        ----------
        candidate : Candidate
        step : float
            The learning rate, of all parameter groups.
        steps : int

        Returns
        -------
        list of float
            The mini-batch loss met at each step, then the loss on all the data at the end; nan there if the run
            stopped early at a loss that is not finite.

        Raises
        ------
        InvalidInput
            If steps is not positive.
        """
        model, optimizer = self.fresh(candidate.make, step)
        with threads_for(self.curvature().memory_per_sample * self.visits.size, self.curvature().block.size):
            variation = OutputVariation(model)
            losses = run(model, self.loss, optimizer, self.visits.endless(), steps, self.batches, self.seed, variation)
        if variation.ratio(*variation.read()) < COLLAPSED and math.isfinite(losses[-1]):
            self._collapsed_loss = min(self._collapsed_loss, losses[-1])
        return losses

    def fresh(self, make: OptimizerFactory, rate: float) -> tuple[nn.Module, Optimizer]:
        """A copy of the model at its start, and a new optimizer of its trainable parameters."""
        model = copy.deepcopy(self.model)
        return model, make([p for p in model.parameters() if p.requires_grad], rate)

    def initial_loss(self) -> float:
        """The loss at the start, on all the data."""
        if self._initial is None:
            self._initial = mean_loss(self.model, self.loss, self.batches)
        return self._initial

    def constant_loss(self) -> float | None:
        """The loss of the best constant predictor: from the criterion where it makes that simple, else from `trial`.

        A trial whose outputs no longer depend on the inputs has become a constant predictor, and its last loss is what
        one reaches. None while neither is known.
        """
        known = getattr(self.loss, "constant_loss", None)
        loss = None if known is None else known(list(self.batches.items))
        return self._collapsed_loss if loss is None and math.isfinite(self._collapsed_loss) else loss

    def curvature(self) -> CurvatureOperator:
        """The Hessian at the start, dropout off."""
        if self._curvature is None:
            data = list(self._curvature_data.items)
            self._curvature = hessian(copy_without_dropout(self.model), self.loss, data)
        return self._curvature

    def _noise_scale(self) -> str:
        """The gradient noise scale in words, at the start with dropout off; empty where it cannot be measured."""
        try:
            noise = gradient_noise(self.curvature().model, self.loss, self.batches, groups=GROUPS, rng=self.seed)
        except SurefootError:
            return ""
        bounds, level = noise.scale_bounds, f"{100 * (1 - noise.scale_bounds.failure):g}%"
        if noise.scale is None:
            return f"at least {bounds.lower:.3g} samples ({level}; too noisy for an upper end)"
        return f"{noise.scale:.3g} samples ({bounds.lower:.3g} to {bounds.upper:.3g}, {level})"

    def _candidate(self, label: str, make: OptimizerFactory) -> Candidate:
        curvature = self.curvature()
        # an adaptive optimizer is probed with the mini-batches that it would meet in one pass
        batches = islice(self.visits.endless(), min(self.visits.per_pass, PROBING_BATCHES))
        optimizer = make(list(curvature.parameters), SOME_RATE)
        frozen = freeze(curvature, optimizer, curvature.batch_gradients(batches))
        notes = [frozen.note] if frozen.note else []
        if frozen.decays[1]:
            decay = frozen.decoupled if isinstance(frozen.decoupled, float) else float(frozen.decoupled.max())
            counted = decay * frozen.method.real_limit / 2
            notes.append(f"decoupled decay {decay:g} counted as curvature {counted:.3g}")
        self._operators[label] = frozen.with_decay(frozen.curvature(curvature))
        return Candidate(label, frozen.method, "; ".join(notes), make)

    def __repr__(self) -> str:
        return f"Task({self.name!r})"


def _uneven(batch: Any) -> str:
    """A remark on the feature of a table that varies far more than the others; empty without one, or a table."""
    rows = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if not isinstance(rows, Tensor) or rows.ndim != 2 or not rows.is_floating_point() or len(rows) < 2:
        return ""
    # pixels that are nearly always 0 vary little and do no harm: the middle one is the measure
    spread = rows.detach().double().std(dim=0)
    middle = spread[spread > 0].median() if (spread > 0).any() else spread.new_tensor(1.0)
    most = int(spread.argmax())
    ratio = float(spread[most] / middle)
    if not UNEVEN < ratio < math.inf:
        return ""
    return f"feature {most} varies {ratio:.3g} x as much as the middle one: divide each by its standard deviation"


def _make(model: nn.Module | Callable[[], nn.Module], seed: int) -> nn.Module:
    """The model at its start, a copy of the caller's or made under the seed; an error if it has nothing to train."""
    if isinstance(model, nn.Module):
        made = copy.deepcopy(plain_module(model))
    else:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            made: Any = model()
    if not isinstance(made, nn.Module):
        raise InvalidType(f"the model's factory must return a torch.nn.Module; got a {type(made).__name__}")
    if not any(p.requires_grad for p in made.parameters()):
        raise InvalidInput(
            f"{type(made).__name__} has no parameter that requires gradients: nothing to train; unfreeze one, or pass "
            "the model that holds them"
        )
    return made
