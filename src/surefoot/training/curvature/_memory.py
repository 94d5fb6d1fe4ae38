"""What keeping a batch's graph would cost, and in which precision it was computed."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from surefoot.training.curvature.linearised import Linearised

__all__ = ["footprint"]


def footprint(
    linearised: Callable[[int], Linearised], i: int, parameters: Sequence[Tensor]
) -> tuple[float, int, float]:
    """Build a batch's graph once and throw it away.

    Parameters
    ----------
    linearised : callable
        Builds the graph of batch i.
    i : int
    parameters : sequence of Tensor
        Not counted: they exist anyway.

    Returns
    -------
    value : float
        The loss.
    memory : int
        Bytes of the tensors that the graph holds.
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

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        value = linearised(i).value
    return value, sum(storages.values()), coarsest
