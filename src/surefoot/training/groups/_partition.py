"""Which parameters belong together: embeddings, blocks, head, biases and norms."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.errors import InvalidInput
from surefoot.training.model.loss import Loss, locate
from surefoot.training.model.parameters import select
from surefoot.training.model.sandbox import isolate
from surefoot.training.model.trees import leaves, on_device

EMBEDDINGS, HEAD, SMALL = "embeddings", "head", "biases and norms"


def partition(
    model: nn.Module, groups: Mapping[str, Iterable[Any]] | None = None, output: str | None = None
) -> dict[str, list[str]]:
    """The trainable parameters by name, each in one group.

    "embeddings": the weights of `nn.Embedding` and `nn.EmbeddingBag`, and the matrices inside what the model calls its
    input embeddings (adapters). "biases and norms": what has fewer than two dimensions. Of the rest, "head": the
    matrices of the output module, if others have matrices too. The others form blocks, named by the module's path up to
    its first number ("layers.3"), or by the path's first part where it has none.

    Parameters
    ----------
    model : Module
    groups : mapping of str to names or parameters, optional
        Own groups: each takes the parameters or submodules that it names; what none takes is grouped as above.
    output : str, optional
        Name of the output module, from `output_module`; without one there is no head.

    Returns
    -------
    dict of str to list of str
        In the model's order; no group is empty.
    """
    names = select(model).names
    owner: dict[str, str] = {}
    for group, chosen in (groups or {}).items():
        for name in select(model, chosen).names:
            if name in owner:
                raise InvalidInput(f"parameter {name} is in groups {owner[name]!r} and {group!r}; name it in one")
            owner[name] = str(group)
    owner |= _by_kind(model, [name for name in names if name not in owner], output)
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(owner[name], []).append(name)
    return members


def depths(groups: Iterable[str]) -> dict[str, int]:
    """The blocks of a partition counted from the input, from 1; embeddings are 0, the head comes last."""
    blocks = [name for name in groups if name not in (EMBEDDINGS, HEAD, SMALL)]
    return {EMBEDDINGS: 0, **{name: i for i, name in enumerate(blocks, 1)}, HEAD: len(blocks) + 1}


def output_module(model: nn.Module, loss: Loss, batch: Any) -> str | None:
    """The name of the module whose matrix makes the model's output, None where no module's own does.

    The one that the model names by ``get_output_embeddings()``, as those of the Hugging Face library do. Else the last
    module with a matrix of its own to run, if what it returns has as many entries as the model's output. Where
    the output is made with another module's matrix (an embedding used twice, by a function) the last one to run is in
    the middle of the model, and its output has another size.

    Parameters
    ----------
    model : Module
        Run once on the batch, without gradients; left as it was.
    loss : callable
    batch : batch of data
    """
    declared = _declared(model, "get_output_embeddings")
    if declared is not None:
        return declared
    last: list[tuple[str, int]] = []
    sizes: list[int] = []
    # on all modules with a matrix: which one comes last is known only after the run
    handles = [
        module.register_forward_hook(lambda _m, _i, out, name=name: last.append((name, _entries(out))))
        for name, module in model.named_modules()
        if module is not model and any(p.ndim > 1 for p in module.parameters(recurse=False))
    ]
    handles.append(model.register_forward_hook(lambda _m, _i, out: sizes.append(_entries(out))))
    try:
        with isolate(model), torch.no_grad(), locate("at the first batch"):
            loss(model, on_device(batch, next(model.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
    return last[-1][0] if last and sizes and last[-1][1] == sizes[-1] > 0 else None


def _declared(model: nn.Module, method: str) -> str | None:
    """The name of the module that a model says plays a part, None where it says nothing."""
    try:
        module = getattr(model, method)()
    except (AttributeError, NotImplementedError):  # no model of that library, or one without that part
        return None
    return next((name for name, other in model.named_modules() if other is module), None)


def _inside(name: str, module: str | None) -> bool:
    """Whether a parameter is the module's, or of one inside it (an adapter)."""
    return module is not None and name.startswith(f"{module}.")


def _entries(output: Any) -> int:
    """The number of entries of the first tensor of real numbers, a loss left out."""
    answers = (t for t in leaves(output) if isinstance(t, Tensor) and t.is_floating_point() and t.ndim)
    return next((t.numel() for t in answers), 0)


def _by_kind(model: nn.Module, names: list[str], output: str | None) -> dict[str, str]:
    """The group of each parameter by its kind, as in `partition`."""
    parameters = dict(model.named_parameters())
    source = _declared(model, "get_input_embeddings")
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)}
    kinds: dict[str, str] = {}
    matrices: list[str] = []
    for name in names:
        if id(parameters[name]) in tables:
            kinds[name] = EMBEDDINGS
        elif parameters[name].ndim < 2:
            kinds[name] = SMALL
        elif _inside(name, source):
            kinds[name] = EMBEDDINGS
        else:
            matrices.append(name)
    # a model of one matrix has no head apart from its body
    several = any(not _inside(name, output) for name in matrices)
    for name in matrices:
        kinds[name] = HEAD if several and _inside(name, output) else _block(name)
    return kinds


def _block(name: str) -> str:
    """The block of a parameter: its module's path up to the first number, else the path's first part."""
    parts = name.split(".")[:-1] or [name]
    numbers = [i for i, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[: numbers[0] + 1]) if numbers else parts[0]
