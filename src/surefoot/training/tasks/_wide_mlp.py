"""The built-in problem `wide-mlp`: how the rate must change with a network's width."""

from torch import Tensor, nn

from surefoot.training.model import supervised
from surefoot.training.tasks._digits import digits
from surefoot.training.tasks._task import OPTIMIZERS, Task
from surefoot.training.width.wide import CLASSES, WideMLP, WidthStudy, width_study

# Sizes that train on two cores while one waits. By convention.
WIDTH, CURVATURE_SAMPLES = 128, 300


class WideTask(Task):
    """A training problem of one width, with a study of others as its detail.

    Parameters
    ----------
    data : (Tensor, Tensor)
        Inputs of shape (n, d), targets of shape (n, 10).
    rng : int
    """

    def __init__(self, data: tuple[Tensor, Tensor], rng: int = 0) -> None:
        super().__init__(
            lambda: WideMLP(data[0].shape[1], WIDTH),
            supervised(nn.functional.mse_loss),
            data,
            name=f"wide-mlp, width {WIDTH}",
            optimizers={label: OPTIMIZERS[label] for label in ("SGD", "SGD momentum 0.9")},
            curvature_samples=CURVATURE_SAMPLES,
            rng=rng,
        )
        self._data = data

    def details(self) -> tuple[WidthStudy, ...]:
        """Limits and best rates of widths 64 to 256 in three parametrisations."""
        return (width_study(self._data, rng=self.seed),)


def wide_mlp_task(rng: int = 0) -> WideTask:
    """Handwritten digits by mean squares: a ReLU network 64-128-128-10 with He's initialisation and no biases.

    Scikit-learn's 1797 images; pixels in [0, 1], each less its mean over the images, so that no direction common to all
    outshines the rest; the targets are 1 for the digit and 0 for the others. Mini-batches of 64, curvature on 300
    images.

    Parameters
    ----------
    rng : int
        Seed of the initialisation and the order of the samples.

    Returns
    -------
    WideTask

    Raises
    ------
    MissingExtra
        If scikit-learn is not installed.
    """
    x, y = digits()
    return WideTask((x - x.mean(dim=0), nn.functional.one_hot(y, CLASSES).float()), rng)
