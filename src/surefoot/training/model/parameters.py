"""The parameters that a curvature belongs to, joined to one vector."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from surefoot.errors import InvalidInput, InvalidType
from surefoot.operators import Space
from surefoot.tables import abridge
from surefoot.training.model.shards import ShardedSpace, Shards, is_sharded

__all__ = ["Block", "refuse_hooks", "select"]


@dataclass(frozen=True, slots=True)
class Block:
    """Parameters in a fixed order, joined to one vector of `size` entries.

    Parameters
    ----------
    names : tuple of str
        The names in the model; a tied parameter has its first.
    tensors : tuple of Tensor
        The parameters themselves, never copies; of sharded ones this process's parts, in the same memory.
    owners : tuple of Parameter
        The model's parameters, as an optimizer knows them: the same where nothing is sharded.
    shards : Shards, optional
        How parts and parameters belong together.
    """

    names: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    owners: tuple[nn.Parameter, ...]
    shards: Shards | None = None

    @property
    def size(self) -> int:
        """Number of scalars in this process."""
        return sum(p.numel() for p in self.tensors)

    @property
    def total(self) -> int:
        """Number of scalars in all processes."""
        return sum(p.numel() for p in self.owners)

    @property
    def precision(self) -> float:
        """The largest eps among the parameters' dtypes."""
        return max(float(torch.finfo(p.dtype).eps) for p in self.tensors)

    @property
    def space(self) -> Space:
        """Where vectors of the block live: the first parameter's device, in the widest dtype, at least float32."""
        # sums over vectors in half precision would lose most digits
        dtype = torch.float32
        for p in self.tensors:
            dtype = torch.promote_types(dtype, p.dtype)
        space = Space.of(torch.empty(0, dtype=dtype, device=self.device))
        if self.shards is None:
            return space
        return ShardedSpace(space.xp, space.device, space.dtype, shards=self.shards, parameters=self.owners)

    @property
    def device(self) -> torch.device:
        """The first parameter's."""
        return self.tensors[0].device

    def assembled(self, model: nn.Module) -> AbstractContextManager[None]:
        """Inside, sharded parameters are whole while the model runs; nothing otherwise."""
        return nullcontext() if self.shards is None else self.shards.assemble(model)

    def pieces(self, vector: Tensor) -> Sequence[Tensor]:
        """Flat views of a vector of shape (size,), one for each parameter."""
        return vector.split([p.numel() for p in self.tensors])

    def split(self, vector: Tensor) -> list[Tensor]:
        """A vector of shape (size,) as tensors like the parameters: same shapes, dtypes and devices."""
        pieces = zip(self.pieces(vector), self.tensors, strict=True)
        return [piece.view(p.shape).to(p.device, p.dtype) for piece, p in pieces]

    def zeros(self) -> Tensor:
        """A vector of the block's space."""
        space = self.space
        return torch.zeros(self.size, dtype=space.dtype, device=space.device)

    def add(self, total: Tensor, tensors: Sequence[Tensor | None], share: float) -> None:
        """Add tensors like the parameters, times a share, to a vector in place; None counts as zeros."""
        for t, piece in zip(tensors, self.pieces(total), strict=True):
            if t is not None:
                piece.add_(_dense(t).reshape(-1).to(total.device), alpha=share)

    def joined(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """Tensors like the parameters as one float64 vector on the CPU, for what is computed there; None is zeros."""
        pairs = zip(tensors, self.tensors, strict=True)
        filled = [torch.zeros(p.numel()) if t is None else _dense(t).reshape(-1) for t, p in pairs]
        return torch.cat([t.cpu().to(torch.float64) for t in filled])


def select(model: nn.Module, parameters: str | Iterable[Any] | None = None, *, sharded: bool = False) -> Block:
    """The trainable parameters of a model, or the chosen ones among them, in the model's order.

    Parameters
    ----------
    model : Module
    parameters : iterable of Parameter or str, optional
        A string names a parameter ("head.weight") or a submodule ("head"), whose trainable parameters are all
        taken.
    sharded : bool
        Whether the caller can work with parts of parameters.

    Returns
    -------
    Block
        Tied parameters once, frozen ones left out.
    """
    named = list(model.named_parameters())
    if parameters is not None:
        wanted = _chosen_ids(model, named, parameters)
        named = [(name, p) for name, p in named if id(p) in wanted]
    trainable = [(name, p) for name, p in named if p.requires_grad]
    for name, p in trainable:
        if is_lazy(p):
            raise InvalidInput(f"parameter {name} has no shape yet (a lazy module); run the model once first")
        if not p.is_floating_point():
            raise InvalidType(f"parameter {name} has dtype {p.dtype}; curvature needs real floating-point numbers")
    if not sum(p.numel() for _, p in trainable):
        if parameters is not None:
            raise InvalidInput("parameters selects nothing; leave it out for all trainable parameters")
        if named:
            raise InvalidInput(
                f"all {len(named)} parameters of the model are frozen; set requires_grad_(True) to train"
            )
        raise InvalidInput(f"the model ({type(model).__name__}) has no parameters, so nothing to take a step in")
    names, owners = tuple(name for name, _ in trainable), tuple(p for _, p in trainable)
    if not any(is_sharded(p) for p in model.parameters()):
        return Block(names, owners, owners)
    if not sharded:
        raise InvalidType(
            "the model's parameters are sharded (FSDP, DTensor), so no process has all of them; hessian, "
            "optimizer_limits and gradient_noise take that, here measure on the plain model"
        )
    shards = Shards(model, owners)
    return Block(names, shards.parts_of(owners), owners, shards)


def refuse_hooks(block: Block) -> None:
    """Raise InvalidInput for gradient hooks: autograd would differentiate what they return and not the loss."""
    hooked = [name for name, p in zip(block.names, block.tensors, strict=True) if p._backward_hooks]
    if hooked:
        raise InvalidInput(
            f"parameter {abridge(hooked)} has a gradient hook (register_hook), so products would be those of the "
            "changed gradient and not of the loss; remove it while measuring (handle.remove())"
        )


def _chosen_ids(model: nn.Module, named: list[tuple[str, nn.Parameter]], parameters: Iterable[Any]) -> set[int]:
    if isinstance(parameters, str | Tensor):
        parameters = [parameters]
    # by identity: tensors compare entry by entry
    owned = {id(p): name for name, p in named}
    # a tied parameter may be named by any of its names, not just the first
    every = dict(model.named_parameters(remove_duplicate=False))
    wanted: set[int] = set()
    for chosen in parameters:
        if isinstance(chosen, str):
            wanted |= _by_name(model, every, chosen)
        elif not isinstance(chosen, Tensor):
            raise InvalidType(f"parameters are names or tensors; got a {type(chosen).__name__}")
        elif id(chosen) not in owned:
            raise InvalidInput(f"a tensor of shape {tuple(chosen.shape)} is not a parameter of the model")
        elif not chosen.requires_grad:
            raise InvalidInput(f"parameter {owned[id(chosen)]} is frozen; set requires_grad_(True) to include it")
        else:
            wanted.add(id(chosen))
    return wanted


def _by_name(model: nn.Module, every: Mapping[str, nn.Parameter], name: str) -> set[int]:
    matching = [p for full, p in every.items() if full == name or full.startswith(name + ".")]
    if not matching:
        near = difflib.get_close_matches(name, [*every, *dict(model.named_modules())], n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else f"; it has {', '.join(list(every)[:8])}"
        raise InvalidInput(f"the model has no parameter or submodule {name!r}{hint}")
    trainable = {id(p) for p in matching if p.requires_grad}
    if not trainable:
        raise InvalidInput(f"all parameters of {name!r} are frozen; set requires_grad_(True) to include them")
    return trainable


def _dense(tensor: Tensor) -> Tensor:
    """The tensor without its graph, and with all its zeros where it is sparse."""
    tensor = tensor.detach()
    return tensor if tensor.layout == torch.strided else tensor.to_dense()
