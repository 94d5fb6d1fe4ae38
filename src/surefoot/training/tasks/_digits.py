"""The built-in problem `digits`: a small network on images of handwritten digits."""

import torch
from torch import Tensor, nn

from surefoot.errors import MissingExtra
from surefoot.training.model import supervised
from surefoot.training.tasks._task import Task


def digits_task(rng: int = 0) -> Task:
    """Handwritten digits: an MLP 64-64-64-10 with ReLU and cross-entropy on scikit-learn's 1797 images of 8 x 8.

    Pixels are divided by 16, their largest value, which keeps them in [0, 1]. Float32, PyTorch's default initialisation
    under the seed, mini-batches of 64.

    Parameters
    ----------
    rng : int
        Seed of the initialisation and the order of the samples.

    Returns
    -------
    Task

    Raises
    ------
    MissingExtra
        If scikit-learn is not installed.
    """
    return Task(_network, supervised(nn.functional.cross_entropy), digits(), name="digits", batch_size=64, rng=rng)


def digits() -> tuple[Tensor, Tensor]:
    """Scikit-learn's images of shape (1797, 64) in [0, 1], and their labels.

    Raises
    ------
    MissingExtra
        If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "the digits come with scikit-learn: pip install '.[data]' in a checkout of Surefoot"
        ) from error
    images, labels = load_digits(return_X_y=True)
    return torch.as_tensor(images, dtype=torch.float32) / 16, torch.as_tensor(labels, dtype=torch.int64)


def _network() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
