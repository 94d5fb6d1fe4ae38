"""The curvature of a model's loss on data, as a linear operator."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.checks import Range, checked
from surefoot.errors import InvalidInput, InvalidType
from surefoot.operators import Array, Operator
from surefoot.progress import Progress
from surefoot.spectra.measured.ends import Which, expected_products
from surefoot.spectra.measured.lanczos import MAX_BASIS_BYTES, ROWS
from surefoot.training.curvature._autocast import autocast_error
from surefoot.training.curvature._graphs import Graphs
from surefoot.training.curvature._self_check import self_check
from surefoot.training.curvature.cost import CurvatureCost
from surefoot.training.curvature.linearised import Curvature
from surefoot.training.model.batches import Batches, check_weights, gather
from surefoot.training.model.parameters import refuse_hooks, select
from surefoot.training.model.ranks import Ranks, ranks_of
from surefoot.training.model.sandbox import couples_samples, isolate, plain_module, set_buffers_aside, threads_for
from surefoot.training.model.trees import on_device, spread, to_double

__all__ = ["DEFAULT_MEMORY", "CurvatureOperator", "Progress"]

# Bytes for graphs that are kept, by convention what a basis may take: a graph saves a third of each product.
DEFAULT_MEMORY = 1 << 30
# Gradients that a product costs: two passes through a graph that is kept; a batch that is run again builds it too.
KEPT, RUN_AGAIN = 2.0, 3.5
# Vectors at work in a step of the iteration: start, last two, product, residual, and the product's pieces.
WORKING_VECTORS = 8


@checked
class CurvatureOperator(Operator):
    """A curvature matrix of a model's mean loss over data, at the model's current parameters.

    Made by `hessian`, `gauss_newton`, `fisher` and `empirical_fisher`. Vectors have shape (n,), n the number of
    trainable scalars. They live where the model does: a tensor goes in and a tensor comes out, on the model's device
    and in its precision (float32 at least); a NumPy array gives a float64 NumPy array. The operator follows the model:
    after an optimizer step, or any other change of parameters, buffers or train/eval mode, the next product is at the
    new point. A product changes nothing: parameters, buffers, gradients, random states and modes are bitwise
    as before.

    Parameters
    ----------
    model : Module
        Wrappers (torch.compile, DataParallel, DistributedDataParallel) are looked through.
    curvature : Curvature
        The matrix, with its loss.
    data : batch, list of batches, DataLoader
        Read once and kept; see `hessian`.
    parameters : iterable of Parameter or str, optional
        Restrict to a block.
    max_memory, count
        As in `hessian`.
    check : bool
        As in `hessian`, where the curvature is a second derivative.
    progress : callable, optional
        Called with (batches done, batches, what is being computed, None) after each batch of a product or a gradient;
        an attribute too, so that it can be set later.
    ranks : Ranks, optional
        The processes that share the data; default: those of a DistributedDataParallel model.

    Raises
    ------
    SurefootError
        As `hessian`.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training import hessian, supervised
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> x = torch.tensor([[1.0], [3.0]])
    >>> H = hessian(model, supervised(torch.nn.functional.mse_loss), (x, 0 * x))  # a `CurvatureOperator`
    >>> H @ [1.0], H.gradient().shape  # 2 (1 + 9)/2
    (array([10.]), (1,))
    """

    def __init__(
        self,
        model: nn.Module,
        curvature: Curvature,
        data: Any,
        *,
        parameters: str | Iterable[Any] | None = None,
        max_memory: Annotated[int, Range("[0, inf)")] = DEFAULT_MEMORY,
        count: Callable[[Any], float] | None = None,
        check: bool = True,
        progress: Progress | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.ranks = ranks_of(model) if ranks is None else ranks
        self.model = plain_module(model)
        self.curvature = curvature
        self.max_memory = max_memory
        self.progress = progress
        self.checked = "not asked for"
        self._products = 0
        with self.ranks.together():  # an error in one process must not leave the others waiting
            self.block = select(self.model, parameters, sharded=True)
            self.shards = self.block.shards
            if self.shards is not None:
                self.ranks = Ranks(self.shards.group, self.block.device)
                if not curvature.is_derivative:
                    raise InvalidType(f"sharded parameters: {curvature.name} is not measured on them; use hessian")
            refuse_hooks(self.block)
            self.batches: Batches = data if isinstance(data, Batches) else gather(data, curvature.loss, count)
            if self.shards is not None:
                self.shards.refuse_uneven(len(self.batches.items))
        self.shares = self.ranks.shares(self.batches)
        self._graphs = Graphs(self.model, curvature, self.batches, self.block, self.shares, max_memory)
        with self.ranks.together(), isolate(self.model):
            self._graphs.start(self._report)
            # halves of a batch mean something else where samples are coupled, and need an exchange where sharded
            if not couples_samples(self.model) and self.shards is None:
                check_weights(self.batches, self._value_of)
        n = self.block.total
        super().__init__(
            (n, n),
            np.float64,
            symmetric=True,
            psd=curvature.psd,
            kind="curvature",
            precision=max(self._graphs.precision, self.block.precision),
            scope="local",
            like=self.block.space,
        )
        if check:
            with self.ranks.together():
                if curvature.is_derivative:
                    self.checked = self_check(self)
                if curvature.autocast is not None:
                    self.checked += "; " + autocast_error(self)

    def _value_of(self, batch: Any) -> float:
        with torch.no_grad(), set_buffers_aside(self.model):
            return float(self.curvature.loss(self.model, on_device(batch, self.block.device)))

    @property
    def fits_in_double(self) -> bool:
        """Whether a float64 copy of the model fits in `max_memory`, or in the default where that is less."""
        return 8 * sum(p.numel() for p in self.model.parameters()) <= max(self.max_memory, DEFAULT_MEMORY)

    def in_double(self) -> "CurvatureOperator":
        """The operator at this point on a float64 copy of the model, which does not follow the model."""
        items = tuple(to_double(on_device(batch, self.block.device)) for batch in self.batches.items)
        return self._unchecked(
            model=copy.deepcopy(self.model).double(),
            curvature=self.curvature.in_double(),
            data=replace(self.batches, items=items),
        )

    def sampled(self, samples: int, *, full: bool = False) -> "CurvatureOperator":
        """The operator on part of the first batch, in this process alone.

        Parameters
        ----------
        samples : int
            About so many, from all over the batch; where samples cannot be told apart the batch stays whole.
        full : bool
            Without autocast.
        """
        curvature = self.curvature.in_full() if full else self.curvature
        few = spread(self.batches.items[0], samples)
        data = Batches((self.batches.items[0] if few is None else few,), (1.0,))
        return self._unchecked(curvature=curvature, data=data, ranks=Ranks())

    def on(self, batch: Any) -> "CurvatureOperator":
        """The operator on another batch in place of the data, at the same point."""
        return self._unchecked(data=Batches((batch,), (1.0,)))

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
        memory = self.max_memory if max_memory is None else max_memory
        return self._unchecked(parameters=block.names, max_memory=memory, progress=self.progress)

    def _unchecked(self, **changes: Any) -> "CurvatureOperator":
        """The same operator with some arguments changed, without another self-check."""
        own: dict[str, Any] = {
            "model": self.model, "curvature": self.curvature, "data": self.batches, "parameters": self.names,
            "max_memory": self.max_memory, "ranks": self.ranks, "check": False,
        }  # fmt: skip
        return CurvatureOperator(**own | changes)

    def release(self) -> None:
        """Free the graphs that are kept; the next product builds them again."""
        self._graphs.release()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters, in the order of the vector."""
        return self.block.names

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """The parameters, in the order of the vector."""
        return self.block.owners

    @property
    def value(self) -> float:
        """The mean loss over the data at the current parameters."""

        def own_part() -> Tensor:
            self._graphs.refresh(self._report)
            values = zip(self.shares, self._graphs.values, strict=True)
            return torch.tensor([sum(share * value for share, value in values)], dtype=torch.float64)

        with isolate(self.model):
            return float(self.ranks.total(own_part, torch.zeros(1, dtype=torch.float64)))

    @property
    def memory_per_sample(self) -> float:
        """Bytes that a graph holds per sample, as seen on the first batch."""
        return self._graphs.first_bytes / self.batches.counts[0]

    @property
    def kept_batches(self) -> int:
        """Number of batches whose graph is kept between products."""
        return len(self._graphs.kept)

    def cost(
        self,
        *,
        rtol: float = 0.01,
        failure: float = 1e-6,
        which: Which = "both",
        max_memory: int = MAX_BASIS_BYTES,
    ) -> CurvatureCost:
        """The cost of `surefoot.spectrum` of this operator, without measuring it.

        Parameters
        ----------
        rtol, failure, which, max_memory
            As in `surefoot.spectrum`.

        Returns
        -------
        CurvatureCost
        """
        n, itemsize = self.shape[0], self.space.itemsize
        products = expected_products(n, rtol=rtol, failure=failure, which=which)
        stored = min(ROWS, n) * n * itemsize <= max_memory
        sizes = [self.memory_per_sample * count for count in self.batches.counts]
        kept = [size for i, size in enumerate(sizes) if sum(sizes[: i + 1]) <= self.max_memory]
        share = len(kept) / len(sizes)
        return CurvatureCost(
            products=products,
            gradients=products * (KEPT * share + RUN_AGAIN * (1 - share)),
            graphs=int(sum(kept)),
            vectors=(min(products, n) * stored + WORKING_VECTORS) * n * itemsize,
            stored=stored,
        )

    def gradient(self) -> Array:
        """The gradient of the mean loss over the data at the current parameters, shape (n,), float64, for NumPy."""
        return self.space.host(self.gradient_vector())

    def gradient_vector(self) -> Tensor:
        """The same as a tensor in the operator's space."""

        def own_part() -> Tensor:
            total = self.block.zeros()
            for i, gradients in enumerate(self._own_gradients(self.batches.items, self.shares)):
                self.block.add(total, gradients, self._factor(i))
                self._report(i, "gradient")
            return total

        with torch.inference_mode(False):
            return self._sum(own_part)

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
        if not self.ranks.several or self.shards is not None:
            yield from own
            return
        n = self.block.size
        # one more entry says whether a process still has a batch: no message of its own
        like = torch.cat([self.block.zeros(), self.block.zeros()[:1]])

        def next_row() -> Tensor:
            """The next gradient and a 1, or zeros where this process has none left."""
            gradients, row = next(own, None), torch.zeros_like(like)
            if gradients is not None:
                self.block.add(row[:n], gradients, 1.0)
                row[n] = 1.0
            return row

        while (total := self.ranks.total(next_row, like))[n] == self.ranks.size:
            yield self.block.split(total[:n] / self.ranks.size)

    def _own_gradients(
        self, batches: Iterable[Any], weights: Sequence[float] | None = None
    ) -> Iterator[Sequence[Tensor | None]]:
        """The gradient of each batch; of sharded parameters that of the processes' mean, or with these weights."""
        for i, batch in enumerate(self._in_step(batches)):
            threads = threads_for(self._graphs.first_bytes, self.block.size)
            with isolate(self.model), threads, self.block.assembled(self.model):
                value = self.curvature.value(self.model, on_device(batch, self.block.device))
                if self.shards is not None:
                    value = value * (weights[i] if weights is not None else 1 / self.shards.size)
                gradients = torch.autograd.grad(value, self.block.tensors, allow_unused=True)
            yield gradients

    def _in_step(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches, with sharded parameters for as long as every process has one."""
        own = iter(batches)
        while True:
            batch = next(own, None)
            missing = float(batch is None)
            if (self.shards.sum_of(missing)[0] if self.shards is not None else missing) > 0:
                return
            yield batch

    def _sum(self, part: Callable[[], Tensor]) -> Tensor:
        """The sum over processes of what each computes; derivatives by sharded parameters are summed already."""
        return part() if self.shards is not None else self.ranks.total(part, self.block.zeros())

    def _factor(self, i: int) -> float:
        """The factor of batch i's derivative in the sum: with sharded parameters its loss has the share already."""
        return 1.0 if self.shards is not None else self.shares[i]

    def _apply(self, x: Any) -> Any:
        return self._sum(lambda: self._own_product(x))

    def _own_product(self, x: Tensor) -> Tensor:
        kept = self._graphs.complete
        if self.shards is not None:  # all processes or none: rebuilding is an exchange
            kept = self.shards.sum_of(float(not kept))[0] == 0
            if not kept:
                self.release()
        self._products += 1
        with isolate(self.model, runs=not kept), threads_for(self._graphs.first_bytes, self.block.size):
            total = self.block.zeros()
            # in the parameters' own shapes and precisions, as autograd needs them
            vectors = self.block.split(x)
            if not kept:
                self._graphs.refresh(self._report)
            for i in range(len(self.shares)):
                self.block.add(total, self._graphs.product(i, vectors), self._factor(i))
                self._report(i, f"product {self._products}")
        if self.shards is not None:
            self.shards.let_go()
        return total

    def _report(self, i: int, what: str) -> None:
        """Tell the caller's progress that batch i is done."""
        if self.progress is not None:
            self.progress(i + 1, len(self.batches.items), what, None)

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"{kind}({self.curvature.name}, shape={self.shape}, batches={len(self.batches.items)})"
