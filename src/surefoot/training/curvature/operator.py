"""The curvature of a model's loss on data, as a linear operator."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.errors import InvalidInput, NotRepeatable, SurefootError
from surefoot.operators import Array, Operator
from surefoot.progress import Progress
from surefoot.training.curvature._autocast import autocast_error
from surefoot.training.curvature._memory import footprint
from surefoot.training.curvature._self_check import self_check
from surefoot.training.curvature.linearised import Curvature, Linearised, explained
from surefoot.training.model.batches import Batches, gather
from surefoot.training.model.parameters import select
from surefoot.training.model.ranks import Ranks, ranks_of
from surefoot.training.model.sandbox import plain_module, random_modules, threads_for, undisturbed
from surefoot.training.model.trees import first_sizes, mapped, on_device, taken

__all__ = ["DEFAULT_MEMORY", "CurvatureOperator", "Progress", "few"]

DEFAULT_MEMORY = 1 << 30  # bytes for graphs that are kept
# Two evaluations of a deterministic loss differ by the order of sums at most (atomics on a GPU).
REPEATABLE = 256


class CurvatureOperator(Operator):
    """A curvature matrix of a model's mean loss over data, at the model's current parameters.

    Made by `hessian`, `gauss_newton`, `fisher` and `empirical_fisher`. Vectors are float64 of shape (n,), n the number
    of trainable scalars; products are computed in the model's own precision. The operator follows the model: after an
    optimizer step, or any other change of parameters, buffers or train/eval mode, the next product is at the
    new point. A product changes nothing: parameters, buffers, gradients, random states and modes are bitwise
    as before.

    Parameters
    ----------
    model : Module
        Wrappers (torch.compile, DataParallel, DistributedDataParallel) are looked through.
    curvature : Curvature
        Which matrix.
    data : batch, list of batches, DataLoader
        Read once and kept; see `hessian`.
    parameters : iterable of Parameter or str, optional
        Restrict to a block.
    max_memory : int
        Bytes for keeping the graphs of batches between products; a batch beyond it is run again for each
        product.
    count : callable, optional
        batch -> its weight in the mean.
    check : bool
        Compare one product with a difference of gradients in float64, where the curvature is a second derivative.
    progress : callable, optional
        Called with (batches done, batches, what is being computed, None) after each batch of a product or a gradient;
        an attribute too, so that it can be set later.
    ranks : Ranks, optional
        The processes that share the data; default: those of a DistributedDataParallel model.

    Raises
    ------
    SurefootError
        As `hessian`.
    """

    def __init__(
        self,
        model: nn.Module,
        curvature: Curvature,
        data: Any,
        *,
        loss: Any,
        parameters: Iterable[Any] | None = None,
        max_memory: int = DEFAULT_MEMORY,
        count: Callable[[Any], float] | None = None,
        check: bool = True,
        progress: Progress | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.ranks = ranks_of(model) if ranks is None else ranks
        self.model = plain_module(model)
        self.curvature = curvature
        self.loss = loss
        self.max_memory = max_memory
        self.progress = progress
        self._products = 0
        self._built_at: tuple[Any, ...] | None = None
        self._graphs: list[Linearised] = []
        self._values: list[float] = []
        self.checked = "not asked for"
        with self.ranks.together():  # an error in one process must not leave the others waiting
            self.block = select(self.model, parameters)
            self.batches: Batches = data if isinstance(data, Batches) else gather(data, loss, count)
            self._device = self.block.tensors[0].device
            precision = self._first_evaluation()
        self.shares = self.ranks.shares(self.batches)
        n = self.block.size
        super().__init__(
            (n, n),
            np.float64,
            symmetric=True,
            psd=curvature.psd,
            kind="curvature",
            precision=max(precision, self.block.precision),
            scope="local",
        )
        if check:
            with self.ranks.together():
                self.checked = self_check(self) if curvature.is_derivative else self.checked
                if curvature.autocast is not None:
                    self.checked += "; " + autocast_error(self)

    def _first_evaluation(self) -> float:
        """Evaluate twice, to see what it costs and whether it repeats; returns the precision seen."""
        with undisturbed(self.model):
            first, self._batch_bytes, precision = footprint(self._linearised, 0, self.block.tensors)
            state = torch.get_rng_state()
            self._refresh()
            self._check_repeatable(first, moved=not torch.equal(state, self._rng_after_first))
        return precision

    @property
    def fits_in_double(self) -> bool:
        """Whether a float64 copy of the model fits in `max_memory`, or in the default where that is less."""
        return 8 * sum(p.numel() for p in self.model.parameters()) <= max(self.max_memory, DEFAULT_MEMORY)

    def in_double(self, samples: int | None = None) -> "CurvatureOperator":
        """The operator at this point on a float64 copy of the model.

        Parameters
        ----------
        samples : int, optional
            Keep only about so many samples, of the first batch where it can be cut.

        Returns
        -------
        CurvatureOperator
            Of its own: it does not follow the model.
        """
        model = copy.deepcopy(self.model).double()
        batches = self.batches if samples is None else few(self.batches, samples)
        items = tuple(mapped(_doubled, on_device(batch, self._device)) for batch in batches.items)
        return CurvatureOperator(
            model,
            self.curvature.in_double(),
            replace(batches, items=items),
            loss=self.loss,
            parameters=self.names,
            max_memory=self.max_memory,
            check=False,
            ranks=self.ranks if samples is None else Ranks(),
        )

    def sampled(self, samples: int, *, full: bool = False) -> "CurvatureOperator":
        """The operator on about so many samples of the first batch, in this process alone.

        Parameters
        ----------
        samples : int
        full : bool
            Without autocast.
        """
        curvature: Any = self.curvature
        return CurvatureOperator(
            self.model,
            curvature.in_full() if full else curvature,
            few(self.batches, samples),
            loss=self.loss,
            parameters=self.names,
            max_memory=self.max_memory,
            check=False,
            ranks=Ranks(),
        )

    def restricted(self, parameters: Iterable[Any], *, max_memory: int | None = None) -> "CurvatureOperator":
        """The diagonal block of some of the parameters, on the same data.

        Parameters
        ----------
        parameters : iterable of Parameter or str
            As in `hessian`; of this operator's own.
        max_memory : int, optional
            Default: this operator's.

        Returns
        -------
        CurvatureOperator
            With graphs of its own; it follows the model too.

        Raises
        ------
        InvalidInput
            If a parameter is not one of this operator's.
        """
        block = select(self.model, parameters)
        others = [name for name in block.names if name not in self.names]
        if others:
            raise InvalidInput(f"{', '.join(others[:4])} is not in this operator's block; restrict one that has it")
        return CurvatureOperator(
            self.model,
            self.curvature,
            self.batches,
            loss=self.loss,
            parameters=block.names,
            max_memory=self.max_memory if max_memory is None else max_memory,
            check=False,
            progress=self.progress,
            ranks=self.ranks,
        )

    def release(self) -> None:
        """Free the graphs that are kept; the next product builds them again."""
        self._graphs, self._values = [], []

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters, in the order of the vector."""
        return self.block.names

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """The parameters, in the order of the vector."""
        return self.block.tensors

    @property
    def value(self) -> float:
        """The mean loss over the data at the current parameters."""
        with undisturbed(self.model):
            return float(self.ranks.total(self._own_value, 1))

    @property
    def memory_per_sample(self) -> float:
        """Bytes that a graph holds per sample, as seen on the first batch."""
        return self._batch_bytes / self.batches.counts[0]

    @property
    def kept_batches(self) -> int:
        """How many batches have their graph kept between products."""
        return len(self._graphs)

    def gradient(self) -> Array:
        """The gradient of the mean loss over the data at the current parameters, shape (n,), float64."""
        with torch.inference_mode(False):
            return self.ranks.total(self._own_gradient, self.block.size).numpy()

    def batch_gradients(self, batches: Iterable[Any] | None = None) -> Iterator[Sequence[Tensor | None]]:
        """The gradient of each batch's mean loss in turn; None for a parameter that the loss does not use.

        Parameters
        ----------
        batches : iterable, optional
            Default: the operator's own.

        Yields
        ------
        sequence of Tensor or None
            Like the parameters; of several processes, the mean of their gradients, as an optimizer would see it, for
            as many batches as the one with the fewest has.
        """
        own = iter(self._own_gradients(self.batches.items if batches is None else batches))
        if not self.ranks.several:
            yield from own
            return
        n = self.block.size

        def row() -> Tensor:
            """The next gradient, and whether there is one."""
            gradients = next(own, None)
            if gradients is None:
                return torch.zeros(n + 1, dtype=torch.float64)
            return torch.cat([self.block.joined(gradients), torch.ones(1, dtype=torch.float64)])

        while (total := self.ranks.total(row, n + 1))[n] == self.ranks.size:
            yield self.block.split(total[:n].numpy() / self.ranks.size)

    def _own_value(self) -> Tensor:
        self._refresh()
        shared = sum(s * v for s, v in zip(self.shares, self._values, strict=True))
        return torch.tensor([shared], dtype=torch.float64)

    def _own_gradient(self) -> Tensor:
        total = torch.zeros(self.block.size, dtype=torch.float64)
        for i, gradients in enumerate(self._own_gradients(self.batches.items)):
            total += self.shares[i] * self.block.joined(gradients)
            self._report(i, "gradient")
        return total

    def _own_gradients(self, batches: Iterable[Any]) -> Iterator[Sequence[Tensor | None]]:
        for batch in batches:
            with undisturbed(self.model), threads_for(self._batch_bytes, self.block.size):
                value = self.curvature.value(self.model, on_device(batch, self._device))
                gradients = torch.autograd.grad(value, self.block.tensors, allow_unused=True)
            yield gradients

    def _apply(self, x: Array) -> Array:
        return self.ranks.total(lambda: self._own_product(x), self.block.size).numpy()

    def _own_product(self, x: Array) -> Tensor:
        kept = len(self._graphs) == len(self.batches.items) and self._point() == self._built_at
        self._products += 1
        with undisturbed(self.model, runs=not kept), threads_for(self._batch_bytes, self.block.size):
            total = torch.zeros(self.block.size, dtype=torch.float64)
            vectors = self.block.split(x)
            if not kept:
                self._refresh()
            for i, share in enumerate(self.shares):
                total += share * self.block.joined(self._product(i, vectors))
                self._report(i, f"product {self._products}")
        return total

    def _report(self, i: int, what: str) -> None:
        """Tell whoever waits that batch i is done."""
        if self.progress is not None:
            self.progress(i + 1, len(self.batches.items), what, None)

    def _product(self, i: int, vectors: Sequence[Tensor]) -> Sequence[Tensor | None]:
        keep = i < len(self._graphs)
        linearised = self._graphs[i] if keep else self._linearised(i)
        try:
            return linearised.product(vectors, keep)
        except SurefootError:
            raise
        except RuntimeError as error:
            raise explained(error) from error

    def _linearised(self, i: int) -> Linearised:
        batch = on_device(self.batches.items[i], self._device)
        try:
            return self.curvature.linearise(self.model, batch, self.block.tensors)
        except SurefootError:
            raise
        except RuntimeError as error:
            if "backward" in str(error) or "derivative" in str(error):
                raise explained(error) from error
            raise

    def _refresh(self) -> None:
        """Rebuild what is kept if the model is no longer at the point where it was built."""
        point = self._point()
        if self._values and point == self._built_at:
            return
        self._graphs, self._values, self._built_at = [], [], None
        budget = self.max_memory
        for i, batch in enumerate(self.batches.items):
            budget -= self.memory_per_sample * self.batches.counts[i]
            if budget >= 0:
                self._graphs.append(self._linearised(i))
                self._values.append(self._graphs[-1].value)
            else:
                self._values.append(self.curvature.value(self.model, on_device(batch, self._device)).item())
            if i == 0:
                self._rng_after_first = torch.get_rng_state()
            self._report(i, "loss")
        self._built_at = point

    def _point(self) -> tuple[Any, ...]:
        """What identifies the function being differentiated; cheap beside a product.

        Versions see in-place changes; norms and sums see those made behind autograd's back, through .data.
        """
        tensors = [*self.model.parameters(), *self.model.buffers()]
        floating = [t.detach() for t in tensors if t.is_floating_point() and t.numel()]
        prints = [f(t) for t in floating for f in (torch.linalg.vector_norm, torch.sum)]
        return (
            tuple(module.training for module in self.model.modules()),
            tuple((t.data_ptr(), t._version, t.requires_grad) for t in tensors),
            tuple(torch.stack([p.double().cpu() for p in prints]).tolist()),
        )

    def _check_repeatable(self, first: float, moved: bool) -> None:
        again = self._values[0]
        slack = REPEATABLE * self.block.precision * max(abs(first), abs(again))
        if moved or abs(first - again) > slack:
            raise NotRepeatable(_not_repeatable(self.model, first, again))

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"{kind}({self.curvature.name}, shape={self.shape}, batches={len(self.batches.items)})"


def few(batches: Batches, samples: int) -> Batches:
    """The first samples of the first batch, or that batch whole where its samples cannot be told."""
    first, sizes = batches.items[0], set(first_sizes(batches.items[0]))
    if len(sizes) == 1 and (size := sizes.pop()) > samples:
        first = taken(first, torch.arange(samples), size)
    return Batches((first,), (1.0,))


def _doubled(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _not_repeatable(model: nn.Module, first: float, again: float) -> str:
    seen = f"two evaluations of the loss on one batch gave {first:.9g} and {again:.9g}"
    active = list(random_modules(model))
    if active:
        listed = ", ".join([*active[:6], "..."] if len(active) > 6 else active)
        return f"{seen}: dropout is active in train mode ({listed}); call model.eval(), or .eval() on those modules"
    return f"{seen}: the model or the loss draws random numbers; call model.eval(), or fix the draw inside the loss"
