"""Independent gradients of a model's loss: of single samples at once, or of mini-batches one by one."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.errors import InvalidInput, NotFinite, NotRepeatable
from surefoot.noise.source import Source
from surefoot.operators import Array
from surefoot.training.curvature.linearised import check_differentiable
from surefoot.training.model.batches import Batches, sample_count, size_of_one
from surefoot.training.model.loss import LossModule, locate
from surefoot.training.model.parameters import Block
from surefoot.training.model.sandbox import explain_lone_sample, isolate, refuse_dropout, threads_for
from surefoot.training.model.trees import common_size, leaves, map_tensors, on_device, take

# Numbers in memory for gradients of single samples (64 MB), and the most samples at once, which bounds their
# activations. By convention.
CHUNK, MOST_AT_ONCE = 1 << 23, 512
# Gap between the gradient of a batch and the mean over its samples that passes, relative to that mean or, where it is
# smaller, to its standard error: rounding is far below, coupled samples differ by the gradient's own size.
AGREES = 1e-2
# Two evaluations of a deterministic loss differ by the order of sums at most: by far less than so many eps of the loss.
REPEATABLE = 256
LONE_SAMPLE = (
    "batch normalisation in train mode needs mini-batches of more than one sample; give more data, fewer groups, or "
    "call model.eval()"
)


class ModelSource(Source):
    """Gradients of a model's loss, as vectors where the model is, in its precision (float32 at least).

    Parameters
    ----------
    model : Module
    loss : callable
    batches : Batches
    block : Block
        The parameters in question.
    """

    def __init__(self, model: nn.Module, loss: Any, batches: Batches, block: Block) -> None:
        self.model, self.loss, self.batches, self.block = model, loss, batches, block

    def gradient(self, batch: Any) -> Tensor:
        """The gradient of the batch's mean loss, shape (P,).

        Raises
        ------
        InvalidInput
            If batch normalisation has nothing to normalise over.
        """
        with (
            locate("on a mini-batch"),
            explain_lone_sample(LONE_SAMPLE),
            isolate(self.model),
            threads_for(0, self.block.size),
            self.block.assembled(self.model),
        ):
            value = check_differentiable(self.loss(self.model, on_device(batch, self.block.device)))
            # derivatives by sharded parameters are summed over processes, and the mean is wanted
            value = value if self.block.shards is None else value / self.block.shards.size
            gradients = torch.autograd.grad(value, self.block.tensors, allow_unused=True)
        vector = self.block.zeros()
        self.block.add(vector, cast("Sequence[Tensor | None]", gradients), 1.0)
        return self.checked(vector)

    def total(self, numbers: Array) -> Array:
        """As `Source.total`."""
        shards = self.block.shards
        return numbers if shards is None else np.reshape(shards.sum_of(*numbers.ravel().tolist()), numbers.shape)

    def checked(self, gradients: Tensor) -> Tensor:
        """The same gradients; NotFinite if one is not."""
        if not self.block.space.finite(gradients):
            raise NotFinite(
                "a gradient is not finite at the model's parameters; check the data and the parameters for NaN"
            )
        return gradients


class MiniBatchSource(ModelSource):
    """The gradients of mini-batches, disjoint and drawn in a seeded order.

    Parameters
    ----------
    groups : int
        About how many; of several batches each is cut into equal parts.
    seed : int
    """

    def __init__(
        self, model: nn.Module, loss: Any, batches: Batches, block: Block, *, groups: int, seed: int, reason: str = ""
    ) -> None:
        super().__init__(model, loss, batches, block)
        self.note = reason
        generator = torch.Generator().manual_seed(seed)
        each = -(-groups // len(batches.items))
        self.parts: list[Any] = [part for item in batches.items for part in _cut(item, each, generator)]
        weigh: Callable[[Any], float] = getattr(loss, "weight", size_of_one)
        weights = np.array([weigh(part) for part in self.parts], dtype=np.float64)
        self.sizes = weights * (sum(size_of_one(item) for item in batches.items) / weights.sum())
        if block.shards is not None:  # each mini-batch is that of all processes
            block.shards.refuse_uneven(len(self.parts))
            self.sizes = self.total(self.sizes)
        self._kept: list[Tensor] = []
        self._fits = len(self.parts) * block.size <= CHUNK

    @property
    def name(self) -> str:
        return f"{len(self.parts)} mini-batches of about {self.sizes.mean():.3g}"

    @property
    def passes(self) -> int:
        return 1 if self._fits else 2

    def mean(self) -> Tensor:
        total = torch.zeros((), device=self.block.device)
        self._kept = []
        for share, part in zip((self.sizes / self.sizes.sum()).tolist(), self.parts, strict=True):
            gradient = self.gradient(part)
            total = total + share * gradient
            if self._fits:
                self._kept.append(gradient)
        return total

    def deviations(self, mean: Tensor) -> Iterator[tuple[Array, Tensor]]:
        gradients = self._kept or map(self.gradient, self.parts)
        for size, gradient in zip(self.sizes, gradients, strict=True):
            yield np.array([size]), (gradient - mean)[None]


class SampleSource(ModelSource):
    """The gradients of single samples, many at once by `torch.func.vmap`.

    A sample whose weight in the mean differs (class weights, ignored labels) counts by the first-order change that
    drawing it makes to the weighted mean.

    Raises
    ------
    InvalidInput
        If the samples cannot be told apart.
    """

    def __init__(self, model: nn.Module, loss: Any, batches: Batches, block: Block) -> None:
        super().__init__(model, loss, batches, block)
        self.counts = [sample_count(item) for item in batches.items]
        weigh = getattr(loss, "weight", None)
        self.weights = [
            np.array([1.0 if weigh is None else weigh(take(item, torch.tensor([i]), size)) for i in range(size)])
            for item, size in zip(batches.items, self.counts, strict=True)
        ]
        self.mean_weight = float(np.concatenate(self.weights).mean())

    @property
    def name(self) -> str:
        return "gradients of single samples"

    @property
    def passes(self) -> int:
        return 2

    def mean(self) -> Tensor:
        total = torch.zeros((), device=self.block.device)
        for share, item in zip(self.batches.shares, self.batches.items, strict=True):
            total = total + share * self.gradient(item)
        return total

    def deviations(self, mean: Tensor) -> Iterator[tuple[Array, Tensor]]:
        """As `Source.deviations`."""
        rest, spread, rows = torch.zeros_like(mean), 0.0, min(max(1, CHUNK // self.block.size), MOST_AT_ONCE)
        for item, size, weights in zip(self.batches.items, self.counts, self.weights, strict=True):
            for index in torch.arange(size).split(rows):
                weight = torch.as_tensor(weights[index.numpy()] / self.mean_weight).to(mean)
                kept = weight > 0  # a sample whose labels are all ignored has no loss: 0/0
                if kept.all():
                    deviations = self.checked(self._gradients(item, index, size)).sub_(mean)
                else:
                    deviations = mean.new_zeros(len(index), len(mean))
                    if kept.any():
                        deviations[kept] = self.checked(self._gradients(item, index[kept.cpu()], size)).sub_(mean)
                if (weight != 1).any():
                    deviations *= weight[:, None]
                rest += deviations[0] if len(index) == 1 else deviations.sum(0)
                spread += sum(float(d @ d) for d in deviations)
                yield np.ones(len(index)), deviations
        samples = sum(self.counts)
        known = max(float(mean.norm()), math.sqrt(spread) / samples)
        if float(rest.norm()) / samples > AGREES * known:
            raise CoupledSamples("the gradients of single samples do not add up to the batch's: samples are coupled")

    def _gradients(self, batch: Any, index: Tensor, size: int) -> Tensor:
        """The gradients of the samples at these places in the batch, shape (k, P)."""
        if len(index) == 1:
            return self.gradient(take(batch, index, size))[None]
        batch = on_device(take(batch, index, size), self.block.device)
        own = [leaf for leaf in leaves(batch) if isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == len(index)]
        whole = LossModule(self.model, self.loss)
        parameters = {f"model.{name}": p.detach() for name, p in zip(self.block.names, self.block.tensors, strict=True)}

        def one(values: dict[str, Tensor], sample: Sequence[Tensor]) -> Tensor:
            pieces = iter(sample)
            alone = map_tensors(lambda t: next(pieces)[None] if any(t is m for m in own) else t, batch)
            return torch.func.functional_call(whole, values, (alone,))

        with isolate(self.model), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # operations without a batching rule are slow, not wrong
            each = torch.func.vmap(torch.func.grad(one), in_dims=(None, 0))(parameters, tuple(own))
        wide = self.block.space.dtype
        return torch.cat([each[name].detach().reshape(len(index), -1).to(wide) for name in parameters], dim=1)


class CoupledSamples(InvalidInput):
    """Raised where samples have no gradients of their own."""


def check_repeatable(model: nn.Module, loss: Any, batch: Any) -> None:
    """Refuse a model or a loss that draws random numbers: its noise would add to that of the data."""
    refuse_dropout(model)
    with isolate(model):
        state = torch.get_rng_state()
        with locate("on the first samples"):
            first, again = (check_differentiable(loss(model, batch)) for _ in range(2))
        slack = REPEATABLE * torch.finfo(first.dtype).eps * float(first.detach().abs())
        if abs(float(first.detach() - again.detach())) > slack or not torch.equal(state, torch.get_rng_state()):
            raise NotRepeatable(
                "the model or the loss draws random numbers; call model.eval(), or fix the draw inside the loss"
            )


def _cut(batch: Any, parts: int, generator: torch.Generator) -> list[Any]:
    """A batch's samples dealt out to parts of equal size; the batch itself where samples cannot be told apart."""
    size = common_size(batch)
    if parts == 1 or size is None:
        return [batch]
    order = torch.randperm(size, generator=generator)
    return [take(batch, index, size) for index in order.tensor_split(min(parts, size))]
