"""The curvature of a model's loss on data, as a linear operator."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Annotated, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.checks import Range, checked
from surefoot.errors import InvalidInput, InvalidType, NotRepeatable, SurefootError
from surefoot.operators import Array, Operator
from surefoot.progress import Progress
from surefoot.spectra.measured.ends import Which, expected_products
from surefoot.spectra.measured.lanczos import MAX_BASIS_BYTES, ROWS
from surefoot.tables import abridge
from surefoot.training.curvature._autocast import autocast_error
from surefoot.training.curvature._memory import footprint
from surefoot.training.curvature._self_check import self_check
from surefoot.training.curvature.cost import CurvatureCost
from surefoot.training.curvature.linearised import Curvature, HessianOf, Linearised, explain
from surefoot.training.model.agreement import local
from surefoot.training.model.batches import Batches, check_weights, gather
from surefoot.training.model.loss import locate
from surefoot.training.model.parameters import refuse_hooks, select
from surefoot.training.model.ranks import Ranks, ranks_of
from surefoot.training.model.sandbox import (
    couples_samples,
    explain_lone_sample,
    isolate,
    plain_module,
    random_modules,
    random_states,
    same_states,
    set_buffers_aside,
    threads_for,
)
from surefoot.training.model.trees import on_device, spread, to_double

__all__ = ["DEFAULT_MEMORY", "CurvatureOperator", "Progress", "few"]

# Bytes for graphs that are kept, by convention what a basis may take: a graph saves a third of each product.
DEFAULT_MEMORY = 1 << 30
# Two evaluations of a deterministic loss differ by the order of sums at most (atomics on a GPU).
REPEATABLE = 256
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
        loss: Any,
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
        self.loss = loss
        self.max_memory = max_memory
        self.progress = progress
        self._products = 0
        self._built_at: tuple[Any, ...] | None = None
        self._graphs: list[Linearised] = []
        self._values: list[float] = []
        self.checked = "not asked for"
        with self.ranks.together():  # an error in one process must not leave the others waiting
            self.block = select(self.model, parameters, sharded=True)
            self.shards = self.block.shards
            if self.shards is not None:
                self.ranks = Ranks(self.shards.group, self.block.tensors[0].device)
                if not curvature.is_derivative:
                    raise InvalidType(f"sharded parameters: {curvature.name} is not measured on them; use hessian")
            refuse_hooks(self.block)
            self.batches: Batches = data if isinstance(data, Batches) else gather(data, loss, count)
            self._device = self.block.tensors[0].device
            if self.shards is not None:
                self.shards.refuse_uneven(len(self.batches.items))
        self.shares = self.ranks.shares(self.batches)
        with self.ranks.together():
            precision = self._first_evaluation()
        n = self.block.total
        super().__init__(
            (n, n),
            np.float64,
            symmetric=True,
            psd=curvature.psd,
            kind="curvature",
            precision=max(precision, self.block.precision),
            scope="local",
            like=self.block.space,
        )
        if check:
            with self.ranks.together():
                if curvature.is_derivative:
                    self.checked = self_check(self)
                if curvature.autocast is not None:
                    self.checked += "; " + autocast_error(self)

    def _first_evaluation(self) -> float:
        """Evaluate twice, to see what it costs and whether it repeats; returns the precision seen."""
        with isolate(self.model):
            first, self._batch_bytes, precision, graph = footprint(lambda: self._linearised(0), self.block.tensors)
            if self.shards is not None:  # whose own look at what a graph holds hides it from the one above
                self._batch_bytes, precision = self.shards.kept, self.shards.coarsest
            draws = self._refresh(first=graph)
            self._check_repeatable(first, draws)
            if not couples_samples(self.model) and self.shards is None:
                check_weights(self.batches, self._value_of)
        return precision

    def _value_of(self, batch: Any) -> float:
        with torch.no_grad(), set_buffers_aside(self.model):
            return float(self.loss(self.model, on_device(batch, self._device)))

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
            A copy of its own: it does not follow the model.
        """
        batches = self.batches if samples is None else few(self.batches, samples)
        items = tuple(to_double(on_device(batch, self._device)) for batch in batches.items)
        return self._unchecked(
            model=copy.deepcopy(self.model).double(),
            curvature=self.curvature.in_double(),
            data=replace(batches, items=items),
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
        curvature = self.curvature.in_full() if full else self.curvature
        return self._unchecked(curvature=curvature, data=few(self.batches, samples), ranks=Ranks())

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
            "model": self.model, "curvature": self.curvature, "data": self.batches, "loss": self.loss,
            "parameters": self.names, "max_memory": self.max_memory, "ranks": self.ranks, "check": False,
        }  # fmt: skip
        return CurvatureOperator(**own | changes)

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
        return self.block.owners

    @property
    def value(self) -> float:
        """The mean loss over the data at the current parameters."""
        with isolate(self.model):
            return float(self.ranks.total(self._own_value, torch.zeros(1, dtype=torch.float64)))

    @property
    def memory_per_sample(self) -> float:
        """Bytes that a graph holds per sample, as seen on the first batch."""
        return self._batch_bytes / self.batches.counts[0]

    @property
    def kept_batches(self) -> int:
        """How many batches have their graph kept between products."""
        return len(self._graphs)

    def cost(
        self,
        *,
        rtol: float = 0.01,
        failure: float = 1e-6,
        which: Which = "both",
        max_memory: int = MAX_BASIS_BYTES,
    ) -> CurvatureCost:
        """What `surefoot.spectrum` of this operator will take, before it takes it.

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
        every = [self.memory_per_sample * count for count in self.batches.counts]
        kept = [size for i, size in enumerate(every) if sum(every[: i + 1]) <= self.max_memory]
        share = len(kept) / len(every)
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
        with torch.inference_mode(False):
            return self._total(self._own_gradient)

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
        like = torch.cat([self.block.zeros(), self.block.zeros()[:1]])

        def row() -> Tensor:
            """The next gradient, and whether there is one."""
            gradients, found = next(own, None), torch.zeros_like(like)
            if gradients is not None:
                self.block.add(found[:n], gradients, 1.0)
                found[n] = 1.0
            return found

        while (total := self.ranks.total(row, like))[n] == self.ranks.size:
            yield self.block.split(total[:n] / self.ranks.size)

    def _total(self, part: Callable[[], Tensor]) -> Tensor:
        """The sum over processes of what each computes; derivatives by sharded parameters are that already."""
        return part() if self.shards is not None else self.ranks.total(part, self.block.zeros())

    def _own_value(self) -> Tensor:
        self._refresh()
        shared = sum(s * v for s, v in zip(self.shares, self._values, strict=True))
        return torch.tensor([shared], dtype=torch.float64)

    def _own_gradient(self) -> Tensor:
        total = self.block.zeros()
        for i, gradients in enumerate(self._own_gradients(self.batches.items, self.shares)):
            self.block.add(total, gradients, self._share(i))
            self._report(i, "gradient")
        return total

    def _own_gradients(
        self, batches: Iterable[Any], weights: Sequence[float] | None = None
    ) -> Iterator[Sequence[Tensor | None]]:
        """The gradient of each batch; of sharded parameters that of the processes' mean, or with these weights."""
        for i, batch in enumerate(self._in_step(batches)):
            with isolate(self.model), threads_for(self._batch_bytes, self.block.size), self._assembled():
                value = self.curvature.value(self.model, on_device(batch, self._device))
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

    def _assembled(self) -> AbstractContextManager[None]:
        return nullcontext() if self.shards is None else self.shards.assemble(self.model)

    def _share(self, i: int) -> float:
        """What batch i's derivative is multiplied with in the sum: sharded parameters get it with the loss."""
        return 1.0 if self.shards is not None else self.shares[i]

    def _apply(self, x: Any) -> Any:
        return self._total(lambda: self._own_product(x))

    def _own_product(self, x: Tensor) -> Tensor:
        kept = len(self._graphs) == len(self.batches.items) and self._point() == self._built_at
        if self.shards is not None:  # all of them or none: rebuilding is an exchange
            kept = self.shards.sum_of(float(not kept))[0] == 0
            if not kept:
                self.release()
        self._products += 1
        with isolate(self.model, runs=not kept), threads_for(self._batch_bytes, self.block.size):
            total = self.block.zeros()
            vectors = self.block.split(x)
            if not kept:
                self._refresh()
            for i in range(len(self.shares)):
                self.block.add(total, self._product(i, vectors), self._share(i))
                self._report(i, f"product {self._products}")
        if self.shards is not None:
            self.shards.let_go()
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
            raise explain(error) from error

    def _linearised(self, i: int) -> Linearised:
        batch = on_device(self.batches.items[i], self._device)
        lone = (
            f"batch {i + 1} of {len(self.batches.items)} has one sample, and batch normalisation in train mode needs "
            "more; leave it out (drop_last=True), or call model.eval()"
        )
        with locate(self._place(i)):
            try:
                # each batch meets the buffers as they are: what one changes in train mode another must not see
                with explain_lone_sample(lone), set_buffers_aside(self.model), self._assembled():
                    return self._curvature_of(i).linearise(self.model, batch, self.block.tensors)
            except SurefootError:
                raise
            except RuntimeError as error:
                if any(word in str(error) for word in ("backward", "derivative", "differentiation")):
                    raise explain(error) from error
                raise

    def _place(self, i: int) -> str:
        return f"at batch {i + 1} of {len(self.batches.items)}"

    def _curvature_of(self, i: int) -> Curvature:
        """The curvature of batch i; with sharded parameters of its share in the mean, since derivatives are summed."""
        return self.curvature if self.shards is None else cast(HessianOf, self.curvature).times(self.shares[i])

    def _refresh(self, *, first: Linearised | None = None) -> int | None:
        """Rebuild what is kept if the model is no longer at the point where it was built.

        With `first`, a graph of the first batch, that one is kept and the batch's loss is computed once more. Then
        returns the first batch whose evaluation drew random numbers, of torch, NumPy or Python; None if none did.
        """
        point = self._point()
        if self._values and point == self._built_at:
            return None
        self._graphs, self._values, self._built_at = [], [], None
        budget, draws = self.max_memory, None
        for i, batch in enumerate(self.batches.items):
            before = random_states() if first is not None else None
            budget -= self.memory_per_sample * self.batches.counts[i]
            graph = first if i == 0 else None
            if budget >= 0:
                self._graphs.append(graph or self._linearised(i))
            if budget >= 0 and graph is None:
                self._values.append(self._graphs[-1].value)
            else:
                with locate(self._place(i)), set_buffers_aside(self.model), self._assembled():
                    value = self.curvature.value(self.model, on_device(batch, self._device))
                self._values.append(value.item())
            if before is not None and draws is None and not same_states(before, random_states()):
                draws = i
            self._report(i, "loss")
        self._built_at = point
        return draws

    def _point(self) -> tuple[Any, ...]:
        """What identifies the function being differentiated; cheap beside a product.

        Versions see in-place changes; norms and sums see those made behind autograd's back, through .data.
        """
        tensors = [local(t) for t in (*self.model.parameters(), *self.model.buffers())]
        floating = [t.detach() for t in tensors if t.is_floating_point() and t.numel()]
        prints = [f(t) for t in floating for f in (torch.linalg.vector_norm, torch.sum)]
        return (
            tuple(module.training for module in self.model.modules()),
            tuple((t.data_ptr(), t._version, t.requires_grad) for t in tensors),
            tuple(torch.stack([p.double().cpu() for p in prints]).tolist()),
        )

    def _check_repeatable(self, first: float, draws: int | None) -> None:
        again = self._values[0]
        slack = REPEATABLE * self.block.precision * max(abs(first), abs(again))
        if draws is not None or abs(first - again) > slack:
            raise NotRepeatable(_not_repeatable(self.model, first, again))

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"{kind}({self.curvature.name}, shape={self.shape}, batches={len(self.batches.items)})"


def few(batches: Batches, samples: int) -> Batches:
    """About so many samples from all over the first batch, or that batch whole where its samples cannot be told."""
    cut = spread(batches.items[0], samples)
    return Batches((batches.items[0] if cut is None else cut,), (1.0,))


def _not_repeatable(model: nn.Module, first: float, again: float) -> str:
    seen = f"two evaluations of the loss on one batch gave {first:.9g} and {again:.9g}"
    active = abridge(list(random_modules(model)))
    if active:
        return f"{seen}: dropout is active in train mode ({active}); call model.eval(), or .eval() on those modules"
    return f"{seen}: the model or the loss draws random numbers; call model.eval(), or fix the draw inside the loss"
