"""What keeping a batch's graph would cost, and in which precision it was computed."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from surefoot.training.curvature.linearised import Linearised

# More than any budget: a graph of unknown size is not kept.
UNKNOWN = 1 << 60


def footprint(build: Callable[[], Linearised], parameters: Sequence[Tensor]) -> tuple[float, int, float, Linearised]:
    """Build a batch's graph and look at what it holds.

    Parameters
    ----------
    build : callable
        Builds the graph.
    parameters : sequence of Tensor
        Not counted: they exist anyway.

    Returns
    -------
    value : float
        The loss.
    memory : int
        Bytes of the tensors that the graph holds; `UNKNOWN` where they cannot be looked at.
    precision : float
        The largest eps among their dtypes: autocast computes below the parameters' precision.
    linearised : Linearised
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
        # a loss that uses torch.func itself (a gradient penalty) forbids looking
        if "saved tensor hooks" not in str(error):
            raise
        linearised = build()
        return linearised.value, UNKNOWN, coarsest, linearised
    return linearised.value, sum(storages.values()), coarsest, linearised
