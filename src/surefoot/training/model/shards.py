"""Parameters that are sharded over processes (FSDP2), put together layer by layer while a model is differentiated."""

import math
import weakref
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from surefoot.errors import InvalidInput, InvalidType
from surefoot.operators import Space
from surefoot.training.model.internals import forward_hooks, forward_pre_hooks, parameter_table

__all__ = ["ShardedSpace", "Shards", "is_sharded"]

# Parameters put together for a graph's use that are held on to: the operations of a layer use its weights one after
# the other, and each would fetch them again. By convention two layers' worth of an attention block.
HELD = 8
# torch 2.13 renamed them.
_all_gather: Any = getattr(dist, "all_gather_single", None) or getattr(dist, "all_gather_into_tensor")  # noqa: B009
_reduce_scatter: Any = getattr(dist, "reduce_scatter_single", None) or getattr(dist, "reduce_scatter_tensor")  # noqa: B009


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process has a part of the tensor only (a DTensor)."""
    return hasattr(tensor, "placements")


class Shards:
    """What this process has of each sharded parameter, and the exchange with the others.

    A parameter W of m rows is held in parts of ceil(m/size) rows. Put together for use it is a sum of all processes'
    derivatives that comes back to each part:

        W = all-gather(w),    dL/dw = reduce-scatter(dL/dW)

    each the other's adjoint, so any number of derivatives is right. Every process computes with its own data; what is
    differentiated is the sum over processes. All of them must make the same calls in the same order.

    Parameters
    ----------
    model : Module
    parameters : sequence of Parameter
        Sharded along their rows over one mesh of one dimension, as ``fully_shard(model)`` makes them.

    Raises
    ------
    InvalidType
        If they are distributed in another way.
    """

    def __init__(self, model: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
        for module in model.modules():
            if hasattr(module, "reshard"):  # FSDP may have kept a layer together after its last use
                cast("Any", module).reshard()
        every: list[Any] = [p for p in model.parameters() if is_sharded(p)]
        for p in [*every, *cast("Sequence[Any]", parameters)]:
            if not _by_rows(p) or p.device_mesh != every[0].device_mesh:
                raise InvalidType(
                    "parameters must all be sharded along their rows over one mesh of one dimension, as "
                    "fully_shard(model) makes them; measure on the plain model, or on a copy under "
                    "DistributedDataParallel"
                )
        self.group: Any = every[0].device_mesh.get_group()
        self.size = dist.get_world_size(self.group)
        self.rank = dist.get_rank(self.group)
        self.shapes = [tuple(p.shape) for p in every]
        # the same memory as the parameters, so that a step of an optimizer is seen
        self.parts = [p.to_local().detach().requires_grad_(p.requires_grad) for p in every]
        self.moved = 0
        self.kept, self.coarsest = 0, 0.0
        self._index = {id(p): i for i, p in enumerate(every)}
        self._units = list(_units(model, self._index))
        self._alive: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        self._held: list[Tensor] = []

    def parts_of(self, parameters: Sequence[nn.Parameter]) -> tuple[Tensor, ...]:
        """The parts of the parameters that this process has."""
        return tuple(self.parts[self._index[id(p)]] for p in parameters)

    def rows_of(self, p: nn.Parameter) -> tuple[int, int]:
        """First and last row, exclusive, of this process's part."""
        rows, each = p.shape[0], -(-p.shape[0] // self.size)
        return min(rows, self.rank * each), min(rows, (self.rank + 1) * each)

    def refuse_uneven(self, batches: int) -> None:
        """Every exchange needs all processes."""
        total, squares = self.sum_of(batches, batches**2)
        if total**2 != self.size * squares:
            raise InvalidInput(
                f"processes that share a sharded model need equally many batches; this one has {batches} and the mean "
                f"is {total / self.size:g}: drop the last ones"
            )

    @contextmanager
    def assemble(self, model: nn.Module) -> Generator[None]:
        """Run the model inside: each unit of `fully_shard` has whole parameters while its forward pass runs.

        A graph made inside keeps none of them: it notes which one it needs and fetches it again.
        """
        self.kept, self.coarsest = 0, 0.0
        with ExitStack() as stack:
            stack.enter_context(_without_hooks(model))
            stack.enter_context(saved_tensors_hooks(self._pack, self._unpack))
            for unit, places in self._units:
                stack.enter_context(self._whole_in(unit, places))
            yield
        self.let_go()

    def let_go(self) -> None:
        """Hold on to no parameter that was put together."""
        self._held.clear()

    @contextmanager
    def _whole_in(self, unit: nn.Module, places: Sequence[tuple[nn.Module, str, int]]) -> Generator[None]:
        own = [(module, name, parameter_table(module)[name]) for module, name, _ in places]

        def before(*_: Any) -> None:
            for module, name, i in places:
                parameter_table(module)[name] = self._note(_Assemble.apply(self.parts[i], self, i), i)

        def after(*_: Any) -> None:
            for module, name, parameter in own:
                parameter_table(module)[name] = parameter

        try:
            with unit.register_forward_pre_hook(before), unit.register_forward_hook(after):
                yield
        finally:
            after()

    def _note(self, whole: Any, i: int) -> Tensor:
        tensor = cast("Tensor", whole)
        self._alive[tensor.untyped_storage().data_ptr()] = weakref.ref(tensor), i
        return tensor

    def _pack(self, tensor: Tensor) -> Any:
        if tensor.is_floating_point():
            self.coarsest = max(self.coarsest, float(torch.finfo(tensor.dtype).eps))
        found = self._alive.get(tensor.untyped_storage().data_ptr())
        # memory that was given back may hold something else by now
        if found is not None and found[0]() is not None and tensor.dtype == self.parts[found[1]].dtype:
            return _Saved(found[1], tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()))
        self.kept += tensor.numel() * tensor.element_size()
        return tensor

    def _unpack(self, saved: Any) -> Tensor:
        if not isinstance(saved, _Saved):
            return saved
        whole = next((w for w in self._held if self._alive[w.untyped_storage().data_ptr()][1] == saved.index), None)
        if whole is None:
            whole = self._note(self.gather(self.parts[saved.index].detach(), saved.index), saved.index)
            self._held = [*self._held[-HELD + 1 :], whole]
        return whole.as_strided(saved.shape, saved.stride, saved.offset)

    def gather(self, part: Tensor, i: int) -> Tensor:
        """The whole of parameter i, or of a vector like it, from everybody's parts."""
        shape = self.shapes[i]
        each = -(-shape[0] // self.size)
        whole = part.new_empty((each * self.size, *shape[1:]))
        _all_gather(whole, _pad(part, each), group=self.group)
        self._count(whole)
        return whole[: shape[0]]

    def scatter(self, whole: Tensor, i: int) -> Tensor:
        """The part that this process has of the sum over processes."""
        rows, each = self.shapes[i][0], -(-self.shapes[i][0] // self.size)
        part = whole.new_empty((each, *whole.shape[1:]))
        _reduce_scatter(part, _pad(whole, each * self.size), group=self.group)
        self._count(whole)
        return part[: max(0, min(each, rows - self.rank * each))]

    def _count(self, whole: Tensor) -> None:
        """Bytes that this process receives: all parts but its own."""
        self.moved += whole.numel() * whole.element_size() * (self.size - 1) // self.size

    def sum_of(self, *values: float) -> list[float]:
        """The sum over processes of each number, the same bits in all of them."""
        total = torch.tensor(values, dtype=torch.float64, device=self.parts[0].device)
        dist.all_reduce(total, group=self.group)
        return total.tolist()

    def largest(self, value: float) -> float:
        """The largest over processes of a number; nan if one is."""
        found = torch.tensor([value, float(value != value)], dtype=torch.float64, device=self.parts[0].device)
        dist.all_reduce(found, op=dist.ReduceOp.MAX, group=self.group)
        return math.nan if found[1] else float(found[0])


@dataclass(frozen=True, slots=True)
class _Saved:
    """What a graph keeps in place of a parameter: which one, and the view of it."""

    index: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int


class _Assemble(torch.autograd.Function):
    """All-gather; its derivative is the reduce-scatter."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, shards: Shards, i: int) -> Tensor:
        ctx.shards, ctx.i = shards, i
        return shards.gather(part, i)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _Distribute.apply(grads[0], ctx.shards, ctx.i), None, None


class _Distribute(torch.autograd.Function):
    """Reduce-scatter; its derivative is the all-gather."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, shards: Shards, i: int) -> Tensor:
        ctx.shards, ctx.i = shards, i
        return shards.scatter(whole, i)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _Assemble.apply(grads[0], ctx.shards, ctx.i), None, None


@dataclass(frozen=True, slots=True)
class ShardedSpace(Space):
    """Vectors of which each process has the entries of its parts; norms and inner products are those of the whole.

    Parameters
    ----------
    shards : Shards
    parameters : tuple of Parameter
        The parameters that a vector is like, in its order.
    """

    shards: Any = field(repr=False, compare=False)
    parameters: tuple[nn.Parameter, ...] = field(repr=False, compare=False)

    @property
    def whole(self) -> bool:
        """False: this process has some of a vector's entries."""
        return False

    def entries(self, size: int) -> int:  # noqa: ARG002
        """How many of a vector's entries this process has."""
        return sum(p.numel() for p in self.shards.parts_of(self.parameters))

    def asarray(self, x: Any) -> Any:
        """As `Space.asarray`; of a vector that the host has whole this process's part."""
        vector = Space.asarray(self, x)
        if vector.shape[0] == self.entries(0) or vector.shape[0] != sum(p.numel() for p in self.parameters):
            return vector
        return torch.cat([self._part(p, piece) for p, piece in self._pieces(vector)])

    def host(self, x: Any) -> Any:
        """As `Space.host`, put together from all processes."""
        if not self.holds(x):
            return Space.host(self, x)
        parts = self.shards.parts_of(self.parameters)
        pieces = x.split([part.numel() for part in parts])
        index = [self.shards._index[id(p)] for p in self.parameters]
        whole = [self.shards.gather(v.view(p.shape), i) for v, p, i in zip(pieces, parts, index, strict=True)]
        return Space.host(self, torch.cat([w.reshape(-1) for w in whole]))

    def inner(self, x: Any, y: Any) -> Any:
        """As `Space.inner`."""
        return self.shards.sum_of(Space.inner(self, x, y) if x.numel() else 0.0)[0]

    def norm(self, x: Any) -> float:
        """As `Space.norm`."""
        largest = self.shards.largest(float(x.abs().max()) if x.numel() else 0.0)
        if largest == 0.0 or not math.isfinite(largest):
            return largest
        # in the unit of the largest entry, so that no square leaves the floats
        scaled = x / largest
        return largest * math.sqrt(self.inner(scaled, scaled))

    def finite(self, x: Any) -> bool:
        """As `Space.finite`."""
        return self.shards.sum_of(float(x.numel() > 0 and not Space.finite(self, x)))[0] == 0

    def _normal(self, size: int, generator: Any) -> Any:  # noqa: ARG002
        # parameter by parameter, each whole and then cut: the same numbers for any number of processes
        source = torch.Generator(device=self.device)
        source.manual_seed(int(generator.integers(2**62)))
        return torch.cat(
            [
                self._part(p, torch.randn(p.numel(), generator=source, dtype=self.dtype, device=self.device))
                for p in self.parameters
            ]
        )

    def _pieces(self, vector: Tensor) -> Iterator[tuple[nn.Parameter, Tensor]]:
        yield from zip(self.parameters, vector.split([p.numel() for p in self.parameters]), strict=True)

    def _part(self, p: nn.Parameter, piece: Tensor) -> Tensor:
        first, last = self.shards.rows_of(p)
        return piece.view(p.shape)[first:last].reshape(-1)


def _by_rows(p: Any) -> bool:
    return is_sharded(p) and p.device_mesh.ndim == 1 and len(p.placements) == 1 and p.placements[0].is_shard(0)


def _pad(part: Tensor, rows: int) -> Tensor:
    missing = rows - part.shape[0]
    if missing:
        part = torch.cat([part, part.new_zeros((missing, *part.shape[1:]))])
    return part.contiguous()


def _units(model: nn.Module, index: dict[int, int]) -> Iterator[tuple[nn.Module, list[tuple[nn.Module, str, int]]]]:
    """Each module that `fully_shard` was called on, and the sharded parameters that belong to it and no inner one."""

    def places(module: nn.Module, *, top: bool) -> Iterator[tuple[nn.Module, str, int]]:
        if not top and _is_unit(module):
            return
        for name, p in parameter_table(module).items():
            if p is not None and id(p) in index:
                yield module, name, index[id(p)]
        for child in module.children():
            yield from places(child, top=False)

    for module in model.modules():
        if module is model or _is_unit(module):
            found = list(places(module, top=True))
            if found:
                yield module, found


def _is_unit(module: nn.Module) -> bool:
    return any(kind.__name__ == "FSDPModule" for kind in type(module).__mro__)


@contextmanager
def _without_hooks(model: nn.Module) -> Generator[None]:
    """FSDP's own hooks put parameters together in a way that is differentiated once only."""
    taken: list[tuple[dict[int, Any], dict[int, Any]]] = []
    for module in model.modules():
        for table in (forward_pre_hooks(module), forward_hooks(module)):
            taken.append((table, dict(table)))
            for key, hook in list(table.items()):
                if getattr(hook, "__module__", "").startswith("torch.distributed.fsdp"):
                    del table[key]
    try:
        yield
    finally:
        for table, before in taken:
            table.clear()
            table.update(before)
