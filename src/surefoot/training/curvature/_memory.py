"""The memory that a batch's graph takes, and the precision in which it was computed."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from surefoot.training.curvature.linearised import Linearised

# Bytes of a graph of unknown size, above any budget: it is not kept.
UNKNOWN = 1 << 60


def footprint(build: Callable[[], Linearised], parameters: Sequence[Tensor]) -> tuple[Linearised, int, float]:
    """Build a batch's graph and measure the tensors that it holds.

    Parameters
    ----------
    build : callable
        Function that builds the graph.
    parameters : sequence of Tensor
        Tensors that are not counted, since they exist anyway.

    Returns
    -------
    linearised : Linearised
    memory : int
        Bytes of the tensors that the graph holds; `UNKNOWN` where they cannot be looked at.
    precision : float
        The largest eps among their dtypes: autocast computes below the parameters' precision.
    """
    storages: dict[int, int] = {p.untyped_storage().data_ptr(): 0 for p in parameters}
    coarsest = 0.0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal coarsest
        if tensor.layout == torch.strided:
            storage = tensor.untyped_storage()
            storages.setdefault(storage.data_ptr(), storage.nbytes())
        if tensor.is_floating_point():
            coarsest = max(coarsest, float(torch.finfo(tensor.dtype).eps))
        return tensor

    try:
        with saved_tensors_hooks(pack, lambda tensor: tensor):
            linearised = build()
    except RuntimeError as error:
        # a loss that uses torch.func itself (a gradient penalty) forbids hooks on saved tensors
        if "saved tensor hooks" not in str(error):
            raise
        return build(), UNKNOWN, coarsest
    return linearised, sum(storages.values()), coarsest
