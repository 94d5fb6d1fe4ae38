"""Which parameters belong together: embeddings, blocks, head, biases and norms."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from surefoot.errors import InvalidInput
from surefoot.training.model.parameters import select

__all__ = ["EMBEDDINGS", "HEAD", "SMALL", "depths", "partition"]

EMBEDDINGS, HEAD, SMALL = "embeddings", "head", "biases and norms"


def partition(model: nn.Module, groups: Mapping[str, Iterable[Any]] | None = None) -> dict[str, list[str]]:
    """The trainable parameters by name, each in one group.

    "embeddings": the weights of `nn.Embedding` and `nn.EmbeddingBag`. "biases and norms": what has fewer than two
    dimensions. Of the rest, "head": the last module to hold a matrix, if others do too. The others form blocks, named
    by the module's path up to its first number ("layers.3"), or by the path's first part where it has none.

    Parameters
    ----------
    model : Module
    groups : mapping of str to names or parameters, optional
        Your own: each takes the parameters or submodules that it names; what none takes is grouped as above.

    Returns
    -------
    dict of str to list of str
        In the model's order; no group is empty.

    Raises
    ------
    InvalidInput
        If a parameter is in two groups of yours, or a name is not of the model.
    """
    names = select(model).names
    owner: dict[str, str] = {}
    for group, chosen in (groups or {}).items():
        for name in select(model, chosen).names:
            if name in owner:
                raise InvalidInput(f"parameter {name} is in groups {owner[name]!r} and {group!r}; name it in one")
            owner[name] = str(group)
    for name, kind in _by_kind(model, [name for name in names if name not in owner]).items():
        owner[name] = kind
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(owner[name], []).append(name)
    return members


def depths(groups: Iterable[str]) -> dict[str, int]:
    """The blocks of a partition counted from the input, from 1; embeddings are 0, the head comes last."""
    blocks = [name for name in groups if name not in (EMBEDDINGS, HEAD, SMALL)]
    return {EMBEDDINGS: 0, **{name: i for i, name in enumerate(blocks, 1)}, HEAD: len(blocks) + 1}


def _by_kind(model: nn.Module, names: list[str]) -> dict[str, str]:
    parameters = dict(model.named_parameters())
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)}
    kinds: dict[str, str] = {}
    matrices: list[str] = []
    for name in names:
        if id(parameters[name]) in tables:
            kinds[name] = EMBEDDINGS
        elif parameters[name].ndim < 2:
            kinds[name] = SMALL
        else:
            matrices.append(name)
    homes = list(dict.fromkeys(name.rpartition(".")[0] for name in matrices))
    for name in matrices:
        last = len(homes) > 1 and name.rpartition(".")[0] == homes[-1]
        kinds[name] = HEAD if last else _block(name)
    return kinds


def _block(name: str) -> str:
    parts = name.split(".")[:-1] or [name]
    for i, part in enumerate(parts):
        if part.isdigit():
            return ".".join(parts[: i + 1])
    return parts[0]
