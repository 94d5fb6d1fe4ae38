"""Private tables of torch's modules, which have no public door; read in this file alone, in case torch moves them."""

from typing import Any

from torch import Tensor, nn

__all__ = ["BatchNorm", "Dropout", "buffer_table", "forward_hooks", "forward_pre_hooks", "parameter_table"]

# Base classes of the public ones: with them a subclass of somebody else's counts too.
BatchNorm = nn.modules.batchnorm._BatchNorm  # pyright: ignore[reportPrivateUsage]
Dropout = nn.modules.dropout._DropoutNd  # pyright: ignore[reportPrivateUsage]


def parameter_table(module: nn.Module) -> dict[str, Any]:
    """The module's own parameters by name; `register_parameter` takes nothing but a Parameter, which has no graph."""
    return module._parameters  # pyright: ignore[reportPrivateUsage]


def buffer_table(module: nn.Module) -> dict[str, Tensor | None]:
    """The module's own buffers by name: unlike `register_buffer`, an exchange here keeps whether a buffer is saved."""
    return module._buffers  # pyright: ignore[reportPrivateUsage]


def forward_pre_hooks(module: nn.Module) -> dict[int, Any]:
    """The hooks called before the module; handles exist only for the caller's own."""
    return module._forward_pre_hooks  # pyright: ignore[reportPrivateUsage]


def forward_hooks(module: nn.Module) -> dict[int, Any]:
    """The hooks called after the module, likewise."""
    return module._forward_hooks  # pyright: ignore[reportPrivateUsage]
