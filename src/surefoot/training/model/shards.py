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

# Whole parameters that stay in memory while a graph is used: the operations of a layer use its weights one after the
# other, and each would fetch them again. By convention two layers of an attention block.
HELD = 8
# torch 2.13 renamed both.
_all_gather: Any = getattr(dist, "all_gather_single", None) or getattr(dist, "all_gather_into_tensor")  # noqa: B009
_reduce_scatter: Any = getattr(dist, "reduce_scatter_single", None) or getattr(dist, "reduce_scatter_tensor")  # noqa: B009


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process has a part of the tensor only (a DTensor)."""
    return hasattr(tensor, "placements")


class Shards:
    """The parts of sharded parameters that this process has, and the exchange with the other processes.

    A parameter W of m rows is held in parts w of ceil(m/size) rows. It is gathered for use, and its derivative comes
    back to each part as the sum over processes:

        W = all-gather(w),    dL/dw = reduce-scatter(dL/dW)

    Each is the other's adjoint, so derivatives of any order are right. Every process computes with its own data and the
    sum over processes is differentiated. All processes must make the same calls in the same order.

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
        """Raise unless all processes have equally many batches: every exchange needs all of them."""
        total, squares = self.sum_of(batches, batches**2)
        if total**2 != self.size * squares:
            raise InvalidInput(
                f"processes that share a sharded model need equally many batches; this one has {batches} and the mean "
                f"is {total / self.size:g}: drop the last ones"
            )

    @contextmanager
    def assemble(self, model: nn.Module) -> Generator[None]:
        """While the model runs inside, each unit of `fully_shard` has whole parameters during its forward pass.

        A graph made inside keeps none of them: it notes which one it needs and gathers it again.
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
        """Release the whole parameters that are held."""
        self._held.clear()

    @contextmanager
    def _whole_in(self, unit: nn.Module, places: Sequence[tuple[nn.Module, str, int]]) -> Generator[None]:
        own = [(module, name, parameter_table(module)[name]) for module, name, _ in places]

        def before(*_: Any) -> None:
            for module, name, i in places:
                parameter_table(module)[name] = self._note(_Exchange.apply(self.parts[i], self, i, True), i)

        def after(*_: Any) -> None:
            for module, name, parameter in own:
                parameter_table(module)[name] = parameter

        try:
            with unit.register_forward_pre_hook(before), unit.register_forward_hook(after):
                yield
        finally:
            # also where the forward pass raised between the hooks
            after()

    def _note(self, whole: Any, i: int) -> Tensor:
        """Remember that this memory holds the whole parameter i, for as long as the tensor lives."""
        tensor = cast("Tensor", whole)
        self._alive[tensor.untyped_storage().data_ptr()] = weakref.ref(tensor), i
        return tensor

    def _pack(self, tensor: Tensor) -> Any:
        if tensor.is_floating_point():
            self.coarsest = max(self.coarsest, float(torch.finfo(tensor.dtype).eps))
        owner, i = self._alive.get(tensor.untyped_storage().data_ptr(), (None, 0))
        # memory that was freed may hold something else by now
        if owner is not None and owner() is not None and tensor.dtype == self.parts[i].dtype:
            return _Saved(i, tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()))
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
        """Parameter i, or a tensor like it, from the parts of all processes."""
        shape = self.shapes[i]
        each = -(-shape[0] // self.size)
        whole = part.new_empty((each * self.size, *shape[1:]))
        _all_gather(whole, _pad(part, each), group=self.group)
        self._count(whole)
        return whole[: shape[0]]

    def scatter(self, whole: Tensor, i: int) -> Tensor:
        """The part of the sum over processes that this process keeps."""
        rows, each = self.shapes[i][0], -(-self.shapes[i][0] // self.size)
        part = whole.new_empty((each, *whole.shape[1:]))
        _reduce_scatter(part, _pad(whole, each * self.size), group=self.group)
        self._count(whole)
        return part[: max(0, min(each, rows - self.rank * each))]

    def _count(self, whole: Tensor) -> None:
        """Add up the bytes that this process receives: all parts but its own."""
        self.moved += whole.numel() * whole.element_size() * (self.size - 1) // self.size

    def sum_of(self, *values: float) -> list[float]:
        """The sum over processes of each number, the same bits in all of them."""
        total = torch.tensor(values, dtype=torch.float64, device=self.parts[0].device)
        dist.all_reduce(total, group=self.group)
        return total.tolist()

    def largest(self, value: float) -> float:
        """The largest over processes of a number; nan if one is."""
        # a maximum may drop nan, so it travels as a number of its own
        pair = torch.tensor([value, float(value != value)], dtype=torch.float64, device=self.parts[0].device)
        dist.all_reduce(pair, op=dist.ReduceOp.MAX, group=self.group)
        return math.nan if pair[1] else float(pair[0])


@dataclass(frozen=True, slots=True)
class _Saved:
    """The note in a graph in place of a parameter: its number and the view of it."""

    index: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int


class _Exchange(torch.autograd.Function):
    """All-gather of a part to the whole, or reduce-scatter of the whole to a part: each is the other's derivative."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, shards: Shards, i: int, gathers: bool) -> Tensor:
        ctx.shards, ctx.i, ctx.gathers = shards, i, gathers
        return shards.gather(tensor, i) if gathers else shards.scatter(tensor, i)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _Exchange.apply(grads[0], ctx.shards, ctx.i, not ctx.gathers), None, None, None


@dataclass(frozen=True, slots=True)
class ShardedSpace(Space):
    """Vectors held in parts by processes; norms and inner products are those of the whole vector.

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
        """Number of a vector's entries in this process."""
        return sum(p.numel() for p in self.shards.parts_of(self.parameters))

    def asarray(self, x: Any) -> Any:
        """As `Space.asarray`; of a vector that the host has whole this process's part."""
        vector = Space.asarray(self, x)
        # this process's part already, or of a length that the operator refuses
        if vector.shape[0] == self.entries(0) or vector.shape[0] != sum(p.numel() for p in self.parameters):
            return vector
        pieces = vector.split([p.numel() for p in self.parameters])
        return torch.cat([self._part(p, piece) for p, piece in zip(self.parameters, pieces, strict=True)])

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

    def _part(self, p: nn.Parameter, piece: Tensor) -> Tensor:
        first, last = self.shards.rows_of(p)
        return piece.view(p.shape)[first:last].reshape(-1)


def _by_rows(p: Any) -> bool:
    return is_sharded(p) and p.device_mesh.ndim == 1 and len(p.placements) == 1 and p.placements[0].is_shard(0)


def _pad(part: Tensor, rows: int) -> Tensor:
    # collectives exchange equal sizes: the last parts are padded, and cut when they arrive
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
        if (module is model or _is_unit(module)) and (own := list(places(module, top=True))):
            yield module, own


def _is_unit(module: nn.Module) -> bool:
    return any(kind.__name__ == "FSDPModule" for kind in type(module).__mro__)


@contextmanager
def _without_hooks(model: nn.Module) -> Generator[None]:
    """Take FSDP's own hooks off inside: they gather parameters in a way that can be differentiated only once."""
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
