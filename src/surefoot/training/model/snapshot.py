"""The whole state of a training run, copied and put back bit for bit.

A snapshot is a tree of plain values with the tensors joined into one flat buffer per kind (device, dtype): one
copy instead of hundreds, and a file that ``torch.load(weights_only=True)`` reads.
"""

import copy
import hashlib
import random
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.errors import InvalidInput
from surefoot.training.model.agreement import SMALL, flattened, local

__all__ = ["Snapshot", "Subject"]

# The key of an entry that stands for a tensor: unlike any name in a state_dict.
TENSOR = "__tensor__"

# One call for all tensors of a kind; the optimizers in torch use it.
_copy: Any = cast(Any, torch)._foreach_copy_

Kind = tuple[torch.device, torch.dtype]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of a run's state.

    Parameters
    ----------
    step : int
        Updates taken before it.
    tree : dict
        The state, each tensor replaced by its number.
    kinds : list of kind
        Device in training and dtype of each tensor.
    flats : dict
        kind -> one-dimensional tensor, the tensors of that kind joined.
    tensors : list of Tensor
        Views into the flats.
    structure : str
        Digest of the run's structure: names, shapes, dtypes, groups, kinds of optimizer.
    note : dict
        The loop's own remarks, which come back with the snapshot; plain values.
    """

    step: int
    tree: dict[str, Any]
    kinds: list[Kind]
    flats: dict[Kind, Tensor]
    tensors: list[Tensor]
    structure: str = ""
    note: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def bytes(self) -> int:
        """Size of the tensors."""
        return sum(flat.nbytes for flat in self.flats.values())

    def on(self, device: str) -> "Snapshot":
        """The same with its buffers on a device; itself if they are there."""
        if all(flat.device == torch.device(device) for flat in self.flats.values()):
            return self
        flats = {kind: flat.to(device) for kind, flat in self.flats.items()}
        return replace(self, flats=flats, tensors=_views(self.kinds, [t.shape for t in self.tensors], flats))

    def plain(self) -> dict[str, Any]:
        """Lists, dicts, numbers, strings and tensors only."""
        kinds = list(self.flats)
        return {
            "step": self.step,
            "tree": self.tree,
            "kinds": [[str(device), str(dtype).removeprefix("torch.")] for device, dtype in kinds],
            "flats": [self.flats[kind] for kind in kinds],
            "places": [[kinds.index(k), list(t.shape)] for k, t in zip(self.kinds, self.tensors, strict=True)],
            "structure": self.structure,
            "note": self.note,
        }

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> "Snapshot":
        """The inverse of `plain`."""
        named = [(torch.device(device), getattr(torch, dtype)) for device, dtype in data["kinds"]]
        flats = dict(zip(named, data["flats"], strict=True))
        kinds = [named[i] for i, _ in data["places"]]
        tensors = _views(kinds, [torch.Size(shape) for _, shape in data["places"]], flats)
        return cls(data["step"], data["tree"], kinds, flats, tensors, data["structure"], data["note"])


class Subject:
    """The parts of a run that are copied and put back: parameters, buffers, optimizers, state_dicts, random states.

    Parameters
    ----------
    model : Module
    optimizers : sequence of Optimizer
        Optimizers, with their own parameters too where those are not the model's.
    also : sequence of objects with state_dict and load_state_dict
        Schedulers, a GradScaler, an average of the weights.
    random_states : bool
        Whether the random states of torch, NumPy and Python belong to it.
    """

    def __init__(
        self, model: nn.Module, optimizers: Sequence[Optimizer], also: Sequence[Any] = (), random_states: bool = False
    ) -> None:
        self.model, self.optimizers, self.also = model, tuple(optimizers), tuple(also)
        self.random_states = random_states
        self._seen: Any = None
        self.structure = ""
        self.changed()

    def changed(self) -> bool:
        """Whether the run's structure changed since the last call; cheap if it did not.

        Unfreezing, a new head and another precision make earlier copies void.
        """
        seen = [(id(p), p.dtype) for optimizer in self.optimizers for g in optimizer.param_groups for p in g["params"]]
        if seen == self._seen:
            return False
        self._seen = seen
        before, self.structure = self.structure, self._digest()
        # what is infinite by design (a causal mask) must not look like damage
        self._exempt = {i for i, t in enumerate(self.tensors()) if not _all_finite([local(t)])}
        return self.structure != before

    def check(self, structure: str) -> None:
        """Raise InvalidInput unless a copy has this run's structure; nothing is changed."""
        if structure != self._digest():
            raise InvalidInput(
                "the saved state is of another model or optimizer (names, shapes, dtypes, groups or kinds differ); "
                "make them as they were when it was saved"
            )

    def capture(self, step: int, into: Snapshot | None = None, buffers: Sequence[Tensor] | None = None) -> Snapshot:
        """A copy of the present state.

        Parameters
        ----------
        step : int
        into : Snapshot, optional
            Old snapshot whose memory is used again where it fits.
        buffers : sequence of Tensor, optional
            Values to store for the model's buffers instead of their present ones.
        """
        return self._copied(step, *self._present(buffers), into)

    def capture_if_sound(
        self, step: int, into: Snapshot | None = None, buffers: Sequence[Tensor] | None = None
    ) -> Snapshot | None:
        """The same; None, and the old copy as it was, if anything that has to be finite is not."""
        tree, tensors = self._present(buffers)
        if not _all_finite([t for i, t in enumerate(tensors) if i not in self._exempt]):
            return None
        return self._copied(step, tree, tensors, into)

    def adopt(self, data: dict[str, Any]) -> Snapshot:
        """The inverse of `Snapshot.plain`, in memory of its own, where this run's tensors are.

        Raises
        ------
        InvalidInput
            If it is of another structure.
        """
        snapshot = Snapshot.from_plain(data)
        self.check(snapshot.structure)
        moved = {device: t.device for (device, _), t in zip(snapshot.kinds, self.tensors(), strict=False)}
        tensors = [
            t.to(moved.get(device, device)) for (device, _), t in zip(snapshot.kinds, snapshot.tensors, strict=True)
        ]
        return replace(self._copied(snapshot.step, snapshot.tree, tensors, None), note=snapshot.note)

    def restore(self, snapshot: Snapshot) -> None:
        """Put the copy's state back, in place, bit for bit.

        Raises
        ------
        InvalidInput
            If it is of another structure; then nothing is changed.
        """
        self.check(snapshot.structure)
        tree = snapshot.tree
        with torch.no_grad():
            for i, tensor in enumerate(self.tensors()):
                local(tensor).copy_(snapshot.tensors[i])
            for optimizer, saved in zip(self.optimizers, tree["optimizers"], strict=True):
                _restore_optimizer(optimizer, saved, snapshot)
        for thing, saved in zip(self.also, tree["also"], strict=True):
            thing.load_state_dict(_decode(saved, snapshot))
        if tree["random states"] is not None and self.random_states:
            _set_random_states(_decode(tree["random states"], snapshot))

    def sound(self, buffers: Sequence[Tensor] | None = None) -> bool:
        """Whether parameters, buffers and optimizer states are finite now; these in place of the buffers, if given."""
        tensors = self.tensors(buffers)
        checked = [t for i, t in enumerate(tensors) if i not in self._exempt]
        for optimizer in self.optimizers:
            _optimizer_tree(optimizer, checked)
        return _all_finite(map(local, checked))

    @property
    def device(self) -> torch.device:
        """The device of the first trained parameter."""
        return self.optimizers[0].param_groups[0]["params"][0].device

    def tensors(self, buffers: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Parameters, the optimizers' own ones too, then the model's buffers, or these in their place."""
        parameters = {id(p): p for p in self.model.parameters()}
        for optimizer in self.optimizers:
            parameters |= {id(p): p for group in optimizer.param_groups for p in group["params"]}
        return [*parameters.values(), *(self.model.buffers() if buffers is None else buffers)]

    def _present(self, buffers: Sequence[Tensor] | None) -> tuple[dict[str, Any], list[Tensor]]:
        """The present state as a tree of plain values and the tensors that it numbers."""
        tensors = self.tensors(buffers)
        self.changed()
        tree: dict[str, Any] = {
            "model": len(tensors),
            "optimizers": [_optimizer_tree(optimizer, tensors) for optimizer in self.optimizers],
            "also": [_encode(thing.state_dict(), tensors) for thing in self.also],
            "random states": _encode(_random_states(), tensors) if self.random_states else None,
        }
        return tree, [local(t) for t in tensors]

    def _copied(self, step: int, tree: dict[str, Any], tensors: Sequence[Tensor], into: Snapshot | None) -> Snapshot:
        kinds = [(t.device, t.dtype) for t in tensors]
        shapes = [t.shape for t in tensors]
        if into is not None and kinds == into.kinds and shapes == [t.shape for t in into.tensors]:
            flats, copies = into.flats, into.tensors
        else:
            flats = _empty_flats(kinds, shapes)
            copies = _views(kinds, shapes, flats)
        pairs: dict[Kind, tuple[list[Tensor], list[Tensor]]] = {kind: ([], []) for kind in kinds}
        for kind, copied, original in zip(kinds, copies, tensors, strict=True):
            pairs[kind][0].append(copied)
            pairs[kind][1].append(original)
        with torch.no_grad():
            for copies_of_kind, originals in pairs.values():
                _copy(copies_of_kind, originals)
        return Snapshot(step, tree, kinds, flats, copies, self.structure)

    def _digest(self) -> str:
        """A digest of all that has to agree before values may be exchanged."""
        model: Any = self.model
        named = [*model.named_parameters(), *model.named_buffers()]
        # wrappers (DistributedDataParallel, torch.compile) come and go between a run and its continuation
        names = {id(t): n.replace("_orig_mod.", "").replace("module.", "") for n, t in named}
        parts: list[Any] = [[names[id(t)], tuple(t.shape), str(t.dtype)] for _, t in named]
        for optimizer in self.optimizers:
            groups = [[names.get(id(p), tuple(p.shape)) for p in group["params"]] for group in optimizer.param_groups]
            parts.append([type(optimizer).__name__, groups])
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


@torch.no_grad()
def _all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether every number of these local tensors is finite; one wait for each device.

    For small tensors the calls are what costs, so they are joined; large ones are not, since that would copy them.
    """
    parts: defaultdict[Any, list[Tensor]] = defaultdict(list)
    for part in tensors:
        dtype = part.dtype
        if dtype.is_floating_point or dtype.is_complex:
            parts[part.device, dtype, part.numel() < SMALL and part.layout is torch.strided].append(part)
    flags: defaultdict[torch.device, list[Tensor]] = defaultdict(list)
    for (device, dtype, small), some in parts.items():
        wide = torch.float32 if dtype in (torch.float16, torch.bfloat16) else None
        # a sum that overflows calls something finite broken; then its numbers are beyond use all the same
        flags[device] += [torch.isfinite(t.sum(dtype=wide)) for t in ([flattened(some)] if small else some)]
    return all(bool(torch.stack(flag).all()) for flag in flags.values())


def _empty_flats(kinds: Sequence[Kind], shapes: Sequence[torch.Size]) -> dict[Kind, Tensor]:
    """Empty buffers, one for each kind."""
    sizes: dict[Kind, int] = {}
    for kind, shape in zip(kinds, shapes, strict=True):
        sizes[kind] = sizes.get(kind, 0) + shape.numel()
    return {kind: torch.empty(size, device=kind[0], dtype=kind[1]) for kind, size in sizes.items()}


def _views(kinds: Sequence[Kind], shapes: Sequence[torch.Size], flats: dict[Kind, Tensor]) -> list[Tensor]:
    """A view of the buffers for each tensor."""
    ends: dict[Kind, int] = {}
    views: list[Tensor] = []
    for kind, shape in zip(kinds, shapes, strict=True):
        start = ends.get(kind, 0)
        ends[kind] = start + shape.numel()
        views.append(flats[kind][start : ends[kind]].view(shape))
    return views


def _encode(value: Any, tensors: list[Tensor]) -> Any:
    """Plain values, each tensor appended to the list and replaced by its number."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return {TENSOR: len(tensors) - 1}
    if value is None or type(value) in (int, float, bool, str):
        return value
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value)
        return _like(items, {key: _encode(item, tensors) for key, item in items.items()})
    if type(value) in (list, tuple):
        kind: Any = type(value)
        return kind(_encode(item, tensors) for item in value)
    return copy.deepcopy(value)


def _like(present: dict[Any, Any], made: dict[Any, Any]) -> dict[Any, Any]:
    """The entries in the kind of dict that they came in, if `torch.load(weights_only=True)` reads it; else a dict."""
    kind: Any = type(present)
    return kind(made) if kind in (OrderedDict, Counter) else made


def _decode(value: Any, snapshot: Snapshot) -> Any:
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value)
        if len(items) == 1 and TENSOR in items:
            i = items[TENSOR]
            return snapshot.tensors[i].to(snapshot.kinds[i][0], copy=True)
        return _like(items, {key: _decode(item, snapshot) for key, item in items.items()})
    if type(value) in (list, tuple):
        kind_of: Any = type(value)
        return kind_of(_decode(item, snapshot) for item in value)
    return copy.deepcopy(value)


def _optimizer_tree(optimizer: Optimizer, tensors: list[Tensor]) -> dict[str, Any]:
    numbers = {id(p): i for i, p in enumerate(p for group in optimizer.param_groups for p in group["params"])}
    state = cast("dict[Any, Any]", optimizer.state)
    return {
        "state": [[numbers.get(id(key), key), _encode(value, tensors)] for key, value in state.items()],
        "groups": [
            {name: _encode(value, tensors) for name, value in group.items() if name != "params"}
            for group in optimizer.param_groups
        ],
    }


def _restore_optimizer(optimizer: Optimizer, saved: dict[str, Any], snapshot: Snapshot) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = cast("dict[Any, Any]", optimizer.state)
    before = dict(state)
    # an update that is undone may have been the first: then there was no state
    state.clear()
    for key, value in saved["state"]:
        owner = parameters[key] if isinstance(key, int) and key < len(parameters) else key
        state[owner] = _in_parts(_into(before.get(owner), _decode(value, snapshot)), owner)
    for group, entries in zip(optimizer.param_groups, saved["groups"], strict=True):
        for name in [name for name in group if name != "params" and name not in entries]:
            del group[name]
        for name, entry in entries.items():
            group[name] = _into(group.get(name), _decode(entry, snapshot))


def _into(present: Any, saved: Any) -> Any:
    """The saved value, in the present tensors where they fit: CUDA graphs and foreach caches refer to them."""
    if isinstance(saved, Tensor):
        if isinstance(present, Tensor):
            part = local(present)
            if part.shape == saved.shape and part.dtype == saved.dtype:
                part.copy_(saved)
                return present
        return saved
    if isinstance(saved, dict) and isinstance(present, dict):
        kept = cast("dict[Any, Any]", present)
        fresh = {key: _into(kept.get(key), value) for key, value in cast("dict[Any, Any]", saved).items()}
        kept.clear()
        kept.update(fresh)
        return kept
    return saved


def _in_parts(entries: Any, owner: Any) -> Any:
    """The state of a sharded parameter, sharded as it is; a fresh optimizer has no such tensors to copy it into."""
    if hasattr(owner, "placements") and isinstance(entries, dict):
        state = cast("dict[Any, Any]", entries)
        for name, value in state.items():
            if isinstance(value, Tensor) and not hasattr(value, "placements") and value.shape == local(owner).shape:
                state[name] = type(owner.data).from_local(
                    value, owner.device_mesh, owner.placements, run_check=False, shape=owner.shape,
                    stride=owner.stride(),
                )  # fmt: skip
    return entries


def _random_states() -> dict[str, Any]:
    name, keys, *rest = cast("tuple[Any, ...]", np.random.get_state())  # noqa: NPY002 (the one augmentations draw from)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": [str(name), torch.from_numpy(keys.astype(np.int64)), *(float(r) for r in rest)],
        "python": _as_list(random.getstate()),
    }


def _set_random_states(states: dict[str, Any]) -> None:
    # generators take their states on the CPU, whatever device a snapshot was loaded to
    torch.set_rng_state(states["torch"].cpu())
    if states["cuda"]:
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])
    name, keys, place, has, cached = states["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), int(place), int(has), cached))  # noqa: NPY002
    version, inner, gauss = states["python"]
    random.setstate((version, tuple(inner), gauss))


def _as_list(value: Any) -> Any:
    return [_as_list(item) for item in value] if isinstance(value, tuple) else value
