"""A network whose width is the question."""

from torch import Tensor, nn

from surefoot.training._builtin import digits
from surefoot.training._loss import supervised
from surefoot.training._task import Task
from surefoot.training._wide import CLASSES, WideMLP, WidthStudy, width_study

__all__ = ["WideTask", "wide_mlp_task"]

WIDTH = 256


class WideTask(Task):
    """A training problem of one width, with a study of others as its detail.

    Parameters
    ----------
    data : (Tensor, Tensor)
        Inputs of shape (n, d), targets of shape (n, 10).
    seed : int
    """

    def __init__(self, data: tuple[Tensor, Tensor], seed: int = 0) -> None:
        super().__init__(
            lambda: WideMLP(data[0].shape[1], WIDTH),
            supervised(nn.functional.mse_loss),
            data,
            name=f"wide-mlp, width {WIDTH}",
            curvature_samples=500,
            seed=seed,
        )
        self._data = data

    def details(self) -> tuple[WidthStudy, ...]:
        """Limits and best rates of widths 64 to 512 in three parametrisations; seconds to a minute."""
        return (width_study(self._data, seed=self._seed),)


def wide_mlp_task(seed: int = 0) -> WideTask:
    """Handwritten digits by mean squares: a ReLU network 64-256-256-10 with He's initialisation and no biases.

    Scikit-learn's 1797 images; pixels in [0, 1], each less its mean over the images, so that no direction common to all
    outshines the rest; the targets are 1 for the digit and 0 for the others. Mini-batches of 64, curvature on 500
    images.

    Parameters
    ----------
    seed : int
        Of the initialisation and the order of the samples.

    Returns
    -------
    WideTask

    Raises
    ------
    MissingExtra
        If scikit-learn is not installed.
    """
    x, y = digits()
    return WideTask((x - x.mean(dim=0), nn.functional.one_hot(y, CLASSES).float()), seed)
