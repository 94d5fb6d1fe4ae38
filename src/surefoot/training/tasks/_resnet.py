"""A built-in residual network of any depth, and training tasks that know of their residual blocks."""

import copy
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from surefoot.checks import Range, checked
from surefoot.training.model import supervised
from surefoot.training.model.trees import to_double
from surefoot.training.residual import ResidualStability, residual_stability
from surefoot.training.residual.blocks import Blocks
from surefoot.training.tasks._digits import digits
from surefoot.training.tasks._task import Task

# Depths at which the signal grows visibly and float32, up to 2^128, still holds its growth of 2^(depth/2).
DEPTHS = (4, 256)
# The default: the signal grows 256-fold. By convention.
DEPTH = 16
# The images' 64 pixels: the first block needs no layer before it.
WIDTH = 64
# Images on which curvature is measured: some seconds at depth 16. By convention.
CURVATURE_SAMPLES = 256


@checked
class ResidualTask(Task):
    """A `Task` whose model is residual: advice on it says what its blocks do to signal and gradient.

    Parameters
    ----------
    model, loss, data, **options
        Arguments of `Task`.
    blocks : str, iterable of str or callable, optional
        Modules that are blocks, as in `residual_stability`.

    Examples
    --------
    >>> from surefoot.training import resnet_mlp_task
    >>> stability = resnet_mlp_task(depth=4).details()[0]  # the task is a `ResidualTask`
    >>> [block.name for block in stability.blocks]
    ['blocks.0', 'blocks.1', 'blocks.2', 'blocks.3']
    """

    def __init__(self, model: Any, loss: Any, data: Any, *, blocks: Blocks = None, **options: Any) -> None:
        super().__init__(model, loss, data, **options)
        self._blocks: Blocks = blocks

    def details(self) -> tuple[ResidualStability, ...]:
        """The blocks at the start as Euler steps, in double precision and eval mode, on the curvature's samples."""
        model = copy.deepcopy(self.model).double().eval()
        batch = to_double(self._curvature_data.items[0])
        return (residual_stability(model, batch, loss=self.loss, blocks=self._blocks, rng=self.seed),)


@checked
def resnet_mlp_task(
    rng: int = 0, *, depth: Annotated[int, Range(f"[{DEPTHS[0]}, {DEPTHS[1]}]")] = DEPTH
) -> ResidualTask:
    """Handwritten digits by a residual MLP of any depth: width 64, blocks x + V relu(U x), no normalisation.

    Kaiming's initialisation, U with variance 2/64 and V with 1/64, makes every branch as large as its input, so that
    the signal grows like 2^(depth/2); `scale_residuals` fixes it. Scikit-learn's 1797 images, pixels in [0, 1];
    cross-entropy of a linear layer behind the last block. Float32, mini-batches of 64, curvature on 256 images.

    Parameters
    ----------
    rng : int
        Seed of the initialisation and the order of the samples.
    depth : int
        Number of blocks, 4 to 256.

    Returns
    -------
    ResidualTask

    Raises
    ------
    InvalidInput
        If the depth is out of range.
    MissingExtra
        If scikit-learn is not installed.
    """
    return ResidualTask(
        lambda: ResnetMLP(depth),
        supervised(nn.functional.cross_entropy),
        digits(),
        name="resnet-mlp" if depth == DEPTH else f"resnet-mlp-{depth}",
        batch_size=64,
        curvature_samples=CURVATURE_SAMPLES,
        rng=rng,
    )


class ResnetMLP(nn.Module):
    """Blocks x + V relu(U x) on vectors of 64, and a linear layer to ten classes.

    Parameters
    ----------
    depth : int
    width : int
    """

    def __init__(self, depth: int, width: int = WIDTH) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*[_Block(width) for _ in range(depth)])
        self.out = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (batch, 10), of inputs of shape (batch, width)."""
        return self.out(self.blocks(x))


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        nn.init.kaiming_normal_(self.inner.weight, nonlinearity="relu")
        nn.init.kaiming_normal_(self.outer.weight, nonlinearity="linear")
        nn.init.zeros_(self.inner.bias)
        nn.init.zeros_(self.outer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(torch.relu(self.inner(x)))
