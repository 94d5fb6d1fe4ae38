"""The optimizer that does the work, inside whatever a framework has put around it."""

from typing import Any

from torch.optim import Optimizer

from surefoot.errors import InvalidInput

__all__ = ["refuse_maximizing", "tunes_itself", "unwrap"]

# Optimizers that estimate a rate of their own, by the beginnings of their names; the first two also keep it as "d" in
# their groups.
SELF_TUNING = ("Prodigy", "DAdapt", "DoG", "LDoG", "Mechanic")


def unwrap(optimizer: Any) -> Any:
    """The torch optimizer inside Accelerate's or Lightning's, which keep it as `.optimizer`; any other itself."""
    inner = getattr(optimizer, "optimizer", None)
    while isinstance(inner, Optimizer) and inner is not optimizer:
        optimizer, inner = inner, getattr(inner, "optimizer", None)
    return optimizer


def tunes_itself(optimizer: Optimizer) -> bool:
    """Whether it finds a rate of its own, of which lr is only a multiple."""
    name = type(optimizer).__name__
    return name.startswith(SELF_TUNING) or all("d" in group and "d0" in group for group in optimizer.param_groups)


def refuse_maximizing(optimizer: Optimizer) -> None:
    """Raise for an optimizer that maximises: all results about steps are for a loss that is minimised.

    Raises
    ------
    InvalidInput
        If a group of the optimizer has ``maximize=True``.
    """
    if any(group.get("maximize") for group in optimizer.param_groups):
        raise InvalidInput("the optimizer has maximize=True; minimise the negative loss instead")
