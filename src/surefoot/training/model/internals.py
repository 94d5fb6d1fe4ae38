"""What a module has no public way to ask or to change: torch's own tables, read in this file alone.

Should torch move them, this is the place to follow.
"""

from typing import Any

from torch import Tensor, nn

__all__ = ["BatchNorm", "Dropout", "buffer_table", "forward_hooks", "forward_pre_hooks", "parameter_table"]

# The classes that are public have these bases: with them a class of somebody else's counts, too.
BatchNorm = nn.modules.batchnorm._BatchNorm  # pyright: ignore[reportPrivateUsage]
Dropout = nn.modules.dropout._DropoutNd  # pyright: ignore[reportPrivateUsage]


def parameter_table(module: nn.Module) -> dict[str, Any]:
    """The module's own parameters by name; `register_parameter` takes nothing but a Parameter, which has no graph."""
    return module._parameters  # pyright: ignore[reportPrivateUsage]


def buffer_table(module: nn.Module) -> dict[str, Tensor | None]:
    """The module's own buffers by name: exchanging one keeps whether it is saved; `register_buffer` would set that."""
    return module._buffers  # pyright: ignore[reportPrivateUsage]


def forward_pre_hooks(module: nn.Module) -> dict[int, Any]:
    """What is called before the module; there are handles for those of one's own only."""
    return module._forward_pre_hooks  # pyright: ignore[reportPrivateUsage]


def forward_hooks(module: nn.Module) -> dict[int, Any]:
    """What is called after the module, likewise."""
    return module._forward_hooks  # pyright: ignore[reportPrivateUsage]
